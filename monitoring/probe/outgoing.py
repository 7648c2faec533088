"""Outgoing calls, and the gates they pass: what the hooks of all HTTP clients share.

A call is one attempt: redirects and retries count once each. It begins when it has a place in its client's pool (the
wait for that is the gate's; opening the connection is part of the call) and ends when the body is read or the response
is closed, also for streams: what the app does between two chunks is in it. After `101 Switching Protocols` it ends at
once. Errors are exceptions of the client (timeouts included) and answers of class 5xx. A call cancelled by the app is
none. Who waited for a place in vain made no call: that is a timeout of the gate.

A gate stands for all pools made at the same place of the code: a client made anew for each request eats no row. Its
size is that of all its pools in use. A response that is never closed keeps its place in the pool, as it does in truth,
until the pool is closed or collected.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import weakref
from typing import Any

from .gates import GATES_OPEN
from .layout import OTHER
from .peers import HTTP, PEERS, Peer
from .real import RLock
from .runtime import RUNTIME, Hook
from .tables import GATE_ROWS

POOL = "http-pool"
VISIT = "_pinchpoint_visit"
"""Where a visit hangs on the client's own object."""
_DOOR, _SITE = "_pinchpoint_door", "_pinchpoint_site"
_MOST_NAMES = 10
"""Gates of one kind with a name of their own; the rest share `(other)`, and leave rows for other kinds."""
_SERVER_ERROR = 500
_SWITCHING = 101
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_HERE = __name__.rpartition(".")[0]
_LOOP_MODULES = ("asyncio.events", "asyncio.base_events", "asyncio.runners", "uvloop", "threading")
_KEYS = itertools.count()


def _renew_locks() -> None:
    """In a forked child: they may have been held."""
    global _FAMILY_LOCK, _CHANGE_LOCK
    _FAMILY_LOCK, _CHANGE_LOCK = RLock(), RLock()


os.register_at_fork(after_in_child=_renew_locks)


def watch(name: str) -> Hook:
    """Return a new hook whose figures all go to gates and peers."""
    hook = Hook(name, _nothing, _nothing)
    RUNTIME.add(hook)
    return hook


def _nothing(*_: Any) -> None:
    return


def peer(scheme: str, host: str, port: int | None) -> Peer:
    """Return the peer `host:port`, with `https://` before it where that is the scheme."""
    secure = scheme in ("https", "wss")
    return PEERS.get(HTTP, "%s%s:%d" % ("https://" if secure else "", host, port or _DEFAULT_PORTS.get(scheme, 0)))


def site(*passed: str) -> str:
    """Return `file:line` of whoever called into the modules `passed` (and those below them); empty when nobody did."""
    frame: Any = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads source files
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not _within(name, (_HERE, *passed)):
            if name in _LOOP_MODULES:
                return ""
            return "%s:%d" % (_short(frame.f_code.co_filename), frame.f_lineno)
        frame = frame.f_back
    return ""


def _within(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(module + ".") for module in modules)


def _short(path: str) -> str:
    """Relative to the working directory, or the last two parts."""
    with contextlib.suppress(OSError):
        here = os.getcwd() + "/"  # noqa: PTH109 - pathlib stays out of other people's processes
        if path.startswith(here):
            return path[len(here) :]
    return "/".join(path.split("/")[-2:])


class Family:
    """The gate of all pools or locks that share a name."""

    def __init__(self, kind: str, name: str) -> None:
        self.sized = 0.0
        self.unlimited = 0
        self._last: float | None = None
        self.gate = GATES_OPEN.named(kind, name, self.size)

    def size(self) -> float | None:
        """Return the places of all members in use, of the last one when there is none; None without a limit."""
        if self.unlimited or self.gate.name == OTHER:
            return None
        return self.sized or self._last

    def change(self, limit: float | None, sign: int) -> None:
        """Count a member in (`sign` 1) or out (-1)."""
        # The garbage collector comes here, maybe while its thread holds the lock of all gates; so whoever holds this
        # lock must not want another.
        with _CHANGE_LOCK:
            if limit is None:
                self.unlimited += sign
            else:
                self.sized += sign * limit
                self._last = limit


_FAMILIES: dict[tuple[str, str], Family] = {}
_FAMILY_LOCK, _CHANGE_LOCK = RLock(), RLock()


def family(kind: str, name: str) -> Family:
    """Return the family of this kind and name, or that of `(other)` when there are too many names."""
    with _FAMILY_LOCK:
        if (kind, name) not in _FAMILIES:
            of_kind = sum(1 for other, _ in _FAMILIES if other == kind)
            name = OTHER if of_kind >= _MOST_NAMES or GATE_ROWS.full() else name
        if (kind, name) not in _FAMILIES:
            _FAMILIES[kind, name] = Family(kind, name)
        return _FAMILIES[kind, name]


