"""The collector on real processes whose behaviour is known."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pinchpoint.monitoring.listen import ListenQueue
from pinchpoint.monitoring.sampler import Sampler

pytestmark = pytest.mark.alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinchpoint.rows import ProcessRow, SampleRow

DEADLINE_S = 15.0
READY = "import sys; print('ready', flush=True)\n"
BURN = READY + "while True: pass\n"
SLEEP = READY + "import time\ntime.sleep(60)\n"
EPOLL = READY + "import asyncio\nasyncio.run(asyncio.sleep(60))\n"
CHURN = READY + (
    "import threading\n"
    "while True:\n"
    "    thread = threading.Thread(target=lambda: sum(range(300_000)))\n"
    "    thread.start()\n"
    "    thread.join()\n"
)
FORK = READY + (
    "import os, signal, time\n"
    "for line in sys.stdin:\n"
    "    if line.startswith('fork'):\n"
    "        child = os.fork()\n"
    "        if child == 0:\n"
    "            time.sleep(60)\n"
    "        print(child, flush=True)\n"
    "    else:\n"
    "        os.kill(child, signal.SIGKILL)\n"
    "        os.waitpid(child, 0)\n"
)


@contextlib.contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run a Python child until the block ends; it has said it is ready."""
    command = [sys.executable, "-c", code]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


class Watched:
    """A running sampler and the rows it wrote."""

    def __init__(self, pid: int) -> None:
        self.rows: list[SampleRow] = []
        self._news = threading.Condition()
        self.sampler = Sampler(root_pid=pid, port=None, pages=None, sink=self._take)

    def _take(self, row: SampleRow) -> None:
        with self._news:
            self.rows.append(row)
            self._news.notify_all()

    def until(self, condition: Callable[[SampleRow], bool]) -> SampleRow:
        """Return the first row from now on that meets the condition."""
        with self._news:
            seen = len(self.rows)
            met = self._news.wait_for(lambda: any(condition(row) for row in self.rows[seen:]), DEADLINE_S)
            assert met, "no such row before the deadline"
            return next(row for row in self.rows[seen:] if condition(row))

    def window(self, seconds: float) -> tuple[SampleRow, SampleRow]:
        """Return two rows at least so far apart, the first one new."""
        first = self.until(lambda _row: True)
        return first, self.until(lambda row: row["t_s"] >= first["t_s"] + seconds)


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Watched]:
    """Sample a process until the block ends, and see that nothing went wrong."""
    watched = Watched(pid)
    watched.sampler.start()
    try:
        yield watched
    finally:
        watched.sampler.stop()
    assert watched.sampler.error is None


def process(row: SampleRow, pid: int) -> ProcessRow:
    """Return one process of a row."""
    return next(found for found in row["processes"] if found["pid"] == pid)


def grown(first: SampleRow, last: SampleRow, pid: int, name: str) -> float:
    """Return the share of wall time by which a counter of seconds grew."""
    before, after = dict(process(first, pid))[name], dict(process(last, pid))[name]
    assert isinstance(before, float)
    assert isinstance(after, float)
    return (after - before) / (last["t_s"] - first["t_s"])


def test_a_burning_child_uses_its_wall_time() -> None:
    """Running plus waiting for a CPU is all of it, whoever else wants the machine."""
    with running(BURN) as child, watching(child.pid) as watched:
        first, last = watched.window(1.0)

    whole = grown(first, last, child.pid, "cpu_s") + grown(first, last, child.pid, "runq_s")
    assert whole == pytest.approx(1.0, abs=0.05)
    assert grown(first, last, child.pid, "loop_cpu_s") == pytest.approx(
        grown(first, last, child.pid, "cpu_s"), abs=0.02
    )
    states = process(last, child.pid)["loop_states"]
    assert states is not None
    assert states["running"] >= 0.95 * states["samples"] > 0


def test_two_burners_on_one_core_wait_half_of_the_time() -> None:
    """Half is on the CPU, half in the run queue: a share the CPU figure alone cannot explain."""
    with running(BURN) as one, running(BURN) as two:
        core = {min(os.sched_getaffinity(0))}
        for child in (one, two):
            os.sched_setaffinity(child.pid, core)
        with watching(one.pid) as watched:
            first, last = watched.window(1.5)

    waited = grown(first, last, one.pid, "runq_s")
    assert waited > 0.4
    assert waited + grown(first, last, one.pid, "cpu_s") == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("code", "state"), [(SLEEP, "sleep"), (EPOLL, "idle")], ids=["sleep", "epoll"])
