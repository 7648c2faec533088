"""What every thread of a process is doing, looked at twenty times a second from outside (METHOD §3.2).

A thread that was not put on a CPU since its last look, and slept then, still sleeps at the same place: one read of 0.4
us. Otherwise its system call tells; and of a thread that is busy between two rests, the same call as before says so
without a look at its clock. A thread that has rested for a second is looked at less often; if it has not moved
meanwhile, it rested at every look left out, and they are counted.

Whether a futex is a lock or the place where a pool thread waits for work cannot be told from the address: idle threads
share one as waiters of a lock do (or, since Python 3.13, each has its own). It is told from the stack: a thread waits
for work always at the same depth, and in a handler at another. Depths seen while the process had no request in flight
are resting places; until one is known, a futex is neither (`other`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pinchpoint.monitoring.descriptors import Descriptors
from pinchpoint.monitoring.image import Image
from pinchpoint.monitoring.procfs import PAGE_BYTES, KeptFile, parse_state
from pinchpoint.monitoring.sockets import LISTENING
from pinchpoint.monitoring.syscalls import KINDS, Call, parse_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinchpoint.monitoring.procfs import DescriptorBudget
    from pinchpoint.monitoring.sockets import SocketPeers
    from pinchpoint.monitoring.thread_clocks import ThreadClock, ThreadClocks

SAMPLES = "samples"
AWAKE = ("running", "runnable")
LOOP_STATE = {"runnable": "running", "gil": "futex", "lock": "futex"}
"""How the loop's own states call these; the others have the same name."""
OTHER_PEERS = "(other)"
_PEERS_MAX = 50
_NAMES = (*AWAKE, "gil", "lock", "sleep", "socket", "disk", "idle", "other", SAMPLES)
_REST_AFTER = 20
_REST_EVERY = 4
_RETRY_EVERY = 20
"""Looks between two tries where system calls cannot be seen: a process in the middle of exec cannot be traced."""
_QUIET_S = 3.0
"""Without a probe: a thread that slept for so long at a futex waits for work."""
_STACK_ALIGN = 16
_TELLING = frozenset({"idle", "sleep", "gil"})
"""States that the same call with the same arguments means again."""
_STEADY = frozenset({"idle", "sleep", "gil", "lock", "socket", "disk"})
"""States that last as long as the thread is not put on a CPU."""
_STANDING = {"epoll": "idle", "accept": "idle", "idle": "idle", "sleep": "sleep", "disk": "disk", "file-lock": "lock"}


class ThreadLook:
    """The last look at one thread."""

    __slots__ = (
        "_call_file",
        "_stat",
        "clock",
        "depth",
        "homed",
        "last",
        "looping",
        "moved_s",
        "owed",
        "peer",
        "rested",
        "run_ns",
        "seen_s",
        "state",
        "still",
        "wait_ns",
        "woken",
    )

    def __init__(self, pid: int, clock: ThreadClock, budget: DescriptorBudget) -> None:
        self.clock = clock
        self._call_file = KeptFile(f"/proc/{pid}/task/{clock.tid}/syscall", budget)
        self._stat = KeptFile(f"/proc/{pid}/task/{clock.tid}/stat", budget)
        self.state = "other"
        self.peer: str | None = None
        self.depth: int | None = None
        """Where the stack stood in a futex wait, modulo a page: ends of stacks are aligned to pages."""
        self.last: bytes | None = None
        self.moved_s = self.seen_s = 0.0
        self.run_ns = self.wait_ns = 0
        self.owed = self.rested = 0
        self.still = False
        self.woken = 0.0
        self.looping = False
        """It runs an event loop: epoll is its idle place."""
        self.homed = False
        """Its idle place is no futex: it was seen waiting for connections."""

    def call(self) -> bytes | None:
        """Read the thread's system call."""
        return self._call_file.read()

    def letter(self) -> str | None:
        """Read the thread's state letter."""
        data = self._stat.read()
        return parse_state(data) if data is not None else None

    def close(self) -> None:
        """Give the descriptors back."""
        self._call_file.close()
        self._stat.close()


