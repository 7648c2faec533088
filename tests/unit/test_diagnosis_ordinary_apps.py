"""Apps unlike those the rules were fitted on: more cores, uneven workers, jobs, clients and figures nobody measured."""

from dataclasses import replace
from typing import Any

import pytest

from pinchpoint.diagnosis.cpu_causes import idle_cores
from pinchpoint.diagnosis.facts import Facts
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.verdict import judge
from pinchpoint.measures import EndpointFigures, Latency, PeerFigures, WorkerFigures
from pinchpoint.records import AwaitShares
from support.made_steps import facts, pool, step

CALM: dict[str, Any] = {"server_threads_in": {"idle": 4.0}}
NO_LOOP: dict[str, Any] = {
    "server_has_loop": False, "server_loop_busy": None, "server_loop_busy_mean": None, "server_loop_cpu_cores": None,
    "server_loop_blocked": None, "server_off_loop_cpu_cores": None,
}  # fmt: skip


def worker(pid: int, cpu: float, *, busy: float | None = None, rps: float = 50.0) -> WorkerFigures:
    """Return a worker that runs so much; of its loop, where it has one, all of it."""
    return WorkerFigures(pid, cpu, 0.0, busy, rps, 6e7, 5e7, 1.0, cpu if busy is not None else None, 0.0, 0.0)


def two(cores: float = 1.0, low: dict[str, Any] | None = None, **limit: Any) -> Facts:
    """Return a run that held 50/s and broke at 120/s with these figures, having served 100/s."""
    broke = {"goodput": 100.0, "server_inflight": 40.0, "server_service_ms": 400.0, **limit}
    return facts(step(50, index=0, **{**CALM, **(low or {})}), step(120, passed=False, index=1, **broke), cores=cores)


def answer(found: Facts) -> tuple[str, str]:
    """Return class and cause."""
    verdict = judge(found)
    return verdict.class_, verdict.cause


def database(name: str, **changes: Any) -> dict[str, Any]:
    """Return the figures of an app that waits for a database, eight times as long as at low load."""
    calls = [PeerFigures(name, 100.0, 8.0, 30.0, 0.0)]
    return {
        "server_db_embedded": False, "server_db_ms_per_request": 320.0, "server_db_calls_per_request": 4.0,
        "server_db_active": 30.0, "server_calls": calls, "server_foreign_cpu_cores": 0.2, "server_psi": {},
        **changes,
    }  # fmt: skip


LOW_DATABASE = database("db x y", server_db_ms_per_request=40.0, server_service_ms=45.0, server_db_active=2.0)


def test_a_held_interpreter_lock_is_no_lock_in_the_database() -> None:
    """16 threads of one worker on three cores: what they wait for after each statement is the GIL."""
    computes = {**NO_LOOP, "server_cpu_cores": 1.0, "server_runq_cores": 0.02, "server_per_worker": [worker(1, 1.0)]}
    low = {**LOW_DATABASE, **NO_LOOP, "server_cpu_cores": 0.3}
    slots: dict[str, Any] = {
        "server_pools": {"slots": pool(16, 16, 9, 200.0)},
        "server_thread_states": {"gil": 0.9, "running": 0.1},
    }
    for place in ("127.0.0.1:5432/shop", "db.example:5432/shop"):
        waits = database(f"db postgresql {place}", server_psi={"io_some": 0.0, "cpu_some": 0.05})
        assert answer(two(cores=3.0, low=low, **waits, **computes, **slots)) == ("cpu", "gil")


@pytest.mark.parametrize("name", ["db postgresql", "db (other)", "db postgresql db.example:5432/shop"])
def test_a_database_whose_place_is_unknown_is_not_on_this_machine(name: str) -> None:
    """It may be anywhere: no row lock, but a slow database all the same, and no error."""
    waits = database(name, server_psi={"io_some": 0.0, "cpu_some": 0.05})
    assert answer(two(low=LOW_DATABASE, **waits)) == ("io", "slow-query")


