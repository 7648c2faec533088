"""The collector sees on while nothing inside the target could answer it."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pinchpoint.monitoring.sampler import Sampler
from support.zygotes import Server, Zygote, wait_for

pytestmark = pytest.mark.alone

if TYPE_CHECKING:
    from pathlib import Path

    from pinchpoint.rows import SampleRow

BLOCK_S, STOP_S, INTERVAL_S = 5.0, 1.5, 0.1


def _figure(row: SampleRow, pid: int, name: str) -> float:
    (process,) = [process for process in row["processes"] if process["pid"] == pid]
    return (process["probe"] or {}).get(name, 0.0)


def _share(rows: list[SampleRow], since_s: float, until_s: float) -> float:
    """Return the samples that arrived, of those expected in this time."""
    return sum(since_s < row["t_s"] <= until_s for row in rows) / ((until_s - since_s) / INTERVAL_S)


def _while_the_loop_sleeps(server: Server, rows: list[SampleRow]) -> tuple[float, float]:
    """Let it sleep five seconds, and ask for its metrics meanwhile; return when that was."""
    since_s = time.monotonic()
    blocked = threading.Thread(target=server.ask, args=(f"/block?seconds={BLOCK_S}",))
    blocked.start()
    wait_for(lambda: rows and _figure(rows[-1], server.pid, "inflight") == 1)
    with pytest.raises(TimeoutError):
        server.ask("/metrics", timeout_s=1.0)
    assert _figure(rows[-1], server.pid, "loop_lag_max_s") > 0.5
    blocked.join()
    return since_s, time.monotonic()


def _while_the_worker_is_stopped(server: Server) -> tuple[float, float]:
    """Stop it, and let it go on; return when that was."""
    since_s = time.monotonic()
    os.kill(server.pid, signal.SIGSTOP)
    wait_for(lambda: time.monotonic() > since_s + STOP_S)
    until_s = time.monotonic()
    os.kill(server.pid, signal.SIGCONT)
    return since_s, until_s


def test_95_percent_of_samples_arrive_while_the_loop_sleeps_metrics_hang_and_a_worker_is_stopped(
    tmp_path: Path,
) -> None:
    """`time.sleep(5)` inside the loop, `/metrics` unreachable, SIGSTOP: ten samples a second all the same."""
    zygote = Zygote("asgi", tmp_path)
    rows: list[SampleRow] = []
    with zygote.serving("log") as server:
        wait_for(lambda: server.ask("/metrics")[0] == 200)
        reader = server.reader
        sampler = Sampler(
            root_pid=server.pid,
            port=server.port,
            pages=reader.read,
            tables=reader.tables,
            forget=reader.forget,
            sink=rows.append,
        )
        sampler.start()
        wait_for(lambda: rows and rows[-1]["processes"][0]["probe"])
        asleep = _while_the_loop_sleeps(server, rows)
        stopped = _while_the_worker_is_stopped(server)
        wait_for(lambda: rows[-1]["t_s"] > stopped[1])
        sampler.stop()
    zygote.close()

    assert sampler.error is None
    assert asleep[1] - asleep[0] > BLOCK_S - 0.5
    assert _share(rows, *asleep) >= 0.95
    assert _share(rows, *stopped) >= 0.95
    ages = [row["processes"][0]["probe_age_s"] or 0.0 for row in rows if stopped[0] < row["t_s"] <= stopped[1]]
    assert max(ages) > STOP_S - 0.5
