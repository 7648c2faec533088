"""Drivers used directly, under the probe: counted once, errors told, and the app's own classes left as they are."""

import asyncio
import sqlite3
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiosqlite.core
import pytest

from pinchpoint.monitoring.probe import busy, database, drivers, sqlite
from pinchpoint.monitoring.probe.routes import begin_tally, end_tally
from support.probe_state import Figures, fresh_probe, unhooked


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    """Hook sqlite3 and aiosqlite for one test, with figures at zero."""
    dbapi: Any = sys.modules["sqlite3.dbapi2"]
    for module in (sqlite3, dbapi):
        unhooked(monkeypatch, module, "connect")
    unhooked(monkeypatch, aiosqlite.core.Connection, "_execute", "__init__")
    figures = fresh_probe(monkeypatch)
    sqlite.hook_sqlite3(dbapi)
    drivers.hook_aiosqlite(aiosqlite.core)
    return figures


class OwnCursor(sqlite3.Cursor):
    """A cursor class of the app's."""

    def execute(self, sql: str, *arguments: Any) -> "OwnCursor":
        """Ask twice."""
        super().execute(sql, *arguments)
        super().execute(sql, *arguments)
        return self


class OwnConnection(sqlite3.Connection):
    """A connection class of the app's, with a cursor of its own choice."""

    def cursor(self, factory: Any = OwnCursor) -> Any:
        """Return the app's cursor."""
        return super().cursor(factory)


def test_statements_count_and_fetching_and_committing_take_time(figures: Figures, tmp_path: Path) -> None:
    """Four statements, one of them wrong."""
    path = str(tmp_path / "shop.db")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("create table t (x)")
        connection.executemany("insert into t values (?)", [(1,), (2,)])
    with pytest.raises(sqlite3.OperationalError, match="nonsense"):
        connection.cursor().execute("select nonsense")
    assert connection.execute("select x from t").fetchall() == [(1,), (2,)]
    connection.close()
    fields = figures.fields()
    assert (fields["db_calls"], fields["db_errors"], fields["db_active"], fields["db_embedded"]) == (4, 1, 0, 1)
    assert fields["db_s"] == pytest.approx(fields["db_active_s"])
    assert list(figures.peers()) == [f"sqlite {path}"]


def test_rows_computed_while_they_are_fetched_are_part_of_the_time(figures: Figures) -> None:
    """`execute` finds the first row only."""
    connection = sqlite3.connect(":memory:")
    cursor = connection.execute(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000) select i from n"
    )
    executed = figures.fields()["db_s"]
    began = time.monotonic()
    cursor.fetchall()
    fetching = time.monotonic() - began
    connection.close()
    fields = figures.fields()
    assert 0.8 * fetching < fields["db_s"] - executed <= fetching
    assert fields["db_active_s"] == pytest.approx(fields["db_s"])
    assert fields["db_calls"] == 1


@pytest.mark.parametrize("by_position", [False, True])
@pytest.mark.filterwarnings("ignore:Passing more than 1 positional argument:DeprecationWarning")
def test_the_apps_own_classes_stay_what_they_are(figures: Figures, by_position: bool) -> None:
    """A cursor that asks twice counts once: what it does is its own."""
    if by_position:
        connection = sqlite3.connect(":memory:", 5.0, 0, None, True, OwnConnection)
    else:
        connection = sqlite3.connect(":memory:", factory=OwnConnection, isolation_level=None)
    cursor = connection.execute("select 1")
    assert isinstance(connection, OwnConnection)
    assert isinstance(cursor, OwnCursor)
    assert type(connection).__name__ == "OwnConnection"
    connection.close()
    assert figures.fields()["db_calls"] == 1


def test_a_factory_that_is_a_function_is_left_alone(figures: Figures) -> None:
    """It may return anything."""
    function: Any = lambda path, **_: sqlite3.Connection(path)  # noqa: E731 - typed for sqlite3
    connection = sqlite3.connect(":memory:", factory=function)
    assert connection.execute("select 1").fetchone() == (1,)
    connection.close()
    assert "db_calls" not in {name for name, value in figures.fields().items() if value}


