"""What binds beside the process or in front of it: disk, link, memory limit, quota, doors, deadlocks; step by step."""

from dataclasses import replace
from typing import Any

import pytest

from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.theft import unrobbed
from pinchpoint.diagnosis.ties import symptoms
from pinchpoint.diagnosis.verdict import judge, server_binds
from pinchpoint.measures import WorkerFigures
from pinchpoint.records import AwaitShares, Verdict
from support.made_steps import facts, pool, step

CALM: dict[str, Any] = {"server_threads_in": {"idle": 4.0}}


def answer(found: Facts) -> tuple[str, str]:
    """Return class and cause."""
    verdict = judge(found)
    return verdict.class_, verdict.cause


def two(
    cores: float = 1.0, low: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **limit: Any
) -> Facts:
    """Return a run that held 50/s and broke at 120/s with these figures, having served 100/s."""
    broke = {"goodput": 100.0, "server_inflight": 40.0, "server_service_ms": 400.0, **limit}
    return facts(
        step(50, index=0, **{**CALM, **(low or {})}),
        step(120, passed=False, index=1, **broke),
        cores=cores,
        **(more or {}),
    )


def disk_threads(inside: float, low_ms: float, waited: float = 0.9, busy: float = 0.4) -> Facts:
    """Return threads of which so many stand in disk calls."""
    return two(
        low={"server_pools": {"threadpool": pool(40, 0.5, 0, low_ms)}},
        server_pools={"threadpool": pool(40, 40, 8, 380.0, 80.0)},
        server_threads_in={"disk": inside, "other": 1.0}, server_psi={"io_some": waited}, server_disk_busy=busy,
    )  # fmt: skip


def test_threads_that_queue_for_the_disk_are_its_symptom() -> None:
    """38 of 40 in disk calls, 38 times as long as at low load; the full threadpool is named as a symptom."""
    verdict = judge(disk_threads(38.0, 10.0))

    assert (verdict.class_, verdict.cause) == ("io", "disk")
    assert any("threadpool" in one.statement and "symptom" in one.statement for one in verdict.evidence)
    assert (
        "the time with the disk over that at low load was below 1.50 times (it was 38.00 times)"
        in verdict.would_flip_if
    )


@pytest.mark.parametrize(("inside", "low_ms"), [(38.0, 370.0), (5.0, 360.0)])
def test_a_disk_as_fast_as_at_low_load_is_not_what_lacks(inside: float, low_ms: float) -> None:
    """Held no longer, or standing elsewhere: then threads are missing."""
    assert answer(disk_threads(inside, low_ms)) == ("pool", "threadpool")


def test_a_loop_that_stands_still_in_disk_calls_ever_longer_waits_for_the_disk() -> None:
    """One event loop, 2 ms at low load and 9 ms at the limit."""
    found = two(
        low={"server_loop_busy": 0.3, "server_loop_blocked": 0.1},
        server_loop_busy=0.99, server_loop_blocked=0.9, server_threads_in={"disk": 0.9},
    )  # fmt: skip

    assert answer(found) == ("io", "disk")


@pytest.mark.parametrize(("waited", "status"), [(0.6, "supported"), (0.001, "ambiguous")])
def test_waits_for_a_disk_that_no_disk_of_this_machine_shows_are_doubtful(waited: float, status: str) -> None:
    """A network file system, or no file at all."""
    verdict = judge(disk_threads(38.0, 10.0, waited, 0.0))

    assert (verdict.cause, verdict.status) == ("disk", status)


def test_a_loop_that_stands_still_in_disk_calls_as_long_as_ever_is_blocked() -> None:
    """9 ms at low load as well: another thread would do more."""
    found = two(
        low={"server_loop_busy": 0.5, "server_loop_blocked": 0.45},
        server_loop_busy=0.99, server_loop_blocked=0.9, server_threads_in={"disk": 0.9},
    )  # fmt: skip

    assert answer(found) == ("blocking", "sync-call")


def test_a_quota_that_stops_the_loop_is_no_blocking_call() -> None:
    """Half a core in each period: busy, neither running nor runnable."""
    found = two(
        cores=0.5, server_loop_busy=0.99, server_loop_blocked=0.5, server_throttled_share=0.97,
        server_throttled_cores=0.49, server_cpu_cores=0.5, server_loop_cpu_cores=0.48,
    )  # fmt: skip

    assert answer(found) == ("cpu", "cpu-quota")


def test_clients_that_take_their_answers_late_show_the_link() -> None:
    """140 kB each, and the requests that wait inside the app wait for their clients."""
    awaits = AwaitShares(limit={"GET /x": {"client": 0.95}}, met_limit={"GET /x": 200})
    found = two(server_net_tx_bytes_per_s=12.5e6, more={"awaits": awaits})

    assert answer(found) == ("io", "network")


