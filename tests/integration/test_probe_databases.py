"""Database pools, queries and SQLite's waits under the probe, against what the programs know of themselves."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import Page, PageReader
from support.postgres import skip_reason, temporary_postgres

pytestmark = pytest.mark.alone

SUPPORT = Path(__file__).resolve().parent.parent / "support"
DEADLINE_S = 20.0
QUERY_S, HOLDERS = 0.05, 8
KINDS = {
    "sqlalchemy-sync-psycopg2": 1,
    "sqlalchemy-sync-psycopg": 1,
    "sqlalchemy-async": 1,
    "asyncpg": 0,
    "psycopg-pool": 0,
    "psycopg-pool-async": 0,
}
"""Kind -> checkouts of its `close`, which makes SQLAlchemy's pool anew."""


class Program:
    """A program under the probe that speaks lines of JSON."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process = process
        self.reader = PageReader(folder)

    def told(self) -> dict[str, Any]:
        """Return what it says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else pytest.fail("the program ended early")
        return told

    def go_on(self) -> None:
        """Let it do the next thing."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def page(self, ready: Callable[[dict[str, float]], bool] = bool) -> Page:
        """Return its page, once it was published after this call and fulfils `ready`."""
        called = time.monotonic()
        while time.monotonic() < called + DEADLINE_S:
            page = self.reader.read().get(self.process.pid)
            if page is not None and page.published_s > called and ready(page.fields):
                return page
            time.sleep(0.005)
        pytest.fail("no such page before the deadline")

    def rows(self, table: str) -> dict[str, dict[str, float]]:
        """Return a table of its page, published after this call."""
        newest = self.page().published_s
        self.page(lambda _: self.reader.read()[self.process.pid].published_s > newest + 0.3)
        tables = self.reader.tables(self.process.pid)
        assert tables is not None
        return tables[table]


@contextmanager
def probed(folder: Path, *command: str) -> Iterator[Program]:
    """Run a program under the probe."""
    environment = probe_environment(folder / "pages", {**os.environ, "PYTHONPATH": str(SUPPORT)})
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        program = Program(process, folder / "pages")
        try:
            yield program
        finally:
            process.kill()
            program.reader.close()
    assert "switched off" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Run one server for all tests."""
    reason = skip_reason()
    if reason:
        pytest.skip(reason)
    with temporary_postgres() as url:
        yield url


@pytest.mark.postgres
@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_under_contention(kind: str, postgres: str, tmp_path: Path) -> None:
    """Eight holders of 50 ms on two connections: wait, hold and query time within 5 %; then nothing leaks."""
    with probed(tmp_path, "-m", "db_apps", kind, postgres) as program:
        assert program.told()["phase"] == "warm"
        before = program.page().fields
        program.go_on()
        truth = program.told()
        after = program.page().fields
        grown = {name: after[name] - before[name] for name in after if name in before}
        assert grown["pool_wait_s"] == pytest.approx(truth["wait_s"], rel=0.05)
        assert grown["pool_waiting_s"] == pytest.approx(grown["pool_wait_s"], rel=0.02)
        assert grown["pool_hold_s"] == pytest.approx(truth["hold_s"], rel=0.05)
        assert grown["pool_busy_s"] == pytest.approx(grown["pool_hold_s"], rel=0.02)
        assert (after["pool_size"], grown["pool_checkouts"], grown["db_calls"]) == (2, HOLDERS, HOLDERS)
        assert grown["db_s"] == pytest.approx(truth["query_s"], rel=0.05)
        assert grown["db_active_s"] == pytest.approx(grown["db_s"])
        assert truth["wait_s"] == pytest.approx(12 * QUERY_S, rel=0.35)
        program.go_on()
        assert program.told()["phase"] == "trouble"
        troubled = program.page(lambda fields: not fields["pool_busy"]).fields
        assert (troubled["pool_waiting"], troubled["db_active"]) == (0, 0)
        assert (troubled["pool_timeouts"], troubled["db_errors"]) == (1, 1)
        program.go_on()
        assert program.told()["phase"] == "closed"
        closed = program.page().fields
        assert (closed["pool_busy"], closed["pool_waiting"], closed["db_active"]) == (0, 0, 0)
        assert closed["pool_checkouts"] - troubled["pool_checkouts"] == KINDS[kind]
        assert closed["pool_hold_s"] == pytest.approx(closed["pool_busy_s"], rel=0.02)
        server = postgres.rpartition("@")[2]
        pools = {name for name in program.rows("gates") if name.startswith("db-pool")}
        assert pools == {f"db-pool postgresql {server}"}
        assert set(program.rows("calls")) == {f"db postgresql {server}"}


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for _ in range(8):
    connection.execute("begin immediate")
    print("held", flush=True)
    time.sleep(0.25)
    connection.execute("commit")
    sys.stdin.readline()