def test_aiosqlite_is_timed_as_its_caller_sees_it(figures: Figures, tmp_path: Path) -> None:
    """Not a second time in its thread; a cancelled call is over for its caller."""
    path = str(tmp_path / "shop.db")

    async def main() -> None:
        async with aiosqlite.connect(path) as connection:
            await connection.execute("create table t (x)")
            await connection.commit()
            async with connection.execute("select 1") as cursor:
                assert list(await cursor.fetchall()) == [(1,)]
            endless = (
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3e5) select max(i) from n"
            )
            call = asyncio.ensure_future(connection.execute(endless))
            await asyncio.sleep(0.001)
            assert figures.fields()["db_active"] == 1
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert figures.fields()["db_active"] == 0

    asyncio.run(main())
    fields = figures.fields()
    assert (fields["db_calls"], fields["db_errors"], fields["db_active"]) == (3, 0, 0)
    assert list(figures.peers()) == [f"sqlite {path}"]


def test_a_refusal_for_a_lock_counts_as_held_up(figures: Figures, tmp_path: Path) -> None:
    """Even without any patience."""
    busy.BUSY.reset()
    path = str(tmp_path / "shop.db")
    first, second = (sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2))
    first.execute("begin immediate")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        second.execute("begin immediate")
    first.close()
    second.close()
    assert (busy.BUSY.calls, busy.BUSY.inside, busy.BUSY.seen) == (1, {}, {})
    assert figures.fields()["db_errors"] == 1


def test_looks_at_sleeping_threads_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands for the time since the last; a short call seen by luck stands for those that were not."""
    watch, clock = busy.Busy(), iter([10.02])
    monkeypatch.setattr(busy, "_asleep", lambda thread: thread == 7)
    monkeypatch.setattr(busy, "_now", lambda: next(clock))
    fields: dict[str, float] = {}
    watch.fill(fields, 9.96)
    watch.inside.update({7: 10.0, 8: 10.0})
    watch.fill(fields, 10.01)
    assert fields == {"sqlite_busy_n": 0.0, "sqlite_busy_s": pytest.approx(0.05)}
    watch.leave(7, locked=False)
    watch.leave(8, locked=False)
    assert watch.calls == pytest.approx(0.05 / 0.02)


def test_statements_belong_to_the_request_they_are_made_for(figures: Figures) -> None:
    """Three statements, however many rows and commits; what comes after the request is nobody's."""
    tally = begin_tally()
    connection = sqlite3.connect(":memory:")
    with connection:
        connection.execute("create table t (x)")
        connection.executemany("insert into t values (?)", [(1,), (2,)])
    connection.execute("select x from t").fetchall()
    end_tally(tally)
    connection.execute("select 1")
    connection.close()
    assert (tally.statements, figures.fields()["db_calls"]) == (3, 4)


def test_a_layer_below_the_outermost_adds_no_statement(figures: Figures) -> None:
    """As with the calls themselves: one, however deep."""
    found = database.peer("postgresql x:1/y")
    inner = database.timed(lambda _: None, lambda _: found)
    outer = database.timed(lambda subject: [inner(subject), inner(subject)], lambda _: found)
    commit = database.timed(lambda _: None, lambda _: found, 0)
    tally = begin_tally()
    outer(1)
    commit(1)
    end_tally(tally)
    assert (tally.statements, found.calls) == (1, 1)