def test_a_database_elsewhere_may_as_well_hold_a_hot_row() -> None:
    """From here both look alike: never more than `ambiguous`; beside a full CPU of this machine it is plain."""
    far, here = (
        judge(two(low=LOW_DATABASE, **database(f"db postgresql {place}/shop", server_psi={"io_some": 0.4})))
        for place in ("db.example:5432", "127.0.0.1:5432")
    )
    assert [far.cause, here.cause] == ["slow-query", "slow-query"]
    assert [far.status, here.status] == ["ambiguous", "supported"]
    assert any("elsewhere" in doubt for doubt in far.would_flip_if)


def test_without_a_figure_of_the_disk_statements_may_wait_for_it() -> None:
    """A row lock is what is left when CPU and disk are ruled out; nobody looked at the disk here."""
    waits = database("db postgresql 127.0.0.1:5432/shop")
    assert answer(two(low=LOW_DATABASE, **waits)) == ("io", "slow-query")
    assert answer(two(low=LOW_DATABASE, **{**waits, "server_psi": {"io_some": 0.0}})) == ("lock", "db-row")


@pytest.mark.parametrize("shares", [(1.0, 0.54, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (1.0, 0.0)])
def test_one_full_loop_among_idle_ones_computes(shares: tuple[float, ...]) -> None:
    """All requests of a few clients with connections that stay: the busiest loop is full, whatever the mean."""
    workers = [worker(pid, cpu, busy=0.98 * cpu, rps=100.0 * cpu) for pid, cpu in enumerate(shares)]
    found = two(
        cores=float(len(shares)), server_cpu_cores=sum(shares), server_loop_cpu_cores=sum(shares),
        server_loop_busy=0.98, server_loop_busy_mean=0.98 * sum(shares) / len(shares), server_per_worker=workers,
    )  # fmt: skip
    assert answer(found) == ("cpu", "worker-imbalance")


def test_a_pool_full_of_jobs_is_not_what_requests_wait_for() -> None:
    """Eight slots are taken and as long as ever; the 80 that wait for two threads are no requests."""
    mails = replace(pool(2, 2, 80, 200.0), checkouts_per_request=0.25)
    slots = pool(8, 8, 12, 200.0)
    low: dict[str, Any] = {
        **NO_LOOP,
        "server_pools": {"slots": pool(8, 3, 0, 200.0)},
        "server_per_worker": [worker(1, 0.1)],
    }
    found = two(
        low=low, **NO_LOOP, server_pools={"slots": slots, "executor": mails}, server_inflight=8.0,
        server_service_ms=200.0, server_per_worker=[worker(1, 0.2)],
    )  # fmt: skip
    assert answer(found) == ("pool", "worker-slots")


@pytest.mark.parametrize(("db_ms", "expected"), [(38.0, ("io", "slow-query")), (12.0, ("cpu", "python-code"))])
def test_a_costly_statement_in_workers_without_a_loop(db_ms: float, expected: tuple[str, str]) -> None:
    """38 ms of the 41 ms of CPU are the database's; or a third of them."""
    low: dict[str, Any] = {
        **NO_LOOP,
        "server_db_embedded": True,
        "server_db_ms_per_request": db_ms,
        "server_cpu_cores": 2.05,
    }
    slots: dict[str, Any] = {"server_pools": {"slots": pool(1, 1, 9, 41.0)}, "server_per_worker": [worker(1, 1.0)]}
    found = two(low=low, **NO_LOOP, server_db_embedded=True, server_cpu_cores=1.0, server_db_active=0.9, **slots)
    assert answer(found) == expected


def test_a_full_interpreter_is_held_against_one_core_and_gets_more_workers() -> None:
    """One worker of threads on four cores: its ceiling is one core's, and three cores are idle."""
    low: dict[str, Any] = {**NO_LOOP, "server_cpu_cores": 0.5, "server_per_worker": [worker(1, 0.5)]}
    found = two(
        cores=4.0, low=low, **NO_LOOP, server_cpu_cores=1.0, server_per_worker=[worker(1, 1.0)],
        server_pools={"slots": pool(1, 1, 9, 10.0)},
    )  # fmt: skip
    verdict = judge(found)
    assert (verdict.class_, verdict.cause, verdict.status) == ("cpu", "too-few-workers", "supported")
    assert verdict.advice[0].knob == "workers"


def test_a_quota_is_no_number_of_cpus() -> None:
    """One core of sixteen CPUs: a pool is full, and others use 1.1 cores somewhere; nothing crowds the database out."""
    low = {**LOW_DATABASE, "server_pools": {"db": pool(10, 3, 0, 42.0)}, "server_foreign_cpu_cores": 0.5}
    full = database(
        "db postgresql db.example:5432/shop", server_db_ms_per_request=41.0, server_foreign_cpu_cores=1.1,
        server_rival_cpu_cores=1.1, server_db_active=9.9, server_pools={"db": pool(10, 10, 30, 43.0, 300.0)},
    )  # fmt: skip
    found = two(low=low, **full)
    assert answer(replace(found, machine=Machine(cores=1.0, shared=False, cpus=16))) == ("pool", "db-pool")


def test_a_pool_held_ever_longer_for_something_unseen_is_not_accused() -> None:
    """5.6 times as long as at low load, and not for the database: a larger pool would only let more of them wait."""
    low = {"server_pools": {"db": pool(20, 2, 0, 8.0)}}
    found = two(low=low, server_pools={"db": pool(20, 20, 15, 45.0, 90.0)}, server_db_embedded=False)
    assert answer(found)[0] != "pool"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("database", ("io", "slow-query")), ("connection pool", ("pool", "db-pool"))],
)
def test_clients_that_only_the_await_chains_show_are_named(kind: str, expected: tuple[str, str]) -> None:
    """Redis, MongoDB, MySQL: nothing of theirs is measured, but 900 requests were met waiting for them."""
    awaits = AwaitShares(
        low={"GET /": {kind: 0.3, "ready": 0.7}}, limit={"GET /": {kind: 0.9, "ready": 0.1}},
        met_low={"GET /": 200}, met_limit={"GET /": 900},
    )  # fmt: skip
    found = two()
    assert answer(replace(found, awaits=awaits)) == expected
    assert judge(replace(found, awaits=awaits)).status == "ambiguous"


