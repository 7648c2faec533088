"""What a thread is doing, seen from outside: its state letter and the kernel function it sleeps in (METHOD §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinchpoint.monitoring.procfs import KeptFile, parse_state

if TYPE_CHECKING:
    from pinchpoint.monitoring.procfs import DescriptorBudget

LOOP_STATES = ("running", "idle", "futex", "sleep", "socket", "disk", "other")
SAMPLES = "samples"

_AWAKE = {"R": "running", "D": "disk"}
_EPOLL = ("do_epoll_wait", "ep_poll")
_POLL = ("poll_schedule_timeout", "do_poll", "do_sys_poll", "do_select", "core_sys_select")
_ASLEEP = (
    ("idle", (*_EPOLL, "inet_csk_accept", "inet_accept", "inet_csk_wait_for_connect")),
    ("futex", ("futex",)),
    ("sleep", ("hrtimer_nanosleep", "do_nanosleep", "common_nsleep")),
    ("socket", ("wait_woken", "sk_", "sock_", "tcp_", "inet_", "unix_", "__skb_wait")),
)
"""Prefixes, the first match counts: names change between kernels (`futex_wait_queue_me`, `futex_do_wait`)."""
_BLIND_AFTER = 50
"""So many sleeping looks without one readable name: this kernel hides `wchan` (it then reads 0 for everybody)."""


def classify(state: str, wchan: str, *, has_loop: bool) -> str:
    """Return which of LOOP_STATES a thread is in.

    `state` is the letter of `stat`, `wchan` the kernel function's name (`0` for none). R covers both on a CPU and
    waiting for one; schedstat splits it. Waiting in poll or select is a server's idle place, unless the thread runs an
    epoll loop (`has_loop`): then it is a blocking driver that waits for its own socket.
    """
    if state != "S":
        return _AWAKE.get(state, "other")
    if wchan.startswith(_POLL):
        return "socket" if has_loop else "idle"
    return next((name for name, functions in _ASLEEP if wchan.startswith(functions)), "other")


class LoopWatch:
    """Cumulative counts of looks at one thread. `look()` costs 1 to 5 us."""

    def __init__(self, pid: int, tid: int, budget: DescriptorBudget) -> None:
        self.tid = tid
        self._has_loop = False
        self._counts = dict.fromkeys((*LOOP_STATES, SAMPLES), 0)
        self._named = False
        self._open(pid, tid, budget)

    def _open(self, pid: int, tid: int, budget: DescriptorBudget) -> None:
        self._stat = KeptFile(f"/proc/{pid}/task/{tid}/stat", budget)
        self._wchan = KeptFile(f"/proc/{pid}/task/{tid}/wchan", budget)

    def follow(self, pid: int, tid: int, budget: DescriptorBudget) -> None:
        """Look at another thread from now on; counts go on."""
        self.close()
        self.tid = tid
        self._open(pid, tid, budget)

    def look(self, *, has_loop: bool) -> None:
        """Look once; a thread that is gone, or whose files are closed to us, is not counted."""
        wchan = self._wchan.read()
        if wchan is None:
            return
        name = wchan.decode("ascii", "replace")
        # Epoll is where a loop spends its idle time, and only sleepers are there: the usual look costs one read.
        state = "S" if name.startswith(_EPOLL) else self._read_state()
        if state is None:
            return
        self._named |= name not in {"", "0"}
        self._has_loop |= has_loop or name.startswith(_EPOLL)
        self._counts[classify(state, name, has_loop=self._has_loop)] += 1
        self._counts[SAMPLES] += 1

    def record(self, state: str) -> None:
        """Count a look that was taken elsewhere (`thread_states`), by its name among LOOP_STATES."""
        self._named = True
        self._counts[state] += 1
        self._counts[SAMPLES] += 1

    def _read_state(self) -> str | None:
        data = self._stat.read()
        return parse_state(data) if data is not None else None

    def counts(self) -> dict[str, int] | None:
        """Return the counts so far; None before the first look and where the kernel names no waiting place."""
        looks = self._counts[SAMPLES]
        asleep = looks - self._counts["running"] - self._counts["disk"]
        if looks == 0 or (asleep >= _BLIND_AFTER and not self._named):
            return None
        return dict(self._counts)

    def close(self) -> None:
        """Give the descriptors back."""
        self._stat.close()
        self._wchan.close()
