"""SQLAlchemy's pool and calls under the probe: the hooks are put on for one test and taken off again."""

import gc
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.engine import base as engine_base
from sqlalchemy.pool import NullPool, QueuePool, base, impl

from pinchpoint.monitoring.probe import database, gates, pool
from support.probe_state import Figures, fresh_probe, unhooked


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    """Hook SQLAlchemy for one test, with figures at zero."""
    unhooked(monkeypatch, base._ConnectionRecord, "checkout", "_ConnectionRecord__connect")
    unhooked(monkeypatch, QueuePool, "_do_return_conn", "dispose")
    unhooked(monkeypatch, Engine, "__init__")
    figures = fresh_probe(monkeypatch)
    pool.hook_sqlalchemy(impl)
    database.hook_engine(engine_base)
    return figures


def _engine(**settings: Any) -> Engine:
    return create_engine("sqlite://", connect_args={"check_same_thread": False}, **settings)


def test_connections_are_counted_out_and_in(figures: Figures) -> None:
    """Size, holders, checkouts and connects of a pool in use."""
    engine = _engine(poolclass=QueuePool, pool_size=2, max_overflow=3)
    with engine.connect():
        held = figures.fields()
    free = figures.fields()
    assert (held["pool_size"], held["pool_busy"], held["pool_checkouts"], held["pool_connects"]) == (5, 1, 1, 1)
    assert (free["pool_busy"], free["pool_waiting"]) == (0, 0)
    assert free["pool_hold_s"] == pytest.approx(free["pool_busy_s"])
    engine.dispose()


