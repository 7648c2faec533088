"""The Prometheus text of a folder of pages: what stands in it, what does not, and what outlives a worker."""

import io
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_fd_to_metric_families

from pinchpoint.monitoring.outside import NAMES
from pinchpoint.monitoring.probe.exposition import (
    METRICS,
    PAGE_AGE,
    PROCESSES,
    Exposition,
    Family,
    families,
    number,
    render,
    wants_openmetrics,
)
from pinchpoint.monitoring.probe.layout import CALLS, GATES, HOOKS, ROUTES, Table
from pinchpoint.monitoring.probe.page import PageFile
from pinchpoint.monitoring.probe.snapshots import ENDED_KEPT, Snapshot, Snapshots, process_lives

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return what prometheus_client reads in a text, by name and labels; a sample given twice fails."""
    found: Samples = {}
    for family in text_fd_to_metric_families(io.StringIO(text)):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def strictly(text: str) -> Iterable[Any]:
    """Return the families that prometheus_client's strict reader finds in OpenMetrics."""
    found: Iterable[Any] = parse_openmetrics(text)  # type: ignore[no-untyped-call]
    return found


def named(text: str, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
    """Return the samples of one metric that have these labels."""
    wanted = set(labels.items())
    return {other: value for (one, other), value in samples(text).items() if one == name and wanted <= other}


def rows(table: Table, **named_rows: Mapping[str, float]) -> bytes:
    """Pack rows of a table; columns left out are unavailable."""
    return b"".join(
        table.row.pack(name.encode(), *[columns.get(column, math.nan) for column in table.columns])
        for name, columns in named_rows.items()
    )


class Clock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def reading(folder: Path, lives: Callable[[int, float], bool], clock: Clock | None = None) -> Exposition:
    """Return the exposition of a folder, with invented deaths."""
    clock = clock or Clock()
    exposition = Exposition(str(folder), clock)
    exposition.snapshots = Snapshots(str(folder), clock, lives)
    return exposition


def test_fields_and_tables_become_metrics(tmp_path: Path) -> None:
    """Each with its labels, under one HELP and one TYPE."""
    tables = [
        rows(ROUTES, **{"GET /items/{id}": {"done": 5, "responses_4xx": 1, "responses_5xx": 0, "service_s": 0.25}}),
        rows(GATES, **{"db-pool sqlite a b.db": {"size": 10, "busy": 3}}),
        rows(CALLS, **{"db postgresql 127.0.0.1:5432/shop": {"calls": 7, "errors": 1, "seconds": 0.5}}),
        rows(HOOKS, asgi={"state": 1}),
    ]
    PageFile(str(tmp_path), 7).write({"requests_done": 5.0, "inflight": 2.0, "responses_5xx": 1.0}, 99.9, tables)

    text = reading(tmp_path, lambda *_: True).text()

    assert {line for line in text.splitlines() if not line.startswith("#") and "threadpool" not in line} == {
        "pinchpoint_processes 1",
        f'pinchpoint_page_age_seconds{{pid="7"}} {100.0 - 99.9!r}',
        'pinchpoint_requests_total{pid="7"} 5',
        'pinchpoint_requests_inflight{pid="7"} 2',
        'pinchpoint_error_responses_total{pid="7",status="5xx"} 1',
        'pinchpoint_route_requests_total{pid="7",method="GET",route="/items/{id}"} 5',
        'pinchpoint_route_error_responses_total{pid="7",method="GET",route="/items/{id}",status="4xx"} 1',
        'pinchpoint_route_error_responses_total{pid="7",method="GET",route="/items/{id}",status="5xx"} 0',
        'pinchpoint_route_service_seconds_total{pid="7",method="GET",route="/items/{id}"} 0.25',
        'pinchpoint_gate_size{pid="7",kind="db-pool",name="sqlite a b.db"} 10',
        'pinchpoint_gate_busy{pid="7",kind="db-pool",name="sqlite a b.db"} 3',
        'pinchpoint_calls_total{pid="7",kind="db",name="postgresql 127.0.0.1:5432/shop"} 7',
        'pinchpoint_call_errors_total{pid="7",kind="db",name="postgresql 127.0.0.1:5432/shop"} 1',
        'pinchpoint_call_seconds_total{pid="7",kind="db",name="postgresql 127.0.0.1:5432/shop"} 0.5',
        'pinchpoint_probe_hook_up{pid="7",hook="asgi"} 1',
    }
    heads = re.findall(r"^# (HELP|TYPE) (\S+)", text, re.MULTILINE)
    assert len(heads) == len(set(heads))
    assert {name for name, _ in samples(text)} == {name for _, name in heads}


def test_the_threadpool_is_a_gate_like_the_others(tmp_path: Path) -> None:
    """The limiter of anyio has fields of its own on the page."""
    PageFile(str(tmp_path), 7).write({"tokens_total": 40.0, "tokens_busy": 2.0, "tokens_wait_s": 0.5}, 100.0)

    text = reading(tmp_path, lambda *_: True).text()

    labels = frozenset({("pid", "7"), ("kind", "threadpool"), ("name", "anyio")})
    assert named(text, "pinchpoint_gate_size") == {labels: 40}
    assert named(text, "pinchpoint_gate_busy") == {labels: 2}
    assert named(text, "pinchpoint_gate_wait_seconds_total") == {labels: 0.5}
    assert named(text, "pinchpoint_gate_hold_seconds_total") == {}


def test_an_ended_worker_keeps_its_counters_and_loses_its_gauges(tmp_path: Path) -> None:
    """The sum over workers does not fall when one is replaced, nor when its page is removed."""
    clock, living = Clock(), {7, 8}
    exposition = reading(tmp_path, lambda pid, _: pid in living, clock)
    for pid in living:
        PageFile(str(tmp_path), pid).write({"requests_done": 5.0, "inflight": 1.0}, 100.0)
    exposition.text()
    PageFile(str(tmp_path), 9).write({"requests_done": 1.0, "inflight": 0.0}, 110.0)
    clock.now_s, living = 110.0, {8, 9}

    first = exposition.text()
    (tmp_path / "7.page").unlink()
    second = exposition.text()

    for text in (first, second):
        assert sum(named(text, "pinchpoint_requests_total").values()) == 11
        assert named(text, "pinchpoint_requests_inflight", pid="7") == {}
        assert named(text, "pinchpoint_page_age_seconds", pid="7") == {}
        assert named(text, "pinchpoint_processes") == {frozenset(): 2}


def test_a_stopped_worker_shows_by_the_age_of_its_page(tmp_path: Path) -> None:
    """It lives, so its figures stand; they are old."""
    PageFile(str(tmp_path), 7).write({"inflight": 1.0}, 100.0)
    clock = Clock()
    exposition = reading(tmp_path, lambda *_: True, clock)
    clock.now_s = 130.0

    text = exposition.text()

    assert named(text, "pinchpoint_page_age_seconds") == {frozenset({("pid", "7")}): 30}
    assert named(text, "pinchpoint_requests_inflight") == {frozenset({("pid", "7")}): 1}


def test_a_pid_given_away_again_counts_on(tmp_path: Path) -> None:
    """Two processes under one pid are one series; twice the same series would void the scrape."""
    clock = Clock()
    exposition = reading(tmp_path, lambda *_: True, clock)
    first = PageFile(str(tmp_path), 7)
    first.write({"requests_done": 5.0}, 100.0)
    exposition.text()
    (tmp_path / "7.page").rename(tmp_path / "kept")  # or its inode could be given away again as well
    PageFile(str(tmp_path), 7).write({"requests_done": 2.0, "inflight": 1.0}, 100.0)

    text = exposition.text()

    assert named(text, "pinchpoint_requests_total") == {frozenset({("pid", "7")}): 7}
    assert named(text, "pinchpoint_requests_inflight") == {frozenset({("pid", "7")}): 1}


@pytest.mark.parametrize("tidy", [False, True])
def test_only_the_newest_of_many_ended_workers_are_kept(tmp_path: Path, tidy: bool) -> None:
    """A server that replaces workers all day does not grow without end; only a tidy reader removes files."""
    for pid in range(1, ENDED_KEPT + 4):
        PageFile(str(tmp_path), pid).write({"requests_done": 1.0}, float(pid))
    clock = Clock()
    clock.now_s = 1000.0
    snapshots = Snapshots(str(tmp_path), clock, lambda *_: False, tidy=tidy)

    for _ in range(2):
        text = render(families(snapshots.read(), 0.0))
        kept = {dict(labels)["pid"] for labels in named(text, "pinchpoint_requests_total")}
        assert kept == {str(pid) for pid in range(4, ENDED_KEPT + 4)}
    assert len(list(tmp_path.glob("*.page"))) == ENDED_KEPT + (0 if tidy else 3)


def test_a_page_that_is_none_of_ours_is_left_out(tmp_path: Path) -> None:
    """Empty, foreign, named otherwise, or of another process."""
    (tmp_path / "1.page").write_bytes(b"")
    (tmp_path / "2.page").write_bytes(os.urandom(1 << 16))
    (tmp_path / "x.page").write_bytes(b"")
    PageFile(str(tmp_path), 3).write({"requests_done": 1.0}, 100.0)
    (tmp_path / "3.page").rename(tmp_path / "4.page")

    assert reading(tmp_path, lambda *_: True).snapshots.read() == []
    assert reading(tmp_path / "gone", lambda *_: True).snapshots.read() == []


def test_a_pid_lives_as_long_as_the_process_that_published() -> None:
    """This process does; it cannot have published long before it started; a pid that is free is dead."""
    import time  # noqa: PLC0415 - the real clock, for once

    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert process_lives(os.getpid(), time.monotonic()) is True
    assert process_lives(os.getpid(), -1e9) is False
    assert process_lives(dead.pid, time.monotonic()) is False


@given(
    name=st.text(st.characters(exclude_categories=["Cs"])),
    value=st.floats(allow_nan=False) | st.integers(-(10**17), 10**17).map(float),
    openmetrics=st.booleans(),
)
@example('a"b\\n\nc\\', 1e15, True)
@example('a"b\\n\nc\\', math.inf, False)
def test_every_label_and_number_is_read_as_it_was_written(name: str, value: float, openmetrics: bool) -> None:
    """Quotes, backslashes and line feeds included."""
    family = Family("pinchpoint_gate_size", "How many.")
    family.add(value, pid=1, name=name)

    text = render([family], openmetrics)

    read = strictly(text) if openmetrics else text_fd_to_metric_families(io.StringIO(text, newline="\n"))
    found = [(sample.labels, sample.value) for one in read for sample in one.samples]
    assert found == [({"pid": "1", "name": name}, value)]


def test_what_is_unavailable_has_no_sample() -> None:
    """Neither None nor NaN is a number; a family without samples leaves no line."""
    family = Family("pinchpoint_gate_size", "How many.")
    family.add(None, pid=1)
    family.add(math.nan, pid=2)

    assert render([family]) == ""
    assert render([family], openmetrics=True) == "# EOF\n"


def test_openmetrics_names_counters_without_their_suffix(tmp_path: Path) -> None:
    """Its strict reader takes everything that may be served."""
    figures = dict.fromkeys(("requests_done", "inflight", "service_s", "loop_lag_max_s"), 1.0)
    PageFile(str(tmp_path), 7).write(figures, 100.0)
    info = Family("pinchpoint_process_info", "Always 1.")
    info.add(1, pid=7, role="worker")
    text = render([*reading(tmp_path, lambda *_: True).families(), info], openmetrics=True)

    kinds = {family.name: family.type for family in strictly(text)}

    assert kinds == {
        "pinchpoint_processes": "gauge",
        "pinchpoint_page_age_seconds": "gauge",
        "pinchpoint_requests": "counter",
        "pinchpoint_requests_inflight": "gauge",
        "pinchpoint_service_seconds": "counter",
        "pinchpoint_loop_lag_max_seconds": "gauge",
        "pinchpoint_process_info": "gauge",
    }
    assert wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5")
    assert not wants_openmetrics("text/plain")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-3.0, "-3"), (0.1, "0.1"), (1e16, "1e+16"), (-math.inf, "-Inf"), (math.inf, "+Inf")],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    """Whole ones without a fraction."""
    assert number(value) == text