def test_small_answers_do_not_fill_a_link() -> None:
    """1 kB each: nothing is said of the network."""
    awaits = AwaitShares(limit={"GET /x": {"client": 0.95}}, met_limit={"GET /x": 200})

    assert answer(two(server_net_tx_bytes_per_s=1e5, more={"awaits": awaits}))[1] != "network"


@pytest.mark.parametrize(
    ("figures", "cause"),
    [
        ({"server_memory_hits_per_s": 400.0, "server_memory_use": 0.97}, "limit"),
        ({"server_swap_pages_per_s": 900.0}, "swap"),
        ({"server_major_faults_per_s": 300.0}, "swap"),
    ],
)
def test_pages_that_are_taken_back_are_memory(figures: dict[str, Any], cause: str) -> None:
    """PSI says that somebody waits for memory; the group's limit or swap says why."""
    found = two(server_psi={"memory_some": 0.4}, **figures)

    assert answer(found) == ("memory", cause)


def test_pressure_without_a_page_is_nobodys() -> None:
    """The machine's pressure alone accuses nobody."""
    assert answer(two(server_psi={"memory_some": 0.4}))[0] == "undetermined"


def test_a_kill_for_want_of_memory_binds_whatever_else_is_full() -> None:
    """Between two steps, too: the whole run counts."""
    assert answer(two(server_loop_busy=0.99, server_cpu_cores=1.0, more={"oom_kills": 1.0, "workers_died": 1})) == (
        "memory",
        "limit",
    )


def test_faults_that_were_not_counted_are_not_told_as_none() -> None:
    """Swap alone says why; nothing is said of pages read back."""
    verdict = judge(two(server_psi={"memory_some": 0.4}, server_swap_pages_per_s=900.0, server_major_faults_per_s=None))

    assert verdict.cause == "swap"
    assert "proc.major_faults" not in [one.signal for one in verdict.evidence]


def deadlock(goodput: float, db_active: float | None = 0.0) -> Facts:
    """Return all tokens and connections taken, and no statement in progress."""
    return two(
        goodput=goodput, client_empty_seconds=2,
        server_pools={"threadpool": pool(40, 40, 60, 30_000.0, 900.0), "db": pool(5, 5, 40, 30_000.0, 900.0)},
        server_db_active=db_active, server_db_embedded=False,
    )  # fmt: skip


def test_statements_that_nobody_counts_prove_no_deadlock() -> None:
    """A driver that the probe does not see may be at work in every connection."""
    assert answer(deadlock(0.0, None))[1] != "token-pool-deadlock"


def test_everything_taken_and_nobody_at_work_is_a_deadlock() -> None:
    """No completions: the result has a name."""
    verdict = judge(deadlock(0.0))

    assert (verdict.class_, verdict.cause) == ("pool", "token-pool-deadlock")
    assert "no statement is in progress" in verdict.summary


def test_a_full_pool_that_goes_on_is_no_deadlock() -> None:
    """Connections that idle in transactions, at the pool's ceiling."""
    assert answer(deadlock(100.0))[1] != "token-pool-deadlock"


def test_an_accept_queue_that_overflows_before_an_idle_server_binds() -> None:
    """Each overflow costs a client a second."""
    found = two(server_listen_overflows=20.0, server_listen_limit=8.0, server_listen_queue=3.0)

    assert answer(found) == ("pool", "accept-backlog")
    assert "overflowed 20 times" in judge(found).summary


def test_overflows_of_a_neighbours_queue_accuse_nobody() -> None:
    """The kernel counts them for the whole machine; our own queue of 128 was empty all the time."""
    found = two(server_listen_overflows=20.0, server_listen_limit=128.0, server_listen_queue=0.01)

    assert answer(found) != ("pool", "accept-backlog")


def test_an_accept_queue_that_overflows_behind_a_full_worker_is_a_symptom() -> None:
    """The loop computes all the time."""
    found = two(server_listen_overflows=20.0, server_loop_busy=0.99, server_cpu_cores=1.0, server_loop_cpu_cores=0.99)

    assert answer(found)[0] == "cpu"


def test_an_app_that_refuses_with_time_to_spare_limits_admission() -> None:
    """429 beyond what was agreed, the rest served as before."""
    found = two(client_failed=40, client_errors={"429": 40})

    assert answer(found) == ("pool", "admission-limit")


@pytest.mark.parametrize(("generator", "cause"), [(0.3, "too-few-workers"), (0.9, "python-code")])
def test_half_a_core_left_over_is_room_for_a_worker(generator: float, cause: str) -> None:
    """Two cores: one worker full, the generator on a part of the other."""
    found = two(
        cores=2.0,
        server_loop_busy=0.99,
        server_cpu_cores=1.0,
        server_loop_cpu_cores=0.99,
        server_rival_cpu_cores=generator,
    )

    assert answer(found) == ("cpu", cause)