def test_holders_that_wait_for_a_service_are_in_no_deadlock() -> None:
    """All threads and connections are out and hardly a statement runs: each holder waits for the payment service."""
    pools = {"threadpool": pool(40, 40, 20, 9000.0), "db": pool(15, 15, 25, 9000.0)}
    slow = [PeerFigures("http pay.example:443", 2.0, 10_000.0, 15.0, 0.0)]
    collapsed: dict[str, Any] = {
        "goodput": 6.0,
        "client_ok": 40,
        "server_pools": pools,
        "server_db_active": 0.3,
        "server_db_embedded": False,
    }
    assert answer(two(**collapsed)) == ("pool", "token-pool-deadlock")
    assert answer(two(**collapsed, server_calls=slow))[1] != "token-pool-deadlock"


def test_a_lock_that_one_of_many_waits_for_is_not_what_binds() -> None:
    """1.2 of 64 requests wait for the log file's lock; the slots are what is full."""
    low: dict[str, Any] = {
        **NO_LOOP,
        "server_pools": {"slots": pool(64, 20, 0, 80.0)},
        "server_per_worker": [worker(1, 0.2)],
    }
    gate = replace(pool(1, 0, 1.2, 0.0, 0.6), busy=None)
    found = two(
        low=low, **NO_LOOP, server_pools={"slots": pool(64, 64, 200, 80.0)}, server_inflight=64.0,
        server_gates={"lock file /var/log/app.lock": gate}, server_per_worker=[worker(1, 0.4)],
    )  # fmt: skip
    assert answer(found) == ("pool", "worker-slots")