class ThreadStates:
    """Cumulative counts of looks at the threads of one process."""

    def __init__(
        self,
        pid: int,
        clocks: ThreadClocks,
        budget: DescriptorBudget,
        sockets: SocketPeers,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pid = pid
        self._clocks = clocks
        self._budget = budget
        self._timer = timer
        self._descriptors = Descriptors(pid, sockets)
        self._image = Image(pid)
        self._looks: dict[int, ThreadLook] = {}
        self._counts = dict.fromkeys(_NAMES, 0)
        self._peers: dict[str, int] = {}
        self._places: set[int] = set()
        self._loop_tid: int | None = None
        self._left_out: int | None = None
        self._gil_known = False
        self._blind_looks = 0
        self.readable: bool | None = None if KINDS else False
        """Whether the kernel lets us see system calls; None before the first look."""

    def look(self, *, resting: bool | None, stopped: bool = False) -> None:
        """Look at every thread once.

        `resting`: no request was in flight, as the probe published since the last look (None: nobody knows);
        `stopped`: the process is stopped by a signal, which its system calls do not show.
        """
        if self.readable is False:
            self._blind_looks += 1
            if not KINDS or self._blind_looks % _RETRY_EVERY:
                return
        now_s = self._timer()
        if not self._gil_known:
            self._gil_known = self._image.holds(0, now_s) is not None
        alive = self._clocks.alive
        for tid, clock in alive.items():
            if tid != self._left_out:
                self._look_at(tid, clock, now_s, resting=resting, stopped=stopped)
        if len(self._looks) > len(alive):
            for tid in self._looks.keys() - alive.keys():
                self._looks.pop(tid).close()

    def _look_at(self, tid: int, clock: ThreadClock, now_s: float, *, resting: bool | None, stopped: bool) -> None:
        look = self._looks.get(tid)
        if look is None or look.clock is not clock:
            look = self._follow(tid, clock)
        if clock.moved and not look.still and not stopped and look.state in _TELLING and look.call() == look.last:
            # The usual look at a server under load, without a call more than it needs.
            look.moved_s = look.seen_s = now_s
            look.owed = look.rested = 0
            self._counts[look.state] += 1
            self._counts[SAMPLES] += 1
            return
        if look.rested >= _REST_AFTER and look.owed < _REST_EVERY - 1:
            look.owed += 1
            return
        self._see(look, now_s, stopped)
        self._learn(look, now_s, resting)
        self._count(look)

    def state_of(self, tid: int) -> str | None:
        """Return what a thread did at the last look."""
        look = self._looks.get(tid)
        return look.state if look is not None and self.readable else None

    def mark_loop(self, tid: int) -> None:
        """Say which thread runs the event loop: its idle place is epoll, and every futex is a wait."""
        self._loop_tid = tid

    def leave_out(self, tid: int) -> None:
        """Say which thread is the probe's own: it is no part of the app."""
        self._left_out = tid

    def counts(self) -> dict[str, int] | None:
        """Return the looks by state; None where system calls cannot be seen.

        Without an interpreter in the process there is no GIL to wait for, and no count of it.
        """
        if not self.readable or not self._counts[SAMPLES]:
            return None
        found = dict(self._counts)
        if not self._gil_known:
            found[SAMPLES] -= found.pop("gil")
        return found

    def peers(self) -> dict[str, int] | None:
        """Return the looks that met a thread waiting on a socket, by peer; None where that cannot be seen."""
        return dict(self._peers) if self.readable else None

    def close(self) -> None:
        """Give every descriptor back."""
        for look in self._looks.values():
            look.close()
        self._looks.clear()

    def _follow(self, tid: int, clock: ThreadClock) -> ThreadLook:
        old = self._looks.pop(tid, None)
        if old is not None:
            old.close()
        look = self._looks[tid] = ThreadLook(self._pid, clock, self._budget)
        look.run_ns, look.wait_ns = clock.run_ns, clock.wait_ns
        return look

    def _see(self, look: ThreadLook, now_s: float, stopped: bool) -> None:
        """Find out what a thread does; at rest or asleep and not moved since, it does what it did."""
        look.clock.read()
        clock = look.clock
        look.still = clock.run_ns == look.run_ns and clock.wait_ns == look.wait_ns and look.last is not None
        if look.still and look.state == "idle" and not stopped:
            look.seen_s = now_s
            return
        data = look.call()
        if data is None:
            self.readable = bool(self.readable)
            look.state = "other"
            return
        self.readable = True
        if stopped:
            look.state, look.peer, data = "other", None, b""
        elif data != look.last or look.state not in (_STEADY if look.still else _TELLING):
            self._judge(look, parse_call(data), now_s)
        if not look.still:
            look.moved_s = now_s
        look.last, look.seen_s, look.run_ns, look.wait_ns = data, now_s, clock.run_ns, clock.wait_ns

    def _judge(self, look: ThreadLook, call: Call | None, now_s: float) -> None:
        look.peer = look.depth = None
        if call is None:
            look.state = self._awake(look, now_s)
        elif call.kind == "futex":
            look.state = self._futex(look, call, now_s)
        else:
            look.looping |= look.clock.tid == self._loop_tid
            look.state, look.peer = self._waiting(look, call)
            if look.state == "idle":
                look.homed |= look.peer == LISTENING or call.kind in {"epoll", "accept"}
                look.looping |= call.kind == "epoll"
                look.peer = None

    def _awake(self, look: ThreadLook, now_s: float) -> str:
        """Split a runnable thread's looks by its clock: what it ran and what it waited since the last one.

        The kernel books a wait when it ends; of a thread that was not put on a CPU again, the rest of the time is one.
        """
        ran = look.clock.run_ns - look.run_ns
        waited = look.clock.wait_ns - look.wait_ns
        if waited == 0 and look.state in AWAKE:
            waited = max(int((now_s - look.seen_s) * 1e9) - ran, 0)
        if ran + waited > 0:
            look.woken += waited / (ran + waited)
        if look.woken >= 0.5:  # noqa: PLR2004 - rounds, and carries the rest to the next look
            look.woken -= 1.0
            return "runnable"
        return "running"

    def _futex(self, look: ThreadLook, call: Call, now_s: float) -> str:
        if self._image.holds(call.first, now_s):
            return "gil"
        look.depth = -call.stack % PAGE_BYTES // _STACK_ALIGN
        if look.homed or look.clock.tid == self._loop_tid:
            return "lock"
        if look.depth in self._places:
            return "idle"
        return "lock" if self._places else "other"

    def _waiting(self, look: ThreadLook, call: Call) -> tuple[str, str | None]:
        if call.kind == "poll":
            return self._descriptors.polled(call.first, call.second, has_loop=look.looping)
        if call.kind == "select":
            return self._descriptors.selected(call.first, call.second, call.third, has_loop=look.looping)
        if call.kind in {"receive", "send"}:
            return self._descriptors.one(call.first, sends=call.kind == "send")
        if call.kind == "epoll" and not look.looping:
            return self._descriptors.watched(call.first)
        if call.kind is not None:
            return _STANDING[call.kind], None
        letter = look.letter()
        return ("disk" if letter == "D" else "running" if letter == "R" else "other"), None

    def _learn(self, look: ThreadLook, now_s: float, resting: bool | None) -> None:
        """Take the depth of a futex wait for a resting place when nothing was to be done, or nothing was for long."""
        if look.depth is None or not look.still or look.depth in self._places or look.homed:
            return
        if resting or (resting is None and now_s - look.moved_s >= _QUIET_S):
            self._places.add(look.depth)
            look.state = "idle"

    def _count(self, look: ThreadLook) -> None:
        looks = 1 + (look.owed if look.still else 0)
        look.owed = 0
        look.rested = look.rested + 1 if look.state == "idle" and look.still else 0
        self._counts[look.state] += looks
        self._counts[SAMPLES] += looks
        if look.peer is not None:
            peer = look.peer if look.peer in self._peers or len(self._peers) < _PEERS_MAX else OTHER_PEERS
            self._peers[peer] = self._peers.get(peer, 0) + looks
