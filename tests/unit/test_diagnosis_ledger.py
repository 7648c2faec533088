"""The ledger: what every resource could serve, which is lowest, and whether that agrees with what was measured."""

import functools
from dataclasses import MISSING, fields, replace

import pytest

from pinchpoint.diagnosis import consistency, diagnose
from pinchpoint.diagnosis.ledger import DEPTH, build_ledger
from pinchpoint.diagnosis.ledger_parts import imbalance
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.steps import ladder
from pinchpoint.measures import PoolFigures, ServerFigures, Step, WorkerFigures
from pinchpoint.records import Capacity, Diagnosis, Resource
from support import synthetic

MACHINE = Machine(1.0, shared=False)


def _worker(pid: int, rps: float, cores: float = 0.4) -> WorkerFigures:
    return WorkerFigures(pid, cores, 0.0, 0.4, rps, 8e7, 6e7, 1.0)


def _steps(**server: object) -> list[Step]:
    """Return the steps of a pool-bound app with other figures of the server in each of them."""
    return [replace(step, server=replace(step.server, **server)) for step in _diagnosed().steps]  # type: ignore[arg-type]


@functools.cache
def _diagnosed() -> Diagnosis:
    return diagnose(synthetic.Synthetic(synthetic.TRUTHS["db-pool"][0]).run().recording())


def _rows(steps: list[Step], generator_rps: float | None = None) -> dict[str, Resource]:
    return {row.resource: row for row in build_ledger(ladder(steps), MACHINE, None, generator_rps)}


def _row(name: str, ceiling: float, low: float | None = None, high: float | None = None) -> Resource:
    return Resource(name, "pool", 1.0, "", 0.1, ceiling, (low or ceiling, high or ceiling), 1.0, None, 1)


def _capacity(rps: float | None, *, reached: bool = True) -> Capacity:
    return replace(_diagnosed().capacity, saturation_rps=rps, sustainable_rps=rps, reached=reached)


def test_a_pool_of_workers_that_share_unevenly_has_a_lower_ceiling() -> None:
    """Two thirds of the requests on one of two workers: its pool is full at three quarters of the even rate."""
    even = _rows(_steps(per_worker=[_worker(1, 50), _worker(2, 50)]))["db-pool"]
    uneven = _rows(_steps(per_worker=[_worker(1, 100), _worker(2, 50)]))["db-pool"]

    assert uneven.ceiling_rps == pytest.approx((even.ceiling_rps or 0) * 3 / 4)
    assert "1.3 times the mean" in uneven.note


def test_a_difference_by_chance_is_no_imbalance() -> None:
    """52 and 48 requests are an even spread."""
    assert imbalance(_steps(per_worker=[_worker(1, 52), _worker(2, 48)])[0]) == 1.0


def test_a_few_requests_are_uneven_by_chance() -> None:
    """Five a second over four workers: 8, 5, 4 and 3 in four seconds, 1.6 times the mean, are no imbalance."""
    rates = (2.0, 1.25, 1.0, 0.75)
    step = _steps(per_worker=[_worker(pid, rate) for pid, rate in enumerate(rates)])[0]
    assert imbalance(replace(step, t_start_s=0.0, t_end_s=4.0, settle_s=0.0)) == 1.0
    assert imbalance(replace(step, t_start_s=0.0, t_end_s=4000.0, settle_s=0.0)) == pytest.approx(1.6)


def test_one_worker_cannot_be_uneven() -> None:
    """It gets everything, which is as even as can be."""
    assert imbalance(_steps(per_worker=[_worker(1, 50)])[0]) == 1.0


def test_threads_that_compute_share_one_interpreter() -> None:
    """The GIL has a row where CPU burns off the loop, with those who wait for it as its queue."""
    row = _rows(_steps(off_loop_cpu_cores=0.5, cpu_cores=0.6, threads_in={"gil": 3.0}))["gil"]

    assert (row.capacity, row.unit, row.queue) == (1.0, "interpreters", 3.0)
    assert row.ceiling_rps is not None


def test_without_computing_threads_there_is_no_row_for_the_interpreter() -> None:
    """One loop has its interpreter for itself."""
    assert "gil" not in _rows(_steps(off_loop_cpu_cores=0.01, cpu_cores=0.6))


def test_more_than_a_core_per_worker_is_native_code_and_hides_the_interpreter() -> None:
    """Nobody knows then how long the lock was held."""
    row = _rows(_steps(off_loop_cpu_cores=1.5, cpu_cores=1.8, per_worker=[_worker(1, 50, 1.8)]))["gil"]

    assert (row.ceiling_rps, row.utilisation) == (None, None)


def test_calls_that_sqlite_holds_up_show_its_one_writer_full() -> None:
    """Its ceiling is what was served while calls queued for it."""
    steps = _steps(sqlite_busy=6.0)
    row = _rows(steps)["sqlite-writer"]
    limit = ladder(steps).limit
    assert limit is not None

    assert (row.capacity, row.queue, row.utilisation) == (1.0, 6.0, 1.0)
    assert row.ceiling_rps == limit.server.requests_rps


def test_a_writer_nobody_waits_for_has_no_ceiling() -> None:
    """A short wait now and then says nothing about how long it is held."""
    assert _rows(_steps(sqlite_busy=0.1))["sqlite-writer"].ceiling_rps is None