def test_a_kill_of_somebody_else_in_the_same_group_is_not_the_apps_end() -> None:
    """A database beside it, or a job: no process of the app is gone."""
    assert answer(replace(two(server_loop_busy=0.99, server_cpu_cores=1.0), oom_kills=1.0))[0] == "cpu"


def test_swapping_of_others_is_not_the_apps_want_of_memory() -> None:
    """Pressure and swap are the machine's; it read no page back itself."""
    found = two(server_psi={"memory_some": 0.4}, server_swap_pages_per_s=900.0, server_major_faults_per_s=0.0)
    assert answer(found)[0] != "memory"


def test_a_share_of_the_cpu_that_is_unknown_is_not_told_as_none() -> None:
    """A full worker says enough; how many cores there are nobody knows."""
    low = {**NO_LOOP, "server_db_embedded": True, "server_db_ms_per_request": 38.0, "server_cpu_cores": 2.05}
    slots: dict[str, Any] = {"server_pools": {"slots": pool(1, 1, 9, 41.0)}, "server_per_worker": [worker(1, 1.0)]}
    found = two(low=low, **NO_LOOP, server_db_embedded=True, server_cpu_cores=1.0, server_db_active=0.9, **slots)
    verdict = judge(replace(found, machine=Machine(cores=None, shared=False)))
    assert (verdict.class_, verdict.cause) == ("io", "slow-query")
    assert "cpu.running+runnable" not in [one.signal for one in verdict.evidence]


def test_an_endpoint_that_is_dear_now_and_then_is_the_dear_one() -> None:
    """Three of ten searches cost a hundred times as much: the median of them knows nothing of it."""
    shown = EndpointFigures("/items", 700, 0, Latency(5, 6, 7, 8, 9), mean_ms=5.0)
    searched = EndpointFigures("/search", 300, 0, Latency(1, 120, 130, 140, 150), mean_ms=37.0)
    busy: dict[str, Any] = {"server_cpu_cores": 1.0, "server_loop_busy": 0.99, "server_loop_cpu_cores": 0.98}

    found = judge(two(low={"client_endpoints": [shown, searched]}, **busy))

    assert (found.class_, found.location.endpoint if found.location else None) == ("cpu", "/search")


def test_all_load_processes_use_the_cores_they_share() -> None:
    """Four of them at half a core each leave less than one core to a database on the same machine."""
    low = {"server_foreign_cpu_cores": 0.0, "server_rival_cpu_cores": None}
    limit = {**low, "server_cpu_cores": 0.2, "client_cpu_share": 0.5, "client_cpu_cores": 2.0}
    found = two(cores=3.0, low=low, **limit)

    assert idle_cores(found, found.ladder.failed[0]) == pytest.approx(3.0 - 0.2 - 2.0)


@pytest.mark.parametrize(("served", "plateau"), [((190, 195, 400, 790), None), ((190, 380, 400, 405), 405.0)])
def test_a_flat_pair_is_a_plateau_only_where_nothing_beyond_serves_more(
    served: tuple[int, ...], plateau: float | None
) -> None:
    """In the closed model; the step of 40 users had a bad second, and 80 of them brought twice as much."""
    steps = [
        replace(step(20 * 2**k, goodput=rate, index=k), model="users", users=20 * 2**k, offered_rps=None)
        for k, rate in enumerate(served)
    ]

    assert facts(*steps).capacity.saturation_rps == plateau


@pytest.mark.parametrize(
    ("stolen", "expected"), [(0.6, ("undetermined", "unsteady")), (0.1, ("generator", "generator-bound"))]
)
def test_a_generator_without_a_core_is_no_limit_of_its_own(stolen: float, expected: tuple[str, str]) -> None:
    """Where the hypervisor gave the cores to somebody else, neither side can be judged."""
    late: dict[str, Any] = {"client_cpu_share": 0.97, "client_cpu_peak": 0.97, "server_steal_share": stolen}

    assert answer(two(low={"server_steal_share": stolen}, **late)) == expected