def test_where_the_main_thread_waits_is_named(code: str, state: str) -> None:
    """A blocking sleep is not an idle loop."""
    with running(code) as child, watching(child.pid) as watched:
        watched.until(lambda row: (process(row, child.pid)["loop_states"] or {}).get(state, 0) > 0)
        first, last = watched.window(0.5)

    before, after = process(first, child.pid)["loop_states"], process(last, child.pid)["loop_states"]
    assert before is not None
    assert after is not None
    assert after["samples"] - before["samples"] >= 8
    assert after[state] - before[state] == after["samples"] - before["samples"]


def test_cpu_of_short_threads_is_not_lost() -> None:
    """Threads of a few milliseconds end between two ticks; the total still agrees with the kernel's own account."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with running(CHURN) as child, watching(child.pid) as watched:
        watched.window(1.5)
        child.kill()
        child.wait(DEADLINE_S)
        watched.until(lambda row: not row["processes"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)

    truth_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seen_s = [row["cpu_s"] for sample in watched.rows for row in sample["processes"]]
    assert seen_s == sorted(seen_s)
    assert truth_s - 0.15 <= seen_s[-1] <= truth_s + 0.02


def test_a_forked_child_appears_and_disappears() -> None:
    """Within a second it is followed and its parent is a master; once dead it is left out."""
    with running(FORK) as child, watching(child.pid) as watched:
        assert child.stdin is not None
        assert child.stdout is not None
        alone = watched.until(lambda row: len(row["processes"]) == 1)
        print("fork", file=child.stdin, flush=True)
        grandchild = int(child.stdout.readline())
        both = watched.until(lambda row: len(row["processes"]) == 2)
        print("kill", file=child.stdin, flush=True)
        after = watched.until(lambda row: len(row["processes"]) == 1)

    assert [row["role"] for row in alone["processes"]] == ["worker"]
    assert {row["pid"]: row["role"] for row in both["processes"]} == {child.pid: "master", grandchild: "worker"}
    assert [row["pid"] for row in after["processes"]] == [child.pid]


def test_a_stopped_child_is_sampled_on() -> None:
    """Nobody asks the target, so a target that hangs cannot hang the collector."""
    with running(BURN) as child, watching(child.pid) as watched:
        os.kill(child.pid, signal.SIGSTOP)
        watched.until(lambda _row: True)
        first, last = watched.window(2.0)
        ticks = sum(first["t_s"] < row["t_s"] <= last["t_s"] for row in watched.rows)
        os.kill(child.pid, signal.SIGCONT)

    assert ticks >= 0.95 * (last["t_s"] - first["t_s"]) / 0.1
    assert grown(first, last, child.pid, "cpu_s") == pytest.approx(0.0, abs=0.01)


def test_memory_is_shared_out_once_a_second() -> None:
    """PSS of a child is at most its RSS; between its readings it is not measured."""
    with running(SLEEP) as child, watching(child.pid) as watched:
        first, last = watched.window(2.0)
        rows = [row for row in watched.rows if first["t_s"] <= row["t_s"] <= last["t_s"]]

    found = [(row["pss_bytes"], row["rss_bytes"]) for sample in rows for row in sample["processes"]]
    measured = [(pss, rss) for pss, rss in found if pss is not None and rss is not None]
    assert 1 <= len(measured) <= 3
    assert all(0 < pss <= rss for pss, rss in measured)


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"]
)
def test_connections_nobody_accepts_stand_in_the_queue(family: socket.AddressFamily, address: str) -> None:
    """Netlink and the table count the same."""
    try:
        server = socket.create_server((address, 0), family=family, backlog=5)
    except OSError:
        pytest.skip(f"no {family.name} on this machine")
    with server, contextlib.ExitStack() as clients:
        port = server.getsockname()[1]
        for _ in range(3):
            clients.enter_context(socket.create_connection((address, port), timeout=DEADLINE_S))
        found = []
        for same_network in (True, False):
            queue = ListenQueue(port, same_network=same_network)
            found.append(_poll(queue, 3))
            queue.close()

    assert found == [(3, 5), (3, None)]


def test_listeners_that_share_a_port_are_summed() -> None:
    """SO_REUSEPORT gives each worker a queue of its own."""
    with contextlib.ExitStack() as sockets:
        first = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4, reuse_port=True))
        port = first.getsockname()[1]
        sockets.enter_context(socket.create_server(("127.0.0.1", port), backlog=4, reuse_port=True))
        for _ in range(4):
            sockets.enter_context(socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S))
        queue = ListenQueue(port)
        found = _poll(queue, 4)
        queue.close()

    assert found == (4, 8)


def _poll(queue: ListenQueue, length: int) -> tuple[int, int | None] | None:
    """Return the queue once it has that length: the handshake's last packet may still be on its way."""
    deadline_s = time.monotonic() + DEADLINE_S
    found = queue.read()
    while (found is None or found[0] != length) and time.monotonic() < deadline_s:
        time.sleep(0.01)
        found = queue.read() or found
    return found