def test_cores_that_nobody_measured_are_not_idle() -> None:
    """Without a figure of what others use, there may be no room for a worker."""
    found = two(
        cores=2.0,
        server_loop_busy=0.99,
        server_cpu_cores=1.0,
        server_loop_cpu_cores=0.99,
        server_rival_cpu_cores=None,
        server_foreign_cpu_cores=None,
    )

    assert answer(found)[1] != "too-few-workers"


def one_gil(slots: int, gil: float) -> Verdict:
    """Return a worker of threads that runs one core of two."""
    worker = WorkerFigures(1, 1.0, 0.0, None, 100.0, None, None, None)
    return judge(
        two(
            cores=2.0, server_has_loop=False, server_loop_busy=None, server_loop_busy_mean=None,
            server_loop_cpu_cores=None, server_loop_blocked=None, server_off_loop_cpu_cores=None, server_cpu_cores=1.0,
            server_per_worker=[worker], server_pools={"slots": pool(slots, slots, 9, 10.0 * slots)},
            server_thread_states={"gil": gil, "running": 1 - gil},
        )
    )  # fmt: skip


def test_threads_that_want_one_gil_are_told_from_a_lack_of_workers() -> None:
    """Eight threads that compute in turn; a single one that computes."""
    assert (one_gil(8, 0.8).cause, one_gil(1, 0.0).cause) == ("gil", "too-few-workers")


def test_a_pool_that_would_bind_next_to_nothing_later_is_a_co_bottleneck() -> None:
    """Both pools serve 100/s by their holding times at low load; growing one alone gains nothing."""
    low = {"server_pools": {"http": pool(5, 2.5, 0, 50.0), "db": pool(10, 5.0, 0, 100.0)}}
    found = two(
        low=low, server_pools={"http": pool(5, 5, 9, 50.0, 90.0), "db": pool(10, 9.9, 5, 100.0, 50.0)},
        server_db_active=9.9, server_db_embedded=False,
    )  # fmt: skip

    verdict = judge(found)

    assert {verdict.cause, *verdict.co_bottlenecks} == {"http-pool", "db-pool"}
    (other,) = verdict.co_bottlenecks
    gains = [one.expected_gain for one in verdict.advice if one.expected_gain is not None]
    assert gains
    assert all(gain.endswith(f"only together with more of {other}, which binds too") for gain in gains)


def test_a_pool_full_of_requests_that_compute_is_a_symptom_and_no_tie() -> None:
    """One slot, held for as long as its request computes."""
    low = {"server_pools": {"slots": pool(1, 0.5, 0, 10.0)}, "server_cpu_cores": 0.5}
    worker = WorkerFigures(1, 1.0, 0.0, None, 100.0, None, None, None)
    verdict = judge(
        two(
            low=low, server_has_loop=False, server_loop_busy=None, server_loop_cpu_cores=None, server_cpu_cores=1.0,
            server_loop_blocked=None, server_per_worker=[worker], server_pools={"slots": pool(1, 1, 9, 10.0)},
        )
    )  # fmt: skip

    assert verdict.class_ == "cpu"
    assert verdict.co_bottlenecks == []


def test_what_binds_further_up_is_told_step_by_step() -> None:
    """The pool first, then the CPU: two stretches, one evidence line."""
    low: dict[str, Any] = {"server_pools": {"db": pool(5, 2.5, 0, 50.0)}}
    full: dict[str, Any] = {
        "server_pools": {"db": pool(5, 5, 9, 50.0, 90.0)},
        "server_db_active": 4.9,
        "server_db_embedded": False,
        "server_inflight": 15.0,
    }
    found = facts(
        step(50, index=0, **CALM, **low),
        step(120, passed=False, index=1, goodput=100.0, **full),
        step(200, passed=False, index=2, goodput=100.0, server_loop_busy=0.99, server_cpu_cores=1.0,
             server_loop_cpu_cores=0.99),
    )  # fmt: skip

    verdict = judge(found)

    assert [(one.load, one.cause) for one in verdict.by_step] == [(120, "db-pool"), (200, "python-code")]
    assert any("pool/db-pool from 120 requests/s, then cpu/python-code" in one.statement for one in verdict.evidence)


def test_the_threadpool_around_a_pool_is_its_next_wall() -> None:
    """It fills up because of the pool today; by its holding time at low load it serves 160/s."""
    low = {"server_pools": {"threadpool": pool(8, 2.5, 0, 50.0), "db": pool(5, 2.4, 0, 48.0)}}
    found = two(
        low=low, server_pools={"threadpool": pool(8, 7.9, 9, 79.0, 90.0), "db": pool(5, 5, 3, 48.0, 30.0)},
        server_db_active=4.9, server_db_embedded=False,
    )  # fmt: skip

    verdict = judge(found)

    assert verdict.cause == "db-pool"
    assert verdict.next_wall is not None
    assert (verdict.next_wall.resource, round(verdict.next_wall.ceiling_rps)) == ("threadpool", 160)