def test_a_wait_that_times_out_is_a_wait(figures: Figures) -> None:
    """It is counted as a timeout, and its time as waiting."""
    engine = _engine(poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect(), pytest.raises(exc.TimeoutError):
        engine.connect()
    fields = figures.fields()
    assert (fields["pool_timeouts"], fields["pool_checkouts"], fields["pool_waiting"]) == (1, 1, 0)
    assert fields["pool_wait_s"] == pytest.approx(0.05, abs=0.04)
    engine.dispose()


def test_connecting_is_not_waiting(figures: Figures) -> None:
    """A slow connect is told apart from a full pool."""
    engine = _engine(poolclass=QueuePool)
    original = engine.dialect.connect

    def slow(*arguments: Any, **settings: Any) -> Any:
        time.sleep(0.05)
        return original(*arguments, **settings)

    engine.dialect.connect = slow  # type: ignore[method-assign]
    engine.connect().close()
    fields = figures.fields()
    assert fields["pool_connect_s"] >= 0.05
    assert fields["pool_wait_s"] < 0.025
    assert fields["pool_waiting_s"] < 0.025
    engine.dispose()


def test_a_connect_that_fails_leaves_nothing_behind(figures: Figures) -> None:
    """Nobody waits, nobody holds."""
    engine = create_engine("sqlite:////nowhere/at/all.db")
    with pytest.raises(exc.OperationalError):
        engine.connect()
    fields = figures.fields()
    assert (fields["pool_busy"], fields["pool_waiting"], fields["pool_checkouts"]) == (0, 0, 0)


def test_a_pool_made_anew_by_dispose_takes_the_place_of_the_old(figures: Figures) -> None:
    """The size is not counted twice."""
    engine = _engine(poolclass=QueuePool, pool_size=2, max_overflow=0)
    engine.connect().close()
    engine.dispose()
    engine.connect().close()
    fields = figures.fields()
    assert (fields["pool_size"], fields["pool_checkouts"]) == (2, 2)
    engine.dispose()


def test_a_pool_without_limit_has_no_size(figures: Figures) -> None:
    """Unlimited overflow is not a number."""
    engine = _engine(poolclass=QueuePool, max_overflow=-1)
    engine.connect().close()
    assert "pool_size" not in figures.fields()
    engine.dispose()


def test_a_null_pool_is_no_pool(figures: Figures) -> None:
    """Its database time is still measured."""
    engine = _engine(poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
    fields = figures.fields()
    assert [name for name in fields if name.startswith("pool_")] == []
    assert fields["db_calls"] == 1


def test_a_connection_taken_out_of_its_pool_is_not_held_for_ever(figures: Figures) -> None:
    """`detach` gives the place back."""
    engine = _engine(poolclass=QueuePool)
    connection = engine.raw_connection()
    connection.detach()
    assert figures.fields()["pool_busy"] == 0
    connection.close()
    engine.dispose()


def test_a_child_does_not_count_the_return_of_what_its_parent_took(figures: Figures) -> None:
    """After a fork the figures start at zero and never go below."""
    engine = _engine(poolclass=QueuePool)
    connection = engine.connect()
    gates.GATES_OPEN.reset()
    connection.close()
    assert figures.fields()["pool_busy"] == 0
    engine.dispose()


def test_calls_and_errors_are_counted_and_commits_only_timed(figures: Figures) -> None:
    """Two statements, one of them wrong."""
    engine = _engine(poolclass=QueuePool)
    with engine.begin() as connection:
        connection.execute(text("create table t (x)"))
    with engine.connect() as connection, pytest.raises(exc.OperationalError):
        connection.execute(text("select nonsense"))
    fields = figures.fields()
    assert (fields["db_calls"], fields["db_errors"], fields["db_active"], fields["db_embedded"]) == (2, 1, 0, 1)
    assert fields["db_s"] == pytest.approx(fields["db_active_s"])
    engine.dispose()


def test_threads_that_wait_are_seen_waiting(figures: Figures) -> None:
    """Two threads, one connection: one waits, for as long as the other holds."""
    engine = _engine(poolclass=QueuePool, pool_size=1, max_overflow=0)
    connection = engine.connect()
    thread = threading.Thread(target=lambda: engine.connect().close())
    thread.start()
    deadline_s = time.monotonic() + 5
    while figures.fields()["pool_waiting"] != 1 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert figures.fields()["pool_waiting"] == 1
    connection.close()
    thread.join()
    fields = figures.fields()
    assert (fields["pool_waiting"], fields["pool_checkouts"]) == (0, 2)
    assert fields["pool_wait_s"] == pytest.approx(fields["pool_waiting_s"], abs=0.005)
    engine.dispose()


def test_a_hook_that_raises_leaves_the_database_working(
    figures: Figures, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no figures, every query answered."""
    engine = _engine(poolclass=QueuePool)
    engine.connect().close()
    monkeypatch.setattr(next(iter(figures.gates().values())), "busy", None)
    for _ in range(3):
        with engine.connect() as connection:
            assert connection.execute(text("select 1")).scalar() == 1
    assert capsys.readouterr().err.count("\n") == 1
    engine.dispose()


def test_an_engine_has_one_gate_named_after_its_database(figures: Figures, tmp_path: Path) -> None:
    """Without user or password; whatever `dispose` does; the peer is called the same."""
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    for _ in range(3):
        engine.connect().close()
        engine.dispose()
    assert list(figures.gates()) == [f"sqlite {tmp_path}/shop.db"]
    assert list(figures.peers()) == [f"sqlite {tmp_path}/shop.db"]
    assert figures.gates()[f"sqlite {tmp_path}/shop.db"].taken == 3


def test_two_engines_of_one_database_have_a_gate_each(figures: Figures, tmp_path: Path) -> None:
    """And when one is gone, the next takes its gate: an app that makes engines all the time does not fill the page."""
    url = f"sqlite:///{tmp_path}/shop.db"
    first, second = create_engine(url), create_engine(url)
    first.connect().close()
    second.connect().close()
    names = [f"sqlite {tmp_path}/shop.db", f"sqlite {tmp_path}/shop.db #2"]
    assert list(figures.gates()) == names
    first.dispose()
    del first
    gc.collect()
    third = create_engine(url, pool_size=7, max_overflow=0)
    third.connect().close()
    assert list(figures.gates()) == names
    assert figures.gates()[names[0]].limit() == 7
    second.dispose()
    third.dispose()


def test_a_pool_without_an_engine_is_a_gate_of_its_own(figures: Figures) -> None:
    """SQLAlchemy gives all such pools one stand-in for a dialect."""
    creator: Any = lambda: sqlite3.connect(":memory:")  # noqa: E731 - typed for SQLAlchemy
    pools = [QueuePool(creator, pool_size=2, max_overflow=0) for _ in range(2)]
    for each in pools:
        each.connect().close()
    assert [(gate.name, gate.taken, gate.limit()) for gate in figures.gates().values()] == [
        ("pool", 1, 2),
        ("pool #2", 1, 2),
    ]
    for each in pools:
        each.dispose()


def test_a_ping_that_fails_reconnects_without_waiting(figures: Figures) -> None:
    """The connection is held already: nobody waits, not even less than nobody."""
    engine = _engine(poolclass=QueuePool, pool_pre_ping=True)
    engine.connect().close()
    low: list[int] = []
    gate = next(iter(figures.gates().values()))
    original = engine.dialect.connect

    def connect(*arguments: Any, **settings: Any) -> Any:
        low.append(gate.waiting.value)
        return original(*arguments, **settings)

    engine.dialect.connect = connect  # type: ignore[method-assign]
    engine.dialect.do_ping = lambda dbapi_connection: False  # type: ignore[method-assign]
    engine.connect().close()
    assert low == [0]
    fields = figures.fields()
    assert (fields["pool_waiting"], fields["pool_busy"], fields["pool_connects"]) == (0, 0, 2)
    engine.dispose()
