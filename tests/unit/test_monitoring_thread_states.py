"""What threads do, from system calls, memory maps and stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinchpoint.monitoring.image import parse_image
from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.monitoring.sockets import SocketPeers
from pinchpoint.monitoring.syscalls import Call, parse_call, table
from pinchpoint.monitoring.thread_states import ThreadStates

if TYPE_CHECKING:
    import pytest

    from pinchpoint.monitoring.thread_clocks import ThreadClocks

X86 = table("x86_64")
GIL, QUEUE_SP, LOCK_SP = 0x7FC37454E6F0, 0x7FFFF000 - 0x16B0, 0x7FFFF000 - 0x1830
MAPS = """\
556a92c00000-556a92d00000 rw-p 00000000 00:00 0                          [heap]
7fc374500000-7fc374530000 r-xp 00000000 fe:00 1                          /opt/lib/libpython3.9.so.1.0
7fc374530000-7fc374540000 rw-p 00030000 fe:00 1                          /opt/lib/libpython3.9.so.1.0
7fc374540000-7fc374560000 rw-p 00000000 00:00 0
7fc374570000-7fc374580000 rw-p 00000000 00:00 0
"""


def test_a_call_is_named_by_its_number() -> None:
    """As Linux 6.18 prints it on x86-64."""
    futex = b"202 0x7fc37454e6f0 0x89 0x0 0x0 0x0 0xffffffff 0x7fc373fff9b0 0x7fc374289f16\n"

    assert parse_call(futex, X86) == Call("futex", GIL, 0x89, 0, 0x7FC373FFF9B0)
    assert parse_call(b"232 0x5 0x7f 0x3 0xffffffff 0x0 0x0 0x7ffd 0x7f91\n", X86) == Call("epoll", 5, 0x7F, 3, 0x7FFD)
    assert parse_call(b"230 0x1 0x1 0x7f 0x0 0x0 0x0 0x7ffd 0x7f91\n", X86) == Call("sleep")
    assert parse_call(b"running\n", X86) is None
    assert parse_call(b"-1 0x7ffd 0x7f91\n", X86) == Call(None)


def test_an_unknown_machine_names_no_call() -> None:
    """Better nothing than another machine's numbers."""
    assert table("s390x") == {}


def test_the_interpreters_data_is_the_named_mapping_and_the_one_behind_it() -> None:
    """Python 3.9 keeps the GIL in the unnamed part (bss); another anonymous mapping further on is none of it."""
    expected = [(0x7FC374530000, 0x7FC374540000), (0x7FC374540000, 0x7FC374560000)]

    assert parse_image(MAPS, "/opt/bin/python3.9") == expected
    assert parse_image(MAPS.replace("libpython3.9.so.1.0", "libc.so"), "/usr/bin/nginx") is None


class _Clock:
    """A thread's clock, moved by the test."""

    def __init__(self, tid: int) -> None:
        self.tid, self.run_ns, self.wait_ns, self.slices = tid, 0, 0, 1
        self.moved = False
        self.reads = 0

    def read(self) -> bool:
        self.reads += 1
        return False


class _Clocks:
    def __init__(self, *tids: int) -> None:
        self.alive = {tid: _Clock(tid) for tid in tids}


class _Threads:
    """Threads whose calls the test sets, under a real `ThreadStates`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *tids: int) -> None:
        self.now_s = 0.0
        self.calls: dict[int, bytes] = dict.fromkeys(tids, b"running\n")
        self.clocks = _Clocks(*tids)
        prefix = "pinchpoint.monitoring.thread_states"
        monkeypatch.setattr(f"{prefix}.ThreadLook.call", lambda look: self.calls[look.clock.tid])
        monkeypatch.setattr(f"{prefix}.Image.holds", lambda _image, address, _now_s: address == GIL)
        monkeypatch.setattr(f"{prefix}.KINDS", X86)
        monkeypatch.setattr(f"{prefix}.parse_call", lambda data: parse_call(data, X86))
        clocks: ThreadClocks = self.clocks  # type: ignore[assignment]
        self.states = ThreadStates(0, clocks, DescriptorBudget(0), SocketPeers(same_network=False), lambda: self.now_s)

    def look(self, *, resting: bool | None = False, times: int = 1) -> dict[str, int]:
        """Look so many times, 50 ms apart, and return the states met, without those that were not."""
        before = self.states.counts() or {}
        for _ in range(times):
            self.now_s += 0.05
            self.states.look(resting=resting)
        after = self.states.counts() or {}
        return {name: n - before.get(name, 0) for name, n in after.items() if n > before.get(name, 0)}

    def move(self, tid: int, ran_s: float, waited_s: float = 0.0) -> None:
        """Let a thread have run and waited."""
        self.clocks.alive[tid].run_ns += round(ran_s * 1e9)
        self.clocks.alive[tid].wait_ns += round(waited_s * 1e9)


def _futex(address: int, stack: int) -> bytes:
    return b"202 %#x 0x189 0x0 0x0 0x0 0xffffffff %#x 0x7f91\n" % (address, stack)


def test_the_gil_and_other_futexes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By address; without a known resting place a futex on the heap is neither lock nor idle."""
    threads = _Threads(monkeypatch, 1, 2)
    threads.calls = {1: _futex(GIL, QUEUE_SP), 2: _futex(0x556A92C4EF30, QUEUE_SP)}

    assert threads.look() == {"gil": 1, "other": 1, "samples": 2}