def test_a_lost_agent_is_not_cured_by_a_longer_budget() -> None:
    """The verdict says what is missing, and what would bring it."""
    verdict = judge(two(server_samples_received=0, more={"agent_lost": "the line to box-2 broke"}))

    assert (verdict.class_, verdict.cause) == ("undetermined", "too-few-samples")
    assert "the line to box-2 broke" in verdict.summary
    assert not any("budget" in text for text in (verdict.summary, *verdict.would_flip_if))


def test_a_leak_names_no_symptom() -> None:
    """Nothing waits for memory that merely grows."""
    candidate = Candidate("memory", "leak", "", "memory", (), [], 1.0, agrees=True)
    full = step(120, passed=False, server_pools={"slots": pool(8, 8, 300, 25.0)})

    assert symptoms(candidate, full, []) == []
    assert len(symptoms(replace(candidate, cause="limit"), full, [])) == 1


@pytest.mark.parametrize(("inside", "excused"), [(38.0, True), (1.0, False)])
def test_a_late_generator_is_excused_where_a_rule_says_what_binds(inside: float, excused: bool) -> None:
    """Requests that leave late keep no thread waiting for a disk; without one, the generator is suspected."""
    found = disk_threads(inside, 10.0)
    idle = {"threadpool": pool(40, 20, 0, 380.0)}
    broke = replace(found.ladder.failed[0], server=replace(found.ladder.failed[0].server, pools=idle))

    assert server_binds(replace(found, ladder=replace(found.ladder, failed=[broke], limit=broke))) is excused


def test_a_step_that_was_taken_away_shows_nothing() -> None:
    """A bogus pass and a bogus break, while somebody else on the host had the machine."""
    steps = [
        step(50, index=0), step(160, index=1, passed=False, server_steal_share=0.5),
        step(160, index=2, server_steal_share=0.9), step(120, index=3, passed=False),
        step(20, index=4, phase="recovery"),
    ]  # fmt: skip

    assert [one.index for one in unrobbed(steps)] == [0, 3, 4]


def test_stolen_steps_are_judged_where_nothing_else_broke_or_held() -> None:
    """Something is better than nothing: the steal shows in the gates."""
    broke = [step(50, index=0), step(160, index=1, passed=False, server_steal_share=0.5)]

    assert unrobbed(broke) == broke
    assert unrobbed(broke[1:]) == broke[1:]


def test_an_overload_that_breaks_what_held_in_the_end_tells_what_binds() -> None:
    """The machine's speed changed: each load of the search held at last, none beyond."""
    low: dict[str, Any] = {"server_pools": {"db": pool(5, 2.5, 0, 50.0)}}
    full: dict[str, Any] = {
        "server_pools": {"db": pool(5, 5, 9, 50.0, 90.0)},
        "server_db_active": 4.9,
        "server_db_embedded": False,
        "server_inflight": 15.0,
    }
    overload = step(160, passed=False, goodput=100.0, index=1, phase="overload", **full)

    assert answer(facts(step(100, index=0, **CALM, **low), overload)) == ("pool", "db-pool")


@pytest.mark.parametrize(("overflows", "cause"), [(20.0, "accept-backlog"), (0.0, "worker-slots")])
def test_a_queue_that_overflows_before_the_slots_are_full_binds_first(overflows: float, cause: str) -> None:
    """At 50/s one in five is turned away with half of the slots free; at 120/s all are taken."""
    slots = {"server_pools": {"slots": pool(4, 2.0, 0, 40.0)}, "server_has_loop": False}
    found = two(
        low={**slots, "server_listen_overflows": overflows}, server_pools={"slots": pool(4, 4, 9, 40.0)},
        server_listen_overflows=overflows, server_has_loop=False,
    )  # fmt: skip

    assert answer(found) == ("pool", cause)


def test_pools_that_are_full_in_turn_bind_together() -> None:
    """Two routes take turns: each pool is half in use on average, yet requests wait 250 ms of 400 for one of them."""
    found = two(
        low={"server_pools": {"http": pool(5, 0.2, 0, 50.0), "threadpool": pool(8, 0.3, 0, 60.0)}},
        server_pools={"http": pool(5, 2.6, 15, 52.0, 150.0), "threadpool": pool(8, 4.2, 10, 62.0, 100.0)},
    )  # fmt: skip

    verdict = judge(found)

    assert (verdict.cause, verdict.co_bottlenecks, verdict.status) == ("http-pool", ["threadpool"], "ambiguous")
