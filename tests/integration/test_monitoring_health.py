"""The collector goes on while the target cannot: a blocked loop, a stopped worker, a dead one, a daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinchpoint.rows import ProcessRow, SampleRow

SUPPORT = Path(__file__).resolve().parent.parent / "support"
DEADLINE_S = 20.0
BLOCK_S = 5.0


class Watched:
    """A gunicorn worker under the probe, and what the collector wrote of it."""

    def __init__(self, port: int, pages: Path, root: int) -> None:
        self.port = port
        self.rows: list[SampleRow] = []
        self._news = threading.Condition()
        reader = PageReader(pages)
        self.sampler = Sampler(
            root_pid=root, port=port, pages=reader.read, tables=reader.tables, forget=reader.forget, sink=self._take
        )

    def _take(self, row: SampleRow) -> None:
        with self._news:
            self.rows.append(row)
            self._news.notify_all()

    def until(self, condition: Callable[[SampleRow], bool]) -> SampleRow:
        """Return the first row from now on that meets the condition."""
        with self._news:
            seen = len(self.rows)
            assert self._news.wait_for(lambda: any(map(condition, self.rows[seen:])), DEADLINE_S), "no such row"
            return next(row for row in self.rows[seen:] if condition(row))

    def received(self, t0_s: float, t1_s: float) -> float:
        """Return the share of expected samples that came."""
        return sum(t0_s < row["t_s"] <= t1_s for row in self.rows) / ((t1_s - t0_s) / 0.1)


def worker(row: SampleRow) -> ProcessRow | None:
    """Return the worker that has a page."""
    found = [one for one in row["processes"] if one["role"] == "worker" and one["probe"] and "gone" not in one]
    return found[0] if found else None


def inflight(row: SampleRow) -> float | None:
    """Return how many requests the worker's page says are in progress."""
    found = worker(row)
    return found["probe"].get("inflight") if found and found["probe"] else None


def page_age_s(row: SampleRow) -> float | None:
    """Return how old the worker's page is."""
    found = worker(row)
    return found["probe_age_s"] if found else None


def _get(port: int, path: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=DEADLINE_S) as answer:
        answer.read()


@contextlib.contextmanager
def watching(folder: Path, *options: str) -> Iterator[Watched]:
    """Serve with one gunicorn worker under the probe, and sample it until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environ = probe_environment(folder / "pages", {**os.environ, "PYTHONPATH": str(SUPPORT)})
    environ["PROBE_APP_DATABASE"] = f"sqlite+aiosqlite:///{folder}/app.db"
    command = [sys.executable, "-m", "gunicorn", "probe_app:app", "--bind", f"127.0.0.1:{port}", "--log-level", "error"]
    command += ["--worker-class", "uvicorn_worker.UvicornWorker", "--pid", str(folder / "pid"), *options]
    with subprocess.Popen(command, env=environ) as server:
        watched = Watched(port, folder / "pages", server.pid)
        try:
            _await_answer(port)
            watched.sampler.start()
            watched.until(lambda row: worker(row) is not None)
            yield watched
        finally:
            watched.sampler.stop()
            # The master first, or it puts another worker in the place of a killed one, which then outlives it.
            for pid in dict.fromkeys((server.pid, *find_listener(port))):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert watched.sampler.error is None


def _await_answer(port: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            _get(port, "/")
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server does not answer")


@pytest.mark.alone
def test_a_loop_that_sleeps_five_seconds_does_not_blind_the_collector(tmp_path: Path) -> None:
    """Nothing inside the app would answer: its pages and /metrics hang. The thread is seen asleep, in flight is one."""
    with watching(tmp_path) as watched:
        thread = threading.Thread(target=_get, args=(watched.port, f"/block?seconds={BLOCK_S}"))
        first = watched.until(lambda _row: True)
        thread.start()
        during = watched.until(lambda row: inflight(row) == 1)
        thread.join()
        last = watched.until(lambda _row: True)

    before, after = worker(first), worker(last)
    assert before is not None
    assert after is not None
    states = [(row["thread_states"] or {}, row["loop_states"] or {}) for row in (before, after)]
    assert last["t_s"] - during["t_s"] > BLOCK_S - 1
    assert watched.received(first["t_s"], last["t_s"]) >= 0.95
    assert states[1][1]["sleep"] - states[0][1]["sleep"] >= 0.8 * 20 * BLOCK_S
    assert states[1][0]["sleep"] - states[0][0].get("sleep", 0) >= 0.8 * 20 * BLOCK_S


@pytest.mark.alone
def test_a_stopped_worker_is_sampled_on_and_its_page_grows_old(tmp_path: Path) -> None:
    """The age says that the figures are old; the other threads' calls are not taken for work."""
    with watching(tmp_path) as watched:
        found = worker(watched.until(lambda _row: True))
        assert found is not None
        pid = found["pid"]
        os.kill(pid, signal.SIGSTOP)
        first = watched.until(lambda _row: True)
        last = watched.until(lambda row: (page_age_s(row) or 0) > 1.5)
        os.kill(pid, signal.SIGCONT)
        watched.until(lambda row: (page_age_s(row) or 9) < 0.3)

    assert watched.received(first["t_s"], last["t_s"]) >= 0.95


def test_a_dead_worker_leaves_its_last_figures_once(tmp_path: Path) -> None:
    """Its page and tables as it left them, in one row that says so; the page is let go of."""
    with watching(tmp_path) as watched:
        found = worker(watched.until(lambda _row: True))
        assert found is not None
        pid = found["pid"]
        os.kill(pid, signal.SIGKILL)
        watched.until(lambda row: any(one.get("gone") for one in row["processes"]))
        watched.until(lambda row: (one := worker(row)) is not None and one["pid"] != pid)

    last = [one for row in watched.rows for one in row["processes"] if one["pid"] == pid and one.get("gone")]
    assert len(last) == 1
    assert last[0]["probe"] is not None
    assert last[0]["probe"]["requests_done"] >= 1
    assert (last[0].get("tables") or {}).keys() >= {"routes"}
    assert not (tmp_path / "pages" / f"{pid}.page").exists()
    assert all(one["pid"] != pid for one in watched.rows[-1]["processes"])


def test_a_server_that_became_a_daemon_is_found(tmp_path: Path) -> None:
    """`gunicorn --daemon` leaves its parent: the worker's page, or the port, leads to it and to its master."""
    with watching(tmp_path, "--daemon", "--error-logfile", str(tmp_path / "log")) as watched:
        row = watched.until(lambda row: len(row["processes"]) == 2)
        listeners = find_listener(watched.port)

    roles = {one["role"]: one["pid"] for one in row["processes"]}
    assert roles.keys() == {"master", "worker"}
    assert set(listeners) == set(roles.values())
    assert listeners[0] == roles["master"]