"""

WAITER = """
import json, sqlite3, sys, time
from _pinchpoint_probe.runtime import RUNTIME
RUNTIME.activate()
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("create table t (x)")
seconds = 0.0
def say(**figures):
    print(json.dumps(figures), flush=True)
    sys.stdin.readline()
for _ in range(300):
    connection.execute("insert into t values (1)")  # the disk, and no lock
say(phase="alone")
for _ in range(8):
    say(phase="ready")
    began = time.monotonic()
    connection.execute("insert into t values (1)")
    seconds += time.monotonic() - began
say(phase="waited", seconds=seconds)
impatient = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
connection.execute("begin immediate")
try:
    impatient.execute("begin immediate")
except sqlite3.OperationalError:
    say(phase="refused")
"""


def test_the_time_sqlite_holds_calls_up(tmp_path: Path) -> None:
    """Another process holds the lock 8 times for 250 ms; commits to a disk do not count."""
    path = str(tmp_path / "shop.db")
    with probed(tmp_path, "-c", WAITER, path) as program:
        assert program.told() == {"phase": "alone"}
        alone = program.page(lambda fields: "sqlite_busy_n" in fields).fields
        assert (alone["sqlite_busy_n"], alone["sqlite_busy_s"]) == (0, 0)
        program.go_on()
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdin is not None
            assert writer.stdout is not None
            truth = program.told()
            while truth["phase"] == "ready":
                assert writer.stdout.readline() == "held\n"
                program.go_on()
                truth = program.told()
                writer.stdin.write("\n")
                writer.stdin.flush()
        waited = program.page().fields
        assert truth["seconds"] == pytest.approx(8 * 0.25, rel=0.4)
        assert waited["sqlite_busy_s"] == pytest.approx(truth["seconds"], rel=0.2)  # looks are late on a busy machine
        assert waited["sqlite_busy_n"] == pytest.approx(8, abs=1)
        program.go_on()
        assert program.told() == {"phase": "refused"}
        refused = program.page().fields
        assert refused["sqlite_busy_n"] == waited["sqlite_busy_n"] + 1
        assert refused["db_errors"] == 1
        assert set(program.rows("calls")) == {f"db sqlite {path}"}


DJANGO = """
import json, sys
import django
from django.conf import settings
from _pinchpoint_probe.runtime import RUNTIME
RUNTIME.activate()
engine, name, *server = sys.argv[1:]
database = {"ENGINE": engine, "NAME": name, **dict(zip(("HOST", "PORT", "USER"), server))}
settings.configure(DATABASES={"default": database}, USE_TZ=True)
django.setup()
from django.db import connection, transaction
def say(phase):
    print(json.dumps({"phase": phase}), flush=True)
    sys.stdin.readline()
with connection.cursor() as cursor:
    cursor.execute("create table t (x integer)")
say("made")
with connection.cursor() as cursor:
    cursor.execute("insert into t values (%s)", [1])
    cursor.execute("select x from t where x = %s", [1])
    assert cursor.fetchall() == [(1,)]
    cursor.executemany("insert into t values (%s)", [[2], [3]])
say("queried")
"""


@pytest.mark.parametrize("engine", ["sqlite3", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_query_of_django_counts_once(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Its own cursor stands on the driver's."""
    given = [str(tmp_path / "shop.db")]
    if engine == "postgresql":
        host, _, port = request.getfixturevalue("postgres").rpartition("@")[2].rpartition("/")[0].partition(":")
        given = ["postgres", host, port, "postgres"]
    with probed(tmp_path, "-c", DJANGO, "django.db.backends." + engine, *given) as program:
        program.told()
        before = program.page().fields["db_calls"]
        program.go_on()
        program.told()
        after = program.page().fields
        assert (after["db_calls"] - before, after["db_errors"], after["db_active"]) == (3, 0, 0)
