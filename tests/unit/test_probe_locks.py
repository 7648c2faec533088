"""Locks under the probe: hooked for one test, taken off again."""

import asyncio
import contextlib
import fcntl
import tempfile
import threading
from asyncio import locks as asyncio_locks
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinchpoint.monitoring.probe import blocking_locks, gates, locks, outgoing
from pinchpoint.monitoring.probe.gates import Gate, Gates
from pinchpoint.monitoring.probe.runtime import Hook


def _quiet(*_: Any) -> None:
    return


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gates]:
    """Return the gates of one test, with all locks hooked."""
    found = Gates()
    rows = SimpleNamespace(full=lambda: False, add=_quiet)
    monkeypatch.setattr(gates, "GATE_ROWS", rows)
    monkeypatch.setattr(outgoing, "GATE_ROWS", rows)
    monkeypatch.setattr(outgoing, "GATES_OPEN", found)
    monkeypatch.setattr(outgoing, "_FAMILIES", {})
    monkeypatch.setattr(locks, "ASYNC", Hook("asyncio locks", _quiet, _quiet))
    monkeypatch.setattr(blocking_locks, "FILES", Hook("file locks", _quiet, _quiet))
    owners: list[Any] = [asyncio_locks.Lock, asyncio_locks.Semaphore, threading.Semaphore]
    saved = [
        (owner, name, owner.__dict__.get(name)) for owner in owners for name in ("__init__", "_get_loop", "release")
    ]
    locks.hook_asyncio(asyncio_locks)
    blocking_locks.hook_threading(threading)
    yield found
    for owner, name, value in saved:
        if value is not None:
            setattr(owner, name, value)
        elif name in owner.__dict__:
            delattr(owner, name)


def _only(found: Gates) -> Gate:
    (gate,) = found.all
    return gate


async def _hold(lock: Any, moments: int = 1) -> None:
    async with lock:
        for _ in range(moments):
            await asyncio.sleep(0)


async def _together(*holders: Any) -> None:
    await asyncio.gather(*holders)


@pytest.mark.parametrize(("make", "limit"), [(asyncio.Lock, 1), (lambda: asyncio.Semaphore(3), 3)])
def test_all_who_wait_get_in_and_out(opened: Gates, make: Any, limit: int) -> None:
    """Nothing is left; the gate is named after who waited first, and has as many places as the lock."""

    async def contended() -> Any:
        lock = make()
        await _together(*[_hold(lock) for _ in range(8)])
        return lock

    kept = asyncio.run(contended())
    gate = _only(opened)
    assert (gate.taken, gate.busy.value, gate.waiting.value, gate.limit()) == (8, 0, 0, limit)
    assert "test_probe_locks.py:" in gate.name
    assert gate.name.startswith(f"asyncio.{type(kept).__name__} ")
    assert gate.hold_s > 0


def test_who_need_not_wait_are_not_seen(opened: Gates) -> None:
    """A lock nobody waits for has no gate."""
    asyncio.run(_hold(asyncio.Lock()))
    assert opened.all == []


def test_a_semaphore_used_as_a_signal_is_no_gate(opened: Gates) -> None:
    """It starts at 0: who waits for it waits for no holder."""

    async def signal() -> None:
        semaphore = asyncio.Semaphore(0)
        waiter = asyncio.ensure_future(semaphore.acquire())
        await asyncio.sleep(0)
        semaphore.release()
        await waiter

    asyncio.run(signal())
    assert opened.all == []


def test_a_wait_that_is_cancelled_leaves_nobody_waiting(opened: Gates) -> None:
    """The holder stays, until it lets go."""

    async def cancelled() -> tuple[int, int]:
        lock = asyncio.Lock()
        async with lock:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lock.acquire(), 0.01)
            gate = _only(opened)
            during = (gate.waiting.value, gate.busy.value)
        assert gate.busy.value == 0
        return during

    assert asyncio.run(cancelled()) == (0, 1)
    assert _only(opened).taken == 1


def test_a_condition_leaves_nothing_behind(opened: Gates) -> None:
    """It keeps the methods of its lock for itself."""

    async def contended() -> None:
        condition = asyncio.Condition()
        await _together(*[_hold(condition, 3) for _ in range(4)])

    asyncio.run(contended())
    assert (_only(opened).busy.value, _only(opened).waiting.value) == (0, 0)


