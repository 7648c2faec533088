"""The known bottlenecks: what they state, and that they do it."""

import asyncio
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.app.database import make_engine, prepare_database
from pinchpoint.app.faults import FAULTS, activate, db_pool, leak, python_cpu, slow_query, sync_call

LABELS = {
    "python-cpu": ("cpu", "python-code"),
    "db-pool": ("pool", "db-pool"),
    "sync-call": ("blocking", "sync-call"),
    "slow-query": ("io", "slow-query"),
    "leak": ("memory", "leak"),
}


def test_each_fault_states_its_class_and_cause() -> None:
    """The labels a diagnosis is judged by."""
    assert {name: (fault.label_class, fault.label_cause) for name, fault in FAULTS.items()} == LABELS


def test_no_fault_means_no_work_on_the_hot_path() -> None:
    """Two empty tuples and no pool of its own."""
    active = activate((), 1.0)

    assert (active.on_loop, active.on_connection, active.pool) == ((), (), None)


def test_several_faults_act_together_on_the_smallest_pool() -> None:
    """Both hooks run; four connections, not forty."""
    active = activate(("slow-query", "db-pool"), 1.0)

    assert active.on_connection == (slow_query.scan, db_pool.hold_connection)
    assert active.pool == db_pool.POOL


def test_ceilings_follow_from_the_stated_arithmetic() -> None:
    """Requests of the mix per second for one worker on one core."""
    ceilings = {name: round(fault.ceiling_rps(1, 1)) for name, fault in FAULTS.items()}

    assert ceilings == {"python-cpu": 288, "db-pool": 152, "sync-call": 76, "slow-query": 70, "leak": 1786}


@given(name=st.sampled_from(sorted(FAULTS)), workers=st.integers(1, 64), cores=st.integers(1, 64))
def test_a_ceiling_grows_only_with_what_binds(name: str, workers: int, cores: int) -> None:
    """More workers lift a pool and a blocked loop, more cores lift the database, both lift the CPU."""
    fault = FAULTS[name]
    units = {"db-pool": workers, "sync-call": workers, "slow-query": cores}.get(name, min(workers, cores))

    assert fault.ceiling_rps(workers, cores) == pytest.approx(units * fault.ceiling_rps(1, 1))


def test_severity_multiplies_the_cost_of_a_get() -> None:
    """Twice the hold, about half the ceiling."""
    fault = FAULTS["db-pool"]

    assert fault.ceiling_rps(1, 1, severity=2.0) / fault.ceiling_rps(1, 1) == pytest.approx(0.0264 / 0.0504)


def test_a_sync_call_blocks_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps for 20 ms times the severity."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    sync_call.call_and_wait(2.0)

    assert slept == [0.040]


def test_python_work_burns_cpu_in_proportion() -> None:
    """Ten times the severity is about ten times the CPU (a wide margin: cores are shared)."""

    def cpu_s(severity: float) -> float:
        started = time.thread_time()
        python_cpu.burn(severity)
        return time.thread_time() - started

    assert min(cpu_s(1.0) for _ in range(5)) > 4 * min(cpu_s(0.1) for _ in range(5))


def test_a_leak_keeps_written_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 KiB a get, none of them shared and none of them zero pages."""
    kept: list[bytes] = []
    monkeypatch.setattr(leak, "_kept", kept)

    leak.keep(1.0)
    leak.keep(1.0)

    assert [len(block) for block in kept] == [65_536, 65_536]
    assert kept[0] is not kept[1]
    assert kept[0].count(0) == 0


def test_a_pool_of_four_serves_eight_holders_in_two_rounds(tmp_path: Path) -> None:
    """Eight gets of 20 ms each need 40 ms, whatever the machine."""

    async def elapsed_s() -> float:
        pool = db_pool.POOL
        engine = make_engine(
            f"sqlite+aiosqlite:///{tmp_path}/pool.db",
            pool_size=pool.size,
            max_overflow=pool.overflow,
            pool_timeout_s=pool.timeout_s,
        )

        async def get() -> None:
            async with engine.connect() as connection:
                await db_pool.hold_connection(connection, 0.5)

        started = time.monotonic()
        await asyncio.gather(*(get() for _ in range(8)))
        took = time.monotonic() - started
        await engine.dispose()
        return took

    assert asyncio.run(elapsed_s()) >= 0.040


def test_the_scan_reads_every_seeded_row_and_returns_one(tmp_path: Path) -> None:
    """No index serves it, it finds nothing, and rows added later do not slow it down."""

    async def plan_and_result() -> tuple[str, list[int]]:
        engine = make_engine(f"sqlite+aiosqlite:///{tmp_path}/scan.db", pool_size=1, max_overflow=0, pool_timeout_s=1.0)
        await prepare_database(engine, lambda password: password)
        statement = slow_query.scan_statement("sqlite", 1.0)
        async with engine.connect() as connection:
            rows = list((await connection.execute(statement)).scalars())
            plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.text}")).mappings().one()
        await engine.dispose()
        return str(plan["detail"]), rows

    plan, rows = asyncio.run(plan_and_result())

    assert plan == "SEARCH items USING INTEGER PRIMARY KEY (rowid<?)"
    assert rows == [0]
    assert "id <= 10000" in slow_query.scan_statement("sqlite", 1.0).text