@pytest.mark.parametrize(("before", "cause"), [(0.05, "unsteady"), (0.4, "python-code")])
def test_cores_that_went_to_others_while_the_limit_was_sought_are_not_full_of_work(before: float, cause: str) -> None:
    """A healthy app breaks when the hypervisor takes its core; one that never had more is full at what it has."""
    full = {"server_loop_busy": 0.93, "server_loop_busy_mean": 0.93, "server_loop_cpu_cores": 0.9}

    found = answer(two(low={"server_steal_share": before}, **full, server_cpu_cores=0.9, server_steal_share=0.5))

    assert found[1] == cause


@pytest.mark.parametrize(("stolen", "cause"), [(0.5, "unsteady"), (0.0, "python-code")])
def test_an_overload_that_broke_without_its_cores_accuses_nobody(stolen: float, cause: str) -> None:
    """Every load of the search had held."""
    full = {"server_loop_busy": 0.93, "server_loop_busy_mean": 0.93, "server_loop_cpu_cores": 0.9}
    broke = step(
        160, index=2, phase="overload", passed=False, goodput=100.0, server_cpu_cores=0.9, server_inflight=40.0,
        server_steal_share=stolen, **full,
    )  # fmt: skip

    assert answer(facts(step(50, index=0, **CALM), step(120, index=1, **CALM), broke))[1] == cause


def test_a_pool_that_is_full_in_one_worker_is_told_of_that_worker() -> None:
    """Half of all connections are out; evidence and thresholds speak of the busiest worker."""
    uneven = replace(pool(20, 10.4, 6, 30.0), uneven=1.9)
    low = {"server_pools": {"db": pool(20, 2, 0, 30.0)}}

    found = judge(two(low=low, server_pools={"db": uneven}, server_cpu_cores=0.3))

    assert (found.class_, found.cause) == ("pool", "db-pool")
    assert any("in the busiest worker 99% are in use" in one.statement for one in found.evidence)
    assert any("in use in the busiest worker was below 90%" in one for one in found.would_flip_if), found.would_flip_if


@pytest.mark.parametrize(("gil", "runnable", "expected"), [(0.4, 0.37, "python-code"), (0.15, 0.7, "native-code")])
def test_who_waits_for_the_gil_of_a_thread_on_the_only_core_waits_for_the_core(
    gil: float, runnable: float, expected: str
) -> None:
    """Eight threads of a worker on one core are runnable by turns, whether they need its GIL or not."""
    slots: dict[str, Any] = {"server_pools": {"slots": pool(8, 8, 20, 50.0)}}
    states = {"server_thread_states": {"gil": gil, "runnable": runnable, "running": 0.15}}
    busy = {"server_cpu_cores": 0.99, "server_runq_cores": 3.5, "server_per_worker": [worker(1, 0.99)]}

    found = two(low={**NO_LOOP, "server_cpu_cores": 0.3}, **{**NO_LOOP, **slots, **states, **busy})

    assert answer(found) == ("cpu", expected)


@pytest.mark.parametrize(("service_ms", "cause"), [(95.0, "downstream"), (44.0, None)])
def test_calls_that_no_request_waits_for_are_no_bottleneck(service_ms: float, cause: str | None) -> None:
    """Webhooks sent beside the requests: they take 50 ms longer, the requests 4."""

    def calls(each_ms: float) -> dict[str, Any]:
        return {"server_http_calls_per_request": 1.0, "server_http_ms_per_request": each_ms}

    found = answer(two(low={**calls(60.0), "server_service_ms": 40.0}, **calls(110.0), server_service_ms=service_ms))
    assert found == ("io", "downstream") if cause else found[0] != "io"
