"""Thread pools: busy, waiting and waits, exactly, at no change to what they run."""

import inspect
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.monitoring.probe import executors
from pinchpoint.monitoring.probe.executors import Pool, Task
from pinchpoint.monitoring.probe.gates import Gates
from pinchpoint.monitoring.probe.runtime import Hook
from pinchpoint.monitoring.probe.tables import GATE_ROWS

Executor = type[ThreadPoolExecutor]


class Clock:
    """A time that goes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:  # noqa: D102 - it is a function to whoever calls it
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the time as the pools see it."""
    clock = Clock()
    monkeypatch.setattr(executors, "_now", clock)
    return clock


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gates]:
    """Return fresh gates, pools and hook."""
    gates, pools, rows = Gates(), executors.Pools(), list(GATE_ROWS._sources)
    monkeypatch.setattr(executors, "GATES_OPEN", gates)
    monkeypatch.setattr(executors, "POOLS", pools)
    monkeypatch.setattr(executors, "HOOK", Hook("executors", pools.fill, pools.reset))
    yield gates
    GATE_ROWS._sources[:] = rows


@pytest.fixture
def executor_class(gates: Gates) -> Executor:
    """Return a watched class of executors; the real one stays as it is."""

    class Watched(ThreadPoolExecutor):
        """Watched."""

    executors.hook_executor(SimpleNamespace(ThreadPoolExecutor=Watched))
    return Watched


def _figures(gates: Gates, at: float = 0.0) -> dict[str, dict[str, float]]:
    names = ("size", "busy", "busy_s", "waiting", "waiting_s", "wait_s", "hold_s", "taken")
    return {f"{gate.kind} {gate.name}": dict(zip(names, gate.figures(at), strict=False)) for gate in gates.all}


def test_a_call_waits_until_it_runs_and_is_busy_until_it_returns(gates: Gates, clock: Clock) -> None:
    """Asked at 100, run at 103, done at 108."""
    pool = Pool("executor", "x")

    def work() -> str:
        figures = _figures(gates, clock.now)["executor x"]
        assert (figures["waiting"], figures["busy"], figures["wait_s"]) == (0, 1, 3)
        clock.now = 108.0
        return "done"

    task = Task(pool, work)
    assert _figures(gates, 102.0)["executor x"]["waiting_s"] == 2
    clock.now = 103.0
    assert task() == "done"
    figures = _figures(gates, 120.0)["executor x"]
    assert (figures["waiting_s"], figures["wait_s"], figures["busy_s"], figures["hold_s"]) == (3, 3, 5, 5)
    assert (figures["waiting"], figures["busy"], figures["taken"]) == (0, 0, 1)


