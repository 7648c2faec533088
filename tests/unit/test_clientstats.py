"""Digest rows become the client's figures of a step: exact counts, merged percentiles, missing stays missing."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint import histograms
from pinchpoint.clientstats import client_figures
from pinchpoint.rows import DigestRow, NameRow


def name_row(
    ok_ms: Sequence[float] = (), failed: int = 0, errors: dict[str, int] | None = None, service_ms: float | None = None
) -> NameRow:
    """Return one name with these successful latencies."""
    latencies = [round(value * 1000) for value in ok_ms]
    services = latencies if service_ms is None else [round(service_ms * 1000)] * len(latencies)
    return NameRow(
        ok=len(latencies),
        failed=failed,
        errors=errors if errors is not None else ({"500": failed} if failed else {}),
        bytes=0,
        latency_ok=histograms.encode_values(latencies),
        latency_failed=None,
        service_ok=histograms.encode_values(services),
    )


def row(t0_s: float = 0.0, t1_s: float = 1.0, **changes: Any) -> DigestRow:
    """Return a quiet second, with changes."""
    quiet = DigestRow(
        process=0,
        pid=10,
        segment=1,
        t0_s=t0_s,
        t1_s=t1_s,
        scheduled=0,
        started=0,
        unsent=0,
        inflight=0,
        inflight_s=0.0,
        users=0,
        cpu_s=0.0,
        runq_s=0.0,
        send_lag=None,
        names={},
    )
    quiet.update(changes)  # type: ignore[typeddict-item]
    return quiet


def test_rates_are_counts_per_row_duration_of_each_process_summed() -> None:
    """Two processes, one with a short row: 10/1 s + 10/0.5 s."""
    window = client_figures(
        [
            row(names={"/": name_row([1.0] * 10)}, started=11),
            row(0.0, 0.5, process=1, names={"/": name_row([1.0] * 10)}, started=10),
        ],
        0.0,
        1.0,
    )
    assert window.goodput_rps == pytest.approx(30.0)
    assert window.started_rps == pytest.approx(31.0)
    assert window.covered_s == pytest.approx(1.0)


def test_a_row_counts_where_its_middle_lies() -> None:
    """Rows are never split: the windows of two steps share no row."""
    rows = [row(index, index + 1.0, started=1) for index in range(4)]
    assert client_figures(rows, 0.4, 2.4).figures.started == 2
    assert client_figures(rows, 2.4, 4.0).figures.started == 2


def test_requests_of_the_setup_are_listed_and_count_nowhere_else() -> None:
    """A failed login is an endpoint of its own, neither load nor error rate."""
    window = client_figures(
        [row(names={"/": name_row([5.0, 7.0]), "setup: /login": name_row([900.0], failed=3)})], 0.0, 1.0
    )
    assert window.goodput_rps == pytest.approx(2.0)
    assert window.error_rate == 0.0
    assert window.figures.errors == {}
    assert window.latency is not None
    assert window.latency.max == pytest.approx(7.0, rel=2e-3)
    assert [(entry.name, entry.ok, entry.failed) for entry in window.figures.endpoints] == [
        ("/", 2, 0),
        ("setup: /login", 1, 3),
    ]


def test_errors_are_counted_by_kind_over_names_and_processes() -> None:
    """The kinds add up, and the error rate is failed over completed."""
    window = client_figures(
        [
            row(names={"/a": name_row([1.0], failed=3, errors={"500": 2, "timeout": 1})}),
            row(process=1, names={"/b": name_row([1.0] * 3, failed=1, errors={"500": 1})}),
        ],
        0.0,
        1.0,
    )
    assert window.figures.errors == {"500": 3, "timeout": 1}
    assert window.error_rate == pytest.approx(0.5)
    assert (window.figures.ok, window.figures.failed) == (4, 4)


def test_the_busiest_process_speaks_for_cpu_and_run_queue() -> None:
    """Averaging would hide the one process that is the limit."""
    rows = [row(cpu_s=0.2, runq_s=0.5), row(process=1, cpu_s=0.9, runq_s=0.1)]
    figures = client_figures(rows, 0.0, 1.0).figures
    assert figures.cpu_share == pytest.approx(0.9)
    assert figures.runq_share == pytest.approx(0.1)
    assert figures.cpu_cores == pytest.approx(1.1)


def test_an_unmeasured_run_queue_is_missing_not_zero() -> None:
    """One row without the figure makes the share unknown."""
    rows = [row(0, 1, runq_s=None), row(1, 2, runq_s=0.3)]
    assert client_figures(rows, 0.0, 2.0).figures.runq_share is None


def test_a_window_without_rows_measured_nothing() -> None:
    """Everything that can be missing is, and the coverage says so."""
    window = client_figures([], 0.0, 1.0)
    assert window.covered_s == 0.0
    assert window.error_rate is None
    assert window.latency is None
    figures = window.figures
    assert (figures.cpu_share, figures.cpu_cores, figures.runq_share, figures.send_lag_ms_p99) == (None,) * 4
    assert (figures.inflight_mean, figures.users, figures.service_ms_p50) == (None, None, None)


def test_requests_in_flight_and_users_add_up_over_processes() -> None:
    """In flight is a time average; users are the largest count in the window."""
    rows = [
        row(0, 1, inflight_s=2.0, users=16),
        row(1, 2, inflight_s=4.0, users=20),
        row(0, 1, process=1, inflight_s=1.0, users=8),
    ]
    figures = client_figures(rows, 0.0, 2.0).figures
    assert figures.inflight_mean == pytest.approx(4.0)
    assert figures.users == 28


def test_service_time_leaves_out_the_wait_for_a_free_user() -> None:
    """A queue of a second before a request of 2 ms is latency, not service."""
    figures = client_figures([row(names={"/": name_row([1000.0] * 5, service_ms=2.0)})], 0.0, 1.0).figures
    assert figures.service_ms_p50 == pytest.approx(2.0, rel=2e-3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"scheduled": 5, "inflight": 5, "inflight_s": 4.0}, 1),
        ({"scheduled": 0, "inflight": 3, "inflight_s": 3.0}, 1),
        ({"scheduled": 5, "inflight": 0}, 1),
        ({"scheduled": 1, "inflight": 1, "inflight_s": 0.03}, 0),
        ({"scheduled": 0, "inflight": 0}, 0),
        ({"scheduled": 5, "inflight": 5, "inflight_s": 4.0, "t1_s": 0.4}, 0),
        ({"scheduled": 5, "inflight": 5, "inflight_s": 4.0, "names": {"/": name_row(failed=1)}}, 0),
        ({"scheduled": 5, "inflight": 5, "inflight_s": 4.0, "names": {"setup: /login": name_row([1.0])}}, 1),
    ],
)
def test_a_second_is_empty_when_load_was_out_and_nothing_came_back(changes: dict[str, Any], expected: int) -> None:
    """A stalled app, queued arrivals and a mere login are silence; one request just sent, or an error, is not."""
    assert client_figures([row(**changes)], 0.0, 1.0).figures.empty_seconds == expected


def test_a_second_is_not_empty_when_another_process_got_an_answer() -> None:
    """Nothing at all means: in no process."""
    silent = row(scheduled=5, inflight=5, inflight_s=4.0)
    speaking = row(process=1, names={"/": name_row([1.0])})
    assert client_figures([silent, speaking], 0.0, 1.0).figures.empty_seconds == 0
    assert client_figures([silent, row(process=1)], 0.0, 1.0).figures.empty_seconds == 1


latencies = st.lists(st.floats(min_value=0.1, max_value=60_000), max_size=30)


@given(st.lists(latencies, min_size=1, max_size=6), st.integers(min_value=1, max_value=3))
def test_percentiles_cover_all_requests_however_they_are_spread(parts: list[list[float]], processes: int) -> None:
    """Rows and processes are a matter of bookkeeping: the median is that of all requests."""
    rows = [
        row(index // processes, index // processes + 1.0, process=index % processes, names={"/": name_row(part)})
        for index, part in enumerate(parts)
    ]
    window = client_figures(rows, 0.0, len(parts) + 1.0)
    everything = sorted(value for part in parts for value in part)
    assert window.figures.ok == len(everything)
    if not everything:
        assert window.latency is None
        return
    assert window.latency is not None
    median = everything[(len(everything) + 1) // 2 - 1]
    assert window.latency.p50 == pytest.approx(median, rel=1.1e-3, abs=2e-3)
    assert window.latency.max == pytest.approx(everything[-1], rel=1.1e-3, abs=2e-3)


def test_the_busiest_second_stands_beside_the_mean() -> None:
    """Of any process; a row too short for a second counts in the mean only."""
    rows = [row(0, 1, cpu_s=0.2), row(1, 2, cpu_s=0.8), row(2, 2.1, cpu_s=0.1), row(0, 1, process=1, cpu_s=0.3)]
    figures = client_figures(rows, 0.0, 3.0).figures
    assert figures.processes == 2
    assert figures.cpu_peak == pytest.approx(0.8)
    assert figures.cpu_share == pytest.approx(1.1 / 2.1)


def test_short_rows_alone_have_their_mean_as_peak() -> None:
    """Nothing more is known of them."""
    assert client_figures([row(0, 0.2, cpu_s=0.1)], 0.0, 1.0).figures.cpu_peak == pytest.approx(0.5)


def test_a_loop_that_was_busy_without_cpu_stalled() -> None:
    """Stopped, throttled, blocked or waiting for a core: of the worst process each."""
    rows = [row(cpu_s=0.9, loop_busy_s=0.95), row(process=1, cpu_s=0.1, loop_busy_s=0.6)]
    figures = client_figures(rows, 0.0, 1.0).figures
    assert figures.loop_busy == pytest.approx(0.95)
    assert figures.loop_stalled == pytest.approx(0.5)


def test_a_loop_that_was_not_measured_throughout_is_missing() -> None:
    """One row without it says that the sum would be too small."""
    figures = client_figures([row(0, 1, loop_busy_s=0.5), row(1, 2, loop_busy_s=None)], 0.0, 2.0).figures
    assert (figures.loop_busy, figures.loop_stalled) == (None, None)


def test_descriptors_are_held_against_their_limit() -> None:
    """Of the process with most; without a limit nothing is said."""
    rows = [row(fds=10, fd_limit=100), row(process=1, fds=30, fd_limit=50), row(process=2, fds=9, fd_limit=None)]
    assert client_figures(rows, 0.0, 1.0).figures.fds_share == pytest.approx(0.6)
    assert client_figures([row(fds=10)], 0.0, 1.0).figures.fds_share is None