def test_a_depth_seen_at_rest_is_idle_and_every_other_is_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same stack depth in another thread, whose stack lies elsewhere, is the same place."""
    threads = _Threads(monkeypatch, 1, 2)
    threads.calls = {1: _futex(0x556A92C4EF30, QUEUE_SP), 2: b"230 0x1 0x1 0x7f 0x0 0x0 0x0 0x7ffd 0x7f91\n"}
    threads.look(resting=True, times=2)
    threads.calls = {1: _futex(0x556A92C4EFF0, LOCK_SP), 2: _futex(0x7F0000000, QUEUE_SP - 0x801000)}
    threads.move(1, 0.001)
    threads.move(2, 0.001)

    assert threads.look(resting=False) == {"lock": 1, "idle": 1, "samples": 2}


def test_without_a_probe_a_long_sleep_makes_a_resting_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three seconds on one futex; shorter is not told."""
    threads = _Threads(monkeypatch, 1)
    threads.calls = {1: _futex(0x556A92C4EF30, QUEUE_SP)}

    assert threads.look(resting=None, times=40) == {"other": 40, "samples": 40}
    threads.look(resting=None, times=30)
    assert threads.look(resting=None) == {"idle": 1, "samples": 1}


def test_running_and_runnable_are_shared_out_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the time on a CPU: a quarter of the looks, without chance."""
    threads = _Threads(monkeypatch, 1)
    threads.look()
    found = {"running": 0, "runnable": 0}
    for _ in range(100):
        threads.move(1, 0.0125, 0.0375)
        for name, count in threads.look().items():
            if name in found:
                found[name] += count

    assert found == {"running": 25, "runnable": 75}


def test_looks_left_out_at_rest_are_counted_when_nothing_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of rest are forty idle looks, give or take the last few still owed."""
    threads = _Threads(monkeypatch, 1)
    threads.calls = {1: b"288 0x3 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x7f91\n"}
    found = threads.look(times=41)

    assert 37 <= found["idle"] <= 41


def test_a_stopped_process_does_nothing_it_seems_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads still show the call they were stopped in."""
    threads = _Threads(monkeypatch, 1)
    threads.calls = {1: b"230 0x1 0x1 0x7f 0x0 0x0 0x0 0x7ffd 0x7f91\n"}
    threads.states.look(resting=False, stopped=True)

    counts = threads.states.counts()
    assert counts is not None
    assert (counts["other"], counts["samples"]) == (1, 1)


def test_a_thread_busy_between_two_rests_is_told_by_its_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector's ticks know that its clock moves; the look saves reading it."""
    threads = _Threads(monkeypatch, 1)
    threads.calls = {1: b"232 0x5 0x7f 0x3 0xffffffff 0x0 0x0 0x7ffd 0x7f91\n"}
    clock = threads.clocks.alive[1]
    threads.look()
    for _ in range(10):
        threads.move(1, 0.001)
        clock.moved = True
        assert threads.look() == {"idle": 1, "samples": 1}

    assert clock.reads == 1
    threads.calls = {1: b"230 0x1 0x1 0x7f 0x0 0x0 0x0 0x7ffd 0x7f91\n"}
    assert threads.look() == {"sleep": 1, "samples": 1}


def test_the_probes_own_thread_is_no_part_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps between two publications, and nobody waits for it."""
    threads = _Threads(monkeypatch, 1, 2)
    threads.calls = {1: _futex(GIL, QUEUE_SP), 2: b"230 0x1 0x1 0x7f 0x0 0x0 0x0 0x7ffd 0x7f91\n"}
    threads.states.leave_out(2)

    assert threads.look(times=3) == {"gil": 3, "samples": 3}