@pytest.mark.parametrize("fault", ["peer", "enter"])
def test_a_hook_that_raises_leaves_queries_working(
    figures: Figures, fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, no figures, every query answered."""
    connection = sqlite3.connect(":memory:")
    if fault == "enter":
        monkeypatch.setattr(next(iter(figures.peers().values())), "active", None)
    else:
        vars(connection)[sqlite.PEER] = 3
    for _ in range(3):
        assert connection.execute("select 1").fetchone() == (1,)
    connection.close()
    assert capsys.readouterr().err.count("\n") == 1
    assert "db_calls" not in figures.fields()


def _fake_connection_class() -> Any:
    """Return a new class with what psycopg and PyMySQL have in common."""

    class Connection:
        host, port, db = "10.0.0.1", 3306, b"shop"
        info = SimpleNamespace(host="10.0.0.1", port=5432, dbname="shop")

        def wait(self, gen: Any) -> str:
            return f"{gen.__name__} done"

        def commit(self) -> None:
            return

    return Connection


def _generators() -> Any:
    def _execute_gen() -> Any:
        yield

    def _fetch_gen() -> Any:
        yield

    def notifies() -> Any:
        yield

    return _execute_gen, _fetch_gen, notifies


def test_psycopgs_generators_count_by_what_they_do(figures: Figures) -> None:
    """A statement is a call, fetching more of it takes time, waiting for a notification is neither."""
    module = SimpleNamespace(Connection=_fake_connection_class())
    drivers.hook_psycopg(module)
    connection = module.Connection()
    peer = "postgresql 10.0.0.1:5432/shop"
    execute, fetch, notifies = _generators()
    assert connection.wait(notifies()) == "notifies done"
    assert list(figures.peers()) == []
    assert connection.wait(execute()) == "_execute_gen done"
    seconds = figures.peers()[peer].seconds
    connection.wait(fetch())
    assert figures.peers()[peer].calls == 1
    assert figures.peers()[peer].seconds > seconds


def test_pymysql_by_its_source(figures: Figures) -> None:
    """Statements count; commits take time."""

    class Cursor:
        connection: Any = None

        def execute(self, _query: str) -> int:
            return 1

    module = SimpleNamespace(Connection=_fake_connection_class(), Cursor=Cursor)
    drivers.hook_pymysql_cursor(module)
    drivers.hook_pymysql_connection(module)
    cursor = Cursor()
    cursor.connection = module.Connection()
    assert cursor.execute("select 1") == 1
    cursor.connection.commit()
    assert {name: peer.calls for name, peer in figures.peers().items()} == {"mysql 10.0.0.1:3306/shop": 1}


def test_layers_count_once_however_deep(figures: Figures) -> None:
    """The outermost is timed, also across an await."""
    found = database.peer("postgresql x:1/y")

    async def driver(_: Any) -> str:
        await asyncio.sleep(0)
        return "rows"

    inner = database.timed_async(driver, lambda _: found)

    async def orm(subject: Any) -> Any:
        return [await inner(subject), await inner(subject)]

    outer = database.timed_async(orm, lambda _: found)

    async def main() -> list[Any]:
        return list(await asyncio.gather(outer(1), inner(1)))

    assert asyncio.run(main()) == [["rows", "rows"], "rows"]
    assert (found.calls, found.active.value, database.NESTED.get()) == (2, 0, False)
    assert asyncio.iscoroutinefunction(outer)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/x/shop.db", "sqlite /x/shop.db"),
        (b"/x/shop.db", "sqlite /x/shop.db"),
        (Path("/x/y/../shop.db"), "sqlite /x/shop.db"),
        ("file:/x/shop.db?mode=ro", "sqlite /x/shop.db"),
        (":memory:", "sqlite :memory:"),
        ("file::memory:?cache=shared", "sqlite :memory:"),
        ("", "sqlite :memory:"),
        (None, "sqlite :memory:"),
    ],
)
def test_a_file_has_one_name_however_it_is_opened(given: Any, name: str) -> None:
    """So one database is one row."""
    assert database.sqlite_name(given) == name


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+asyncpg://user:secret@10.0.0.1/shop", "postgresql 10.0.0.1:5432/shop"),
        ("postgresql://user:secret@/shop?host=/run/pg", "postgresql /run/pg:5432/shop"),
        ("mariadb+pymysql://user:secret@db:3307/shop", "mysql db:3307/shop"),
        ("oracle://user:secret@db/shop", "oracle db/shop"),
        ("postgresql://", "postgresql local:5432/"),
    ],
)
def test_a_url_is_named_without_its_password(url: str, name: str) -> None:
    """Names stand in reports."""
    from sqlalchemy import make_url  # noqa: PLC0415 - nothing else here needs it

    assert database.url_name(make_url(url).get_backend_name(), make_url(url)) == name
