"""Frameworks times servers: the probe's counts, times and routes against what the clients of real servers saw."""

import contextlib
import http.client
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pinchpoint.monitoring.injection import new_page_folder, probe_environment
from pinchpoint.monitoring.pages import Page, PageReader, Tables
from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from support.matrix import Cell, cells, read_tables, write_tables

pytestmark = pytest.mark.alone

ROUNDS = 8
WITHIN = 0.05
AGAIN = 5
AT_ONCE = 6
"""Cells measured side by side: their handlers sleep, so they do not disturb each other."""
DEADLINE_S = 30.0
ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT.parent / "docs" / "coverage.md"
CELLS = {cell.name: cell for cell in cells()}


@dataclass(frozen=True)
class Measured:
    """What clients and probe saw of the same requests."""

    requests: int
    client_s: float
    """Sum of the latencies."""
    done: float
    service_s: float
    inflight_s: float
    routes: dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, "Measured | Exception"]:
    """Measure every cell once, a few side by side: boot them all, then press them all."""
    found: dict[str, Measured | Exception] = {}
    names = list(CELLS)
    for first in range(0, len(names), AT_ONCE):
        batch = [CELLS[name] for name in names[first : first + AT_ONCE]]
        booted = threading.Barrier(len(batch))
        with ThreadPoolExecutor(len(batch)) as pool:
            folders = [tmp_path_factory.mktemp("cell") for _ in batch]
            jobs = {
                cell.name: pool.submit(_measure, cell, folder, booted)
                for cell, folder in zip(batch, folders, strict=True)
            }
        found |= {name: _outcome(job) for name, job in jobs.items()}
        for cell in batch:
            # Clients that wait for a core on a busy machine see more than the server does: again, alone.
            for _ in range(AGAIN):
                if not _off(found[cell.name]):
                    break
                with ThreadPoolExecutor(1) as pool:
                    job = pool.submit(_measure, cell, tmp_path_factory.mktemp("again"), threading.Barrier(1))
                found[cell.name] = _outcome(job)
    return found


def _outcome(job: "Future[Measured]") -> "Measured | Exception":
    error = job.exception()
    assert error is None or isinstance(error, Exception)
    return job.result() if error is None else error


def _off(found: "Measured | Exception") -> bool:
    """Tell whether a time disagrees; a count that does is no matter of a busy machine."""
    if isinstance(found, Exception):
        return False
    pairs = ((found.service_s, found.client_s), (found.inflight_s, found.client_s), (found.inflight_s, found.service_s))
    return any(abs(seen / true - 1) > WITHIN for seen, true in pairs)


def _measure(cell: Cell, folder: Path, booted: threading.Barrier) -> Measured:
    with _serving(cell, folder, booted) as (port, pages):
        warm = len(_press(cell, port, rounds=1))
        page, tables = _settled(pages, at_least=warm + 1)
        latencies = _press(cell, port)
        after, tables_after = _settled(pages, at_least=page.fields["requests_done"] + len(latencies))
    before_routes, routes = tables["routes"], tables_after["routes"]
    return Measured(
        requests=len(latencies),
        client_s=sum(latencies),
        done=after.fields["requests_done"] - page.fields["requests_done"],
        service_s=after.fields["service_s"] - page.fields["service_s"],
        inflight_s=after.fields["inflight_s"] - page.fields["inflight_s"],
        routes={
            name: {key: value - before_routes.get(name, {}).get(key, 0.0) for key, value in columns.items()}
            for name, columns in routes.items()
        },
    )


@contextlib.contextmanager
def _serving(cell: Cell, folder: Path, booted: threading.Barrier) -> Iterator[tuple[int, PageReader]]:
    pages, port, log = new_page_folder(), free_port(), folder / "server.log"
    env = probe_environment(pages, {**os.environ, "PYTHONPATH": str(ROOT)})
    child = start(Command(cell.name, tuple(cell.command(port)), log, env=env, cwd=folder))
    reader = PageReader(pages)
    try:
        try:
            wait_http_ready(f"http://127.0.0.1:{port}/", child, DEADLINE_S)
        finally:
            booted.wait(2 * DEADLINE_S)
        yield port, reader
    finally:
        child.stop()
        reader.close()
        for path in pages.iterdir():
            path.unlink()
        pages.rmdir()


def _settled(reader: PageReader, at_least: float) -> tuple[Page, Tables]:
    """Return the page and tables once so many requests are done and none is in flight."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        for pid, page in reader.read().items():
            tables = reader.tables(pid)
            done = page.fields.get("requests_done", 0.0)
            if tables is None or done < at_least or page.fields.get("inflight"):
                continue
            if sum(row["done"] for row in tables["routes"].values()) == done:
                return page, tables
        time.sleep(0.02)
    raise AssertionError(f"no page with {at_least:.0f} requests; found {reader.read()}")


def _press(cell: Cell, port: int, rounds: int = ROUNDS) -> list[float]:
    latencies: list[float] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
        for _ in range(rounds):
            began = time.monotonic()
            connection.request("GET", cell.path)
            answer = connection.getresponse()
            answer.read()
            latencies.append(time.monotonic() - began)
            assert answer.status == 200
        connection.close()

    with ThreadPoolExecutor(cell.clients) as pool:
        for job in [pool.submit(client) for _ in range(cell.clients)]:
            job.result()
    return latencies


def test_the_documented_matrix_is_the_tested_one(measured: dict[str, "Measured | Exception"]) -> None:
    """Every pair stands in docs/coverage.md; with COVERAGE_MATRIX set to its path, the figures are written there."""
    target = os.environ.get("COVERAGE_MATRIX")
    if target:
        figures = {name: found for name, found in measured.items() if isinstance(found, Measured)}
        write_tables(Path(target), {name: (one.service_s / one.client_s - 1) for name, one in figures.items()})
    documented = read_tables(DOCUMENT)
    assert set(documented) == set(CELLS)
    assert {name for name, off in documented.items() if abs(off) > WITHIN} == set()


@pytest.mark.parametrize("name", CELLS)
def test_the_probe_sees_what_the_clients_saw(name: str, measured: dict[str, "Measured | Exception"]) -> None:
    """Counts exactly; service time, requests in flight and the route within 5 %; Little's law holds within 5 %."""
    found = measured[name]
    if isinstance(found, Exception):
        raise found
    route = found.routes[CELLS[name].route]

    assert found.done == route["done"] == found.requests
    assert found.service_s == pytest.approx(found.client_s, rel=WITHIN)
    assert found.inflight_s == pytest.approx(found.client_s, rel=WITHIN)
    assert route["service_s"] == pytest.approx(found.client_s, rel=WITHIN)
    assert found.inflight_s == pytest.approx(found.service_s, rel=WITHIN)
