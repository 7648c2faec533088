"""SQLAlchemy's pool and calls under the probe: the hooks are put on for one test and taken off again."""

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.pool import NullPool, QueuePool, base, impl

from pinchpoint.monitoring.probe import database, pool
from pinchpoint.monitoring.probe.runtime import Hook


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[pool.Pools, database.Calls]]:
    """Hook SQLAlchemy for one test, with figures at zero."""
    pools, calls = pool.Pools(), database.Calls()
    monkeypatch.setattr(pool, "POOLS", pools)
    monkeypatch.setattr(pool, "HOOK", Hook("connection pool", pools.fill, pools.reset))
    monkeypatch.setattr(database, "CALLS", calls)
    monkeypatch.setattr(database, "HOOK", Hook("database", calls.fill, calls.reset))
    record: Any = base._ConnectionRecord
    saved = [(record, name, record.__dict__[name]) for name in ("checkout", "_ConnectionRecord__connect")]
    saved += [(QueuePool, name, QueuePool.__dict__[name]) for name in ("_do_return_conn", "dispose")]
    pool.hook_sqlalchemy(impl)
    yield pools, calls
    for owner, name, value in saved:
        setattr(owner, name, value)


def _engine(**settings: Any) -> Engine:
    return create_engine("sqlite://", connect_args={"check_same_thread": False}, **settings)


def _fields(figures: Any) -> dict[str, float]:
    fields: dict[str, float] = {}
    figures.fill(fields, time.monotonic())
    return fields


def test_connections_are_counted_out_and_in(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Size, holders, checkouts and connects of a pool in use."""
    engine = _engine(poolclass=QueuePool, pool_size=2, max_overflow=3)
    with engine.connect():
        held = _fields(figures[0])
    free = _fields(figures[0])
    assert (held["pool_size"], held["pool_busy"], held["pool_checkouts"], held["pool_connects"]) == (5, 1, 1, 1)
    assert (free["pool_busy"], free["pool_waiting"]) == (0, 0)
    assert free["pool_hold_s"] == pytest.approx(free["pool_busy_s"])
    engine.dispose()


def test_a_wait_that_times_out_is_a_wait(figures: tuple[pool.Pools, database.Calls]) -> None:
    """It is counted as a timeout, and its time as waiting."""
    engine = _engine(poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect(), pytest.raises(exc.TimeoutError):
        engine.connect()
    fields = _fields(figures[0])
    assert (fields["pool_timeouts"], fields["pool_checkouts"], fields["pool_waiting"]) == (1, 1, 0)
    assert fields["pool_wait_s"] == pytest.approx(0.05, abs=0.04)
    engine.dispose()


def test_connecting_is_not_waiting(figures: tuple[pool.Pools, database.Calls]) -> None:
    """A slow connect is told apart from a full pool."""
    engine = _engine(poolclass=QueuePool)
    original = engine.dialect.connect

    def slow(*arguments: Any, **settings: Any) -> Any:
        time.sleep(0.05)
        return original(*arguments, **settings)

    engine.dialect.connect = slow  # type: ignore[method-assign]
    engine.connect().close()
    fields = _fields(figures[0])
    assert fields["pool_connect_s"] >= 0.05
    assert fields["pool_wait_s"] < 0.025
    assert fields["pool_waiting_s"] < 0.025
    engine.dispose()


def test_a_connect_that_fails_leaves_nothing_behind(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Nobody waits, nobody holds."""
    engine = create_engine("sqlite:////nowhere/at/all.db")
    with pytest.raises(exc.OperationalError):
        engine.connect()
    fields = _fields(figures[0])
    assert (fields["pool_busy"], fields["pool_waiting"], fields["pool_checkouts"]) == (0, 0, 0)


def test_a_pool_made_anew_by_dispose_takes_the_place_of_the_old(figures: tuple[pool.Pools, database.Calls]) -> None:
    """The size is not counted twice."""
    engine = _engine(poolclass=QueuePool, pool_size=2, max_overflow=0)
    engine.connect().close()
    engine.dispose()
    engine.connect().close()
    fields = _fields(figures[0])
    assert (fields["pool_size"], fields["pool_checkouts"]) == (2, 2)
    engine.dispose()


def test_a_pool_without_limit_has_no_size(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Unlimited overflow is not a number."""
    engine = _engine(poolclass=QueuePool, max_overflow=-1)
    engine.connect().close()
    assert "pool_size" not in _fields(figures[0])
    engine.dispose()


def test_a_null_pool_is_no_pool(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Its database time is still measured."""
    engine = _engine(poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    assert _fields(figures[0]) == {}
    assert _fields(figures[1])["db_calls"] == 1


def test_a_connection_taken_out_of_its_pool_is_not_held_for_ever(figures: tuple[pool.Pools, database.Calls]) -> None:
    """`detach` gives the place back."""
    engine = _engine(poolclass=QueuePool)
    connection = engine.raw_connection()
    connection.detach()
    assert _fields(figures[0])["pool_busy"] == 0
    connection.close()
    engine.dispose()


def test_a_child_does_not_count_the_return_of_what_its_parent_took(figures: tuple[pool.Pools, database.Calls]) -> None:
    """After a fork the figures start at zero and never go below."""
    engine = _engine(poolclass=QueuePool)
    connection = engine.connect()
    figures[0].reset()
    connection.close()
    assert _fields(figures[0])["pool_busy"] == 0
    engine.dispose()


def test_calls_and_errors_are_counted_and_commits_only_timed(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Two statements, one of them wrong."""
    engine = _engine(poolclass=QueuePool)
    with engine.begin() as connection:
        connection.execute(text("create table t (x)"))
    with engine.connect() as connection, pytest.raises(exc.OperationalError):
        connection.execute(text("select nonsense"))
    fields = _fields(figures[1])
    assert (fields["db_calls"], fields["db_errors"], fields["db_active"], fields["db_embedded"]) == (2, 1, 0, 1)
    assert fields["db_s"] == pytest.approx(fields["db_active_s"])
    engine.dispose()


def test_threads_that_wait_are_seen_waiting(figures: tuple[pool.Pools, database.Calls]) -> None:
    """Two threads, one connection: one waits, for as long as the other holds."""
    engine = _engine(poolclass=QueuePool, pool_size=1, max_overflow=0)
    connection = engine.connect()
    thread = threading.Thread(target=lambda: engine.connect().close())
    thread.start()
    deadline_s = time.monotonic() + 5
    while _fields(figures[0])["pool_waiting"] != 1 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert _fields(figures[0])["pool_waiting"] == 1
    connection.close()
    thread.join()
    fields = _fields(figures[0])
    assert (fields["pool_waiting"], fields["pool_checkouts"]) == (0, 2)
    assert fields["pool_wait_s"] == pytest.approx(fields["pool_waiting_s"], abs=0.005)
    engine.dispose()


def test_a_hook_that_raises_leaves_the_database_working(
    figures: tuple[pool.Pools, database.Calls], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no figures, every query answered."""
    monkeypatch.setattr(figures[0], "busy", None)
    engine = _engine(poolclass=QueuePool)
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.execute(text("select 1")).scalar() == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert "sqlalchemy" in sys.modules
    engine.dispose()