class Door:
    """One pool's part in its gate: it knows who is inside, so that a pool closed or forgotten gives up all places."""

    def __init__(self, kind: str, name: str, limit: float | None) -> None:
        self._family = family(kind, name)
        self.gate = self._family.gate
        self.limit = limit
        self._inside: dict[int, tuple[tuple[object, float], Any]] = {}
        self._open = True
        self._family.change(limit, 1)

    def enter(self, taken: tuple[object, float], visit: Visit | None = None) -> int:
        """Remember what the gate gave to one that got in; return the key for `leave`."""
        if not self._open:
            self._open = True
            self._family.change(self.limit, 1)
        key = next(_KEYS)
        self._inside[key] = taken, None if visit is None else weakref.ref(visit)
        return key

    def leave(self, key: int) -> None:
        """Count one out, once."""
        inside = self._inside.pop(key, None)
        if inside is not None:
            self.gate.back(inside[0])

    def resize(self, limit: float | None) -> None:
        """Change the number of places."""
        if limit != self.limit and self._open:
            self._family.change(self.limit, -1)
            self._family.change(limit, 1)
        self.limit = limit

    def close(self) -> None:
        """Give up all places, and end the calls; a pool that is used again opens again."""
        for key, (_, reference) in list(self._inside.items()):
            self.leave(key)
            visit = reference and reference()
            if visit is not None:
                visit.close()
        if self._open:
            self._open = False
            self._family.change(self.limit, -1)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def remember_site(pool: Any, *passed: str) -> None:
    """Note where a pool is made; its gate is opened at first use only."""
    pool.__dict__[_SITE] = site(*passed)


def door_of(pool: Any, client: str, limit: float | None, text: str = "") -> Door:
    """Return the door of a pool, made at first use: `client max LIMIT file:line`."""
    door: Door | None = pool.__dict__.get(_DOOR)
    if door is None:
        bound = text or ("(no limit)" if limit is None else "max %d" % limit)
        name = " ".join([part for part in (client, bound, pool.__dict__.get(_SITE, "")) if part])
        door = pool.__dict__[_DOOR] = Door(POOL, name, limit)
    return door


def close_door(pool: Any) -> None:
    """Give up the places of a pool that is closed; nothing to do for one that was never used."""
    door = pool.__dict__.get(_DOOR)
    if door is not None:
        door.close()


class Visit:
    """One request on its way: through the door, to the peer, and back. Its methods never raise.

    The order is `wait` if it has to, `admitted`, `call`, `answered`, `end`; `fail` at any time. Collected without an
    end, its call ends there, but its place, where places are limited, stays taken.
    """

    __slots__ = ("__weakref__", "_asked", "_began", "_door", "_failed", "_hook", "_key", "_peer")

    def __init__(self, hook: Hook, door: Door | None) -> None:
        self._hook = hook
        self._door = door
        self._peer: Peer | None = None
        self._asked: float | None = None
        self._key: int | None = None
        self._began = 0.0
        self._failed = False

    def wait(self) -> None:
        """There is no place: it begins to wait, or goes on to, when the place it was promised was taken by another."""
        try:
            if self._door is not None and self._asked is None:
                self._retreat(self._door)
                self._asked = self._door.gate.ask()
        except Exception as error:
            self._hook.fail(error)

    def admitted(self) -> None:
        """It has a place, waited for or not."""
        try:
            door, asked, self._asked = self._door, self._asked, None
            if door is not None and self._key is None:
                self._key = door.enter(door.gate.took() if asked is None else door.gate.got(asked), self)
        except Exception as error:
            self._hook.fail(error)

    def call(self, target: Peer) -> None:
        """It goes to its peer."""
        try:
            if self._peer is None:
                self._began = target.enter()
                self._peer = target
        except Exception as error:
            self._hook.fail(error)

    def opened(self, seconds: float) -> None:
        """Count a connection that was opened, or failed to."""
        try:
            if self._door is not None:
                self._door.gate.opened_in(seconds)
        except Exception as error:
            self._hook.fail(error)

    def answered(self, status: int) -> None:
        """Its answer begins. A status of another type (doubles of clients in tests) says nothing."""
        if isinstance(status, int):
            self._failed = status >= _SERVER_ERROR
            if status == _SWITCHING:
                self.close()

    def close(self, failed: bool = False) -> None:
        """Its call is over; its place may still be taken."""
        try:
            target, self._peer = self._peer, None
            if target is not None:
                target.leave(self._began, failed or self._failed)
        except Exception as error:
            self._hook.fail(error)

    def end(self, failed: bool = False) -> None:
        """Its call is over and its place free."""
        try:
            self._finish(failed)
        except Exception as error:
            self._hook.fail(error)

    def fail(self, error: BaseException, timed_out: bool = False) -> None:
        """It ended with `error`; `timed_out` says that it waited for a place in vain."""
        try:
            door, asked, self._asked = self._door, self._asked, None
            if door is not None and asked is not None:
                door.gate.gave_up(asked, timed_out)
            self._finish(isinstance(error, Exception))
        except Exception as own:
            self._hook.fail(own)

    def _retreat(self, door: Door) -> None:
        """It never had its place, and made no call."""
        target, self._peer = self._peer, None
        if target is not None:
            target.leave(self._began, failed=False, calls=0)
        key, self._key = self._key, None
        if key is not None:
            door.leave(key)
            with door.gate.lock:
                door.gate.taken -= 1

    def _finish(self, failed: bool) -> None:
        self.close(failed)
        asked, self._asked = self._asked, None
        if asked is not None and self._door is not None:
            self._door.gate.gave_up(asked, timed_out=False)
        key, self._key = self._key, None
        if key is not None and self._door is not None:
            self._door.leave(key)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            if self._door is not None and self._door.limit is not None:
                self._key = None
            self._finish(failed=False)