def test_a_limit_on_concurrency_is_held_like_a_pool() -> None:
    """8 requests at once, each in for as long as at low load."""
    gate = PoolFigures(size=8.0, busy=2.0, waiting=0.0, wait_ms=None, hold_ms=None, checkouts_per_request=None)
    row = _rows(_steps(gates={"worker-slots uvicorn limit_concurrency": gate}))["admission-limit"]

    assert (row.capacity, row.demand_s_per_request is not None) == (8.0, True)
    assert row.ceiling_rps == pytest.approx(8.0 / (row.demand_s_per_request or 0))


def test_a_full_accept_queue_is_told_and_has_no_ceiling() -> None:
    """Room to wait serves nobody."""
    row = _rows(_steps(listen_queue=100.0, listen_limit=128.0))["accept-backlog"]

    assert (row.ceiling_rps, row.queue, row.capacity) == (None, 100.0, 128.0)


def test_a_busy_disk_gets_a_ceiling() -> None:
    """Its busy time grows with the rate and reaches 1 somewhere."""
    steps = [
        replace(step, server=replace(step.server, disk_busy=min(1.0, 0.004 * step.goodput_rps))) for step in _steps()
    ]
    row = _rows(steps)["disk"]

    assert row.ceiling_rps == pytest.approx(250, rel=0.1)


def test_a_disk_that_hardly_works_is_left_out() -> None:
    """The machine's own background is no demand of a request."""
    assert "disk" not in _rows(_steps(disk_busy=0.002))


def test_what_is_called_has_a_demand_and_no_capacity() -> None:
    """How much a partner can serve at once nobody here knows."""
    row = _rows(_steps(http_ms_per_request=20.0))["downstream"]

    assert row.ceiling_rps is None
    assert row.demand_s_per_request == pytest.approx(0.020)


def test_the_generator_has_a_row_and_is_no_wall_of_the_server() -> None:
    """What it managed against a server that does nothing stands beside what the server manages."""
    steps = _steps()
    row = _rows(steps, 5000.0)["generator"]
    found = consistency.check([row], _capacity(4000.0))

    assert row.ceiling_rps == 5000.0
    assert found is None


def test_depths_follow_who_waits_for_whom() -> None:
    """A slot is held while a thread waits for a connection that waits for a lock, the database and its disk."""
    chain = ["worker-slots", "threadpool", "db-pool", "lock", "db", "disk"]
    assert [DEPTH[name] for name in chain] == sorted({DEPTH[name] for name in chain})
    assert DEPTH["loop"] < DEPTH["gil"] < DEPTH["cpu"]


@pytest.mark.parametrize(
    ("measured", "outcome"), [(100.0, "agrees"), (86.0, "agrees"), (80.0, "below"), (104.0, "agrees"), (110.0, "above")]
)
def test_the_lowest_ceiling_is_held_against_the_capacity(measured: float, outcome: str) -> None:
    """Between 0.85 and 1.05 of it they agree (METHOD §4.3)."""
    found = consistency.check([_row("db-pool", 100.0), _row("cpu", 300.0)], _capacity(measured))

    assert found is not None
    assert (found.resource, found.outcome, found.rivals) == ("db-pool", outcome, [])
    assert found.ratio == pytest.approx(measured / 100)


def test_a_wide_interval_agrees_with_more() -> None:
    """A ceiling known to within 30 % cannot be contradicted by less."""
    found = consistency.check([_row("cpu", 100.0, 70.0, 140.0)], _capacity(140.0))

    assert found is not None
    assert found.outcome == "agrees"


def test_intervals_that_overlap_make_rivals() -> None:
    """Which of both is lowest is not certain."""
    found = consistency.check([_row("db-pool", 100.0, 90.0, 115.0), _row("cpu", 120.0, 110.0, 130.0)], _capacity(100.0))

    assert found is not None
    assert found.rivals == ["cpu"]


def test_a_load_that_ended_early_contradicts_nothing() -> None:
    """The capacity is then only a lower bound, and the text says so."""
    found = consistency.check([_row("db-pool", 100.0)], _capacity(50.0, reached=False))

    assert found is not None
    assert (found.outcome, found.meaning) == ("below", consistency.ENDED)


@pytest.mark.parametrize("rps", [None, 0.0])
def test_without_a_capacity_nothing_is_held_against_anything(rps: float | None) -> None:
    """Nothing served is no measurement of a ceiling."""
    assert consistency.check([_row("db-pool", 100.0)], _capacity(rps)) is None


def test_a_bound_app_agrees_with_its_ledger() -> None:
    """The diagnosis of a pool-bound run stores the check."""
    found = _diagnosed().ledger_check

    assert found is not None
    assert (found.resource, found.outcome) == ("db-pool", "agrees")


def test_figures_that_nobody_measured_make_no_rows() -> None:
    """A server that was not looked at has an empty ledger, but for what is known without it."""
    blank = ServerFigures(**dict.fromkeys(_needed(), None))  # type: ignore[arg-type]
    steps = [replace(step, server=blank) for step in _steps()]

    assert build_ledger(ladder(steps), MACHINE, None) == []


def _needed() -> list[str]:
    return [one.name for one in fields(ServerFigures) if one.default is MISSING and one.default_factory is MISSING]