def test_documentation_lists_every_metric_and_no_other(checkout: Path) -> None:
    """docs/metrics.md is the reader's list."""
    documented = re.findall(r"^\| `(pinchpoint_\w+)`", (checkout / "docs" / "metrics.md").read_text(), re.MULTILINE)

    served = [PROCESSES[0], PAGE_AGE[0], *(metric.name for metric in METRICS), *NAMES]

    assert sorted(documented) == sorted(served)


def test_a_metrics_columns_are_on_the_page() -> None:
    """A misspelt column would never have a sample, and nobody would notice."""
    from pinchpoint.monitoring.probe.layout import FIELDS, TABLES  # noqa: PLC0415 - used here only

    columns = {"": FIELDS, **{table.name: table.columns for table in TABLES}}
    absent = [metric.name for metric in METRICS if not set(metric.columns) <= set(columns[metric.table])]

    assert absent == []


def test_a_snapshot_of_the_living_is_replaced_and_a_vanished_page_ends_it(tmp_path: Path) -> None:
    """Newer figures are read; a page that is gone means an ended process."""
    page = PageFile(str(tmp_path), 7)
    page.write({"requests_done": 1.0}, 100.0)
    snapshots = Snapshots(str(tmp_path), Clock(), lambda *_: True)

    def look() -> list[tuple[float, bool]]:
        found: list[Snapshot] = snapshots.read()
        return [(snapshot.fields["requests_done"], snapshot.alive) for snapshot in found]

    first = look()
    page.write({"requests_done": 2.0}, 100.0)
    second = look()
    (tmp_path / "7.page").unlink()

    assert [first, second, look()] == [[(1.0, True)], [(2.0, True)], [(2.0, False)]]


def test_what_another_reader_saw_last_of_a_worker_counts(tmp_path: Path) -> None:
    """The collector of a run may remove a dead worker's page between two scrapes; older figures change nothing."""
    page = PageFile(str(tmp_path), 7)
    page.write({"requests_done": 1.0}, 100.0, [rows(ROUTES, **{"GET /": {"done": 1}})])
    exposition = reading(tmp_path, lambda *_: True)
    exposition.text()
    (tmp_path / "7.page").unlink()

    exposition.snapshots.end(7, 100.5, {"requests_done": 3.0}, None)
    exposition.snapshots.end(7, 99.0, {"requests_done": 2.0}, None)
    exposition.snapshots.end(8, 99.0, {"requests_done": 4.0}, {"routes": {"GET /": {"done": 4.0}}})

    text = exposition.text()
    assert sum(named(text, "pinchpoint_requests_total").values()) == 7
    assert sum(named(text, "pinchpoint_route_requests_total").values()) == 5
    assert named(text, "pinchpoint_processes") == {frozenset(): 0}