def test_a_call_that_raises_is_over(gates: Gates, clock: Clock) -> None:
    """The exception goes on."""
    task = Task(Pool("executor", "x"), lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task()
    assert _figures(gates)["executor x"]["busy"] == 0


def test_a_call_that_is_cancelled_waits_no_longer(gates: Gates, clock: Clock) -> None:
    """It never ran, so it was no wait for a thread that was got."""
    task: Any = Task(Pool("executor", "x"), print)
    clock.now = 104.0
    del task
    figures = _figures(gates, 200.0)["executor x"]
    assert (figures["waiting"], figures["waiting_s"], figures["wait_s"], figures["taken"]) == (0, 4, 0, 0)


def test_a_forked_child_counts_from_zero(gates: Gates, clock: Clock) -> None:
    """What its parent asked for does not come back there; what it asks for itself is counted."""
    pool = Pool("executor", "x")
    task = Task(pool, lambda: None)
    gates.reset()
    task()
    assert _figures(gates)["executor x"]["taken"] == 0
    Task(pool, lambda: None)()
    figures = _figures(gates)["executor x"]
    assert (figures["taken"], figures["busy"], figures["waiting"]) == (1, 0, 0)


def test_real_threads_are_watched(gates: Gates, executor_class: Executor) -> None:
    """Two threads, five calls: two run, three wait."""
    go = threading.Event()
    running = threading.Semaphore(0)

    def work(number: int) -> int:
        running.release()
        assert go.wait(10)
        return number

    with executor_class(2, thread_name_prefix="jobs") as pool:
        futures = [pool.submit(work, number) for number in range(5)]
        assert running.acquire(timeout=10)
        assert running.acquire(timeout=10)
        figures = _figures(gates)["executor jobs"]
        assert (figures["size"], figures["busy"], figures["waiting"]) == (2, 2, 3)
        go.set()
        assert [future.result() for future in futures] == [0, 1, 2, 3, 4]
    figures = _figures(gates)["executor jobs"]
    assert (figures["busy"], figures["waiting"], figures["taken"]) == (0, 0, 5)
    assert math.isnan(figures["size"])  # it was shut down


def test_arguments_and_signature_stay(gates: Gates, executor_class: Executor) -> None:
    """Keyword arguments of any name, `self` and `fn` included."""
    with executor_class(1) as pool:
        assert pool.submit(dict, self=1, fn=2).result() == {"self": 1, "fn": 2}
        assert list(pool.map(abs, [-1, 2])) == [1, 2]
    assert inspect.signature(executor_class.submit) == inspect.signature(ThreadPoolExecutor.submit)
    assert inspect.signature(executor_class) == inspect.signature(ThreadPoolExecutor)


def test_an_executor_is_named_after_the_line_that_made_it(gates: Gates, executor_class: Executor) -> None:
    """Not after the constructor of a subclass; two of one line are one gate of both sizes."""

    class Mine(executor_class):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__(max_workers=3)

    pools = [Mine() for _ in range(2)]
    for pool in pools:
        pool.submit(int).result()
    line = inspect.stack()[0].lineno - 3
    assert {name: figures["size"] for name, figures in _figures(gates).items()} == {
        f"executor unit/test_probe_executors.py:{line}": 6
    }
    for pool in pools:
        pool.shutdown()


def test_a_servers_pool_is_its_worker_slots(
    gates: Gates, executor_class: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not counted twice; the wait is left for the request that runs on the thread, and counts only if one does."""
    waited: dict[int, float] = {}
    monkeypatch.setattr(executors, "WAITED", waited)
    with executor_class(2) as pool:
        executors.adopt(pool, "gthread", Hook("requests", lambda fields, at: None, lambda: None))
        claimed = pool.submit(lambda: waited.pop(threading.get_ident())).result()
        pool.submit(int).result()
    figures = _figures(gates)
    assert list(figures) == ["worker-slots gthread"]
    assert (figures["worker-slots gthread"]["taken"], waited) == (1, {})
    assert figures["worker-slots gthread"]["wait_s"] == pytest.approx(claimed)
    assert figures["worker-slots gthread"]["waiting_s"] == pytest.approx(claimed)


def test_a_request_hook_that_is_off_claims_nothing(gates: Gates, executor_class: Executor) -> None:
    """Then every call counts."""
    off = Hook("requests", lambda fields, at: None, lambda: None)
    off.alive = False
    with executor_class(2) as pool:
        executors.adopt(pool, "gthread", off)
        pool.submit(int).result()
    assert _figures(gates)["worker-slots gthread"]["taken"] == 1


def test_executors_of_a_servers_prefix_are_its_worker_slots(
    gates: Gates, executor_class: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As hypercorn runs WSGI apps on asyncio's own executor."""
    monkeypatch.setattr(executors, "ADOPTED_PREFIXES", {"asyncio": "hypercorn"})
    with executor_class(2, thread_name_prefix="asyncio") as pool:
        pool.submit(int).result()
    assert list(_figures(gates)) == ["worker-slots hypercorn"]


def test_interpreters_are_no_threads(gates: Gates, monkeypatch: pytest.MonkeyPatch) -> None:
    """`InterpreterPoolExecutor` of Python 3.14 pickles what it is given, and ours cannot be."""

    class Threads(ThreadPoolExecutor):
        @classmethod
        def prepare_context(cls) -> None:
            """Say how calls are run."""

    class Interpreters(Threads):
        @classmethod
        def prepare_context(cls) -> None:
            """Say how calls are run elsewhere."""

    executors.hook_executor(SimpleNamespace(ThreadPoolExecutor=Threads))
    for kind in (Threads, Interpreters):
        with kind(1, thread_name_prefix=kind.__name__) as pool:
            assert pool.submit(int).result() == 0
    assert list(_figures(gates)) == ["executor Threads"]


def test_a_broken_hook_leaves_the_pool_working_and_no_figure(
    gates: Gates, executor_class: Executor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so."""
    with executor_class(1, thread_name_prefix="jobs") as pool:
        assert pool.submit(int).result() == 0
        monkeypatch.setattr(executors, "_now", None)
        assert [pool.submit(int).result() for _ in range(3)] == [0, 0, 0]
    assert all(math.isnan(figure) for figure in _figures(gates)["executor jobs"].values())
    assert capsys.readouterr().err.count("\n") == 1