class Crowd:
    """Tasks that hold a semaphore until they are told to leave."""

    def __init__(self, limit: int) -> None:
        self.semaphore = asyncio.BoundedSemaphore(limit)
        self.tasks: list[asyncio.Task[None]] = []
        self.leave: list[asyncio.Event] = []

    def enter(self) -> None:
        """Let one more come."""
        self.leave.append(asyncio.Event())
        self.tasks.append(asyncio.ensure_future(self._hold(self.leave[-1])))

    async def act(self, action: str, which: int) -> None:
        """Do one step."""
        if action == "enter":
            self.enter()
        elif action == "turn":
            await asyncio.sleep(0)
        elif self.tasks and action == "cancel":
            self.tasks[which % len(self.tasks)].cancel()
        elif self.tasks:
            self.leave[which % len(self.tasks)].set()

    async def all_leave(self) -> None:
        """Wait until all are gone."""
        for event in self.leave:
            event.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _hold(self, leave: asyncio.Event) -> None:
        async with self.semaphore:
            await leave.wait()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "turn"]), st.integers(0, 9)), max_size=40),
)
def test_whatever_happens_no_level_is_left(opened: Gates, limit: int, steps: list[tuple[str, int]]) -> None:
    """Tasks come, go and are cancelled at any moment, waiting or holding, in any order."""

    async def anything() -> None:
        crowd = Crowd(limit)
        for action, which in steps:
            await crowd.act(action, which)
        await crowd.all_leave()
        # One that was cancelled just when it got in is noticed when the lock is next waited for.
        for _ in range(limit + 1):
            crowd.enter()
        await asyncio.sleep(0)
        await crowd.all_leave()
        assert {(gate.busy.value, gate.waiting.value) for gate in opened.all} == {(0, 0)}

    asyncio.run(anything())


def test_a_lock_that_is_forgotten_gives_up_its_place(opened: Gates) -> None:
    """A semaphore collected while it is held."""

    async def forgotten() -> None:
        lock = asyncio.Semaphore(1)
        await lock.acquire()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lock.acquire(), 0.01)
        assert _only(opened).busy.value == 1

    asyncio.run(forgotten())
    assert _only(opened).busy.value == 0


def test_a_broken_hook_breaks_no_lock(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It switches itself off and says so once."""
    monkeypatch.setattr(locks, "Watched", None)

    async def contended() -> None:
        lock = asyncio.Lock()
        await _together(*[_hold(lock) for _ in range(4)])

    asyncio.run(contended())
    assert locks.ASYNC.alive is False
    assert capsys.readouterr().err.count("pinchpoint probe:") == 1


def test_a_threading_semaphores_waits_are_seen(opened: Gates) -> None:
    """Its holders are unavailable."""
    semaphore = threading.BoundedSemaphore(1)
    semaphore.acquire()
    timer = threading.Timer(0.02, semaphore.release)
    timer.start()
    assert semaphore.acquire(timeout=5)
    timer.join()
    gate = _only(opened)
    assert gate.name.startswith("threading.Semaphore ")
    assert gate.wait_s == pytest.approx(0.02, abs=0.02)
    assert (gate.taken, gate.waiting.value, gate.limit()) == (1, 0, 1)
    assert gate.busy.value != gate.busy.value


def test_a_semaphore_that_is_not_got_in_time_counts_a_timeout(opened: Gates) -> None:
    """A try without waiting counts nothing."""
    semaphore = threading.Semaphore(1)
    semaphore.acquire()
    assert not semaphore.acquire(timeout=0)
    assert opened.all == []
    assert not semaphore.acquire(timeout=0.01)
    assert (_only(opened).timeouts, _only(opened).waiting.value) == (1, 0)


def test_a_file_lock_keeps_its_errors_and_its_wait(opened: Gates, tmp_path: Path) -> None:
    """A blocking call is timed, one that never blocks passes, and an error is the app's own."""
    module = SimpleNamespace(
        flock=fcntl.flock, lockf=fcntl.lockf, LOCK_NB=fcntl.LOCK_NB, LOCK_UN=fcntl.LOCK_UN, LOCK_EX=fcntl.LOCK_EX
    )
    blocking_locks.hook_fcntl(module)
    with (tmp_path / "x.lock").open("w") as first, (tmp_path / "x.lock").open("w") as second:
        module.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            module.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        timer = threading.Timer(0.02, lambda: module.flock(first, fcntl.LOCK_UN))
        timer.start()
        module.flock(second.fileno(), fcntl.LOCK_EX)
        timer.join()
    gate = _only(opened)
    assert gate.name == f"file {tmp_path}/x.lock"
    assert gate.wait_s == pytest.approx(0.02, abs=0.02)
    assert (gate.taken, gate.waiting.value) == (2, 0)
    with tempfile.TemporaryFile() as closed:
        pass
    with pytest.raises(ValueError, match="closed file"):
        module.flock(closed, fcntl.LOCK_EX)
    assert blocking_locks.FILES.alive
