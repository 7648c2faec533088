"""What binds behind full pools: locks, SQLite's writer, doors that refuse, services that slow down."""

from dataclasses import replace
from typing import Any

import pytest

from pinchpoint.diagnosis import diagnose
from pinchpoint.records import Diagnosis, Verdict
from support.synthetic import TRUTHS, Synthetic, Truth

KEYS = ("semaphore", "file-lock", "sqlite-writer", "downstream", "downstream-behind-a-pool", "pool-inside-a-semaphore")


def diagnosed(truth: Any) -> Diagnosis:
    """Simulate and diagnose."""
    return diagnose(Synthetic(truth).run().recording())


def judged(name: str) -> Verdict:
    """Return the verdict on a known truth."""
    return diagnosed(TRUTHS[name][0]).verdict


@pytest.mark.parametrize("name", KEYS)
def test_what_was_measured_is_supported(name: str) -> None:
    """The ledger does not contradict it, whatever is counted of a lock at low load."""
    assert judged(name).status == "supported"


def test_a_lock_seen_only_from_outside_is_ambiguous() -> None:
    """A queue between threads would look the same."""
    verdict = judged("thread-lock")

    assert verdict.status == "ambiguous"
    assert "threads wait for a lock" in verdict.summary
    assert any("queue between threads" in doubt for doubt in verdict.would_flip_if)


def test_threads_that_mostly_go_on_are_not_taking_turns() -> None:
    """Tokens held longer although their threads wait for no lock: something unseen binds, and no name is made up."""
    recording = Synthetic(TRUTHS["thread-lock"][0]).run().recording()
    for sample in recording.samples:
        for process in sample["processes"]:
            states = process.get("thread_states")
            if states:
                states["other"] += states.pop("lock", 0)

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause) == ("undetermined", "conflicting-evidence")


def test_a_pool_held_longer_because_of_a_service_is_a_symptom() -> None:
    """The client's 50 connections are out, because each call takes longer than at low load."""
    verdict = judged("downstream-behind-a-pool")

    assert "times as long as at low load" in verdict.summary
    assert "http-pool" not in verdict.co_bottlenecks


def test_the_ceiling_of_a_lock_is_what_went_through_it_when_it_was_full() -> None:
    """3 at a time for 40 ms: 75/s, although its holders are not all counted at low load."""
    rows = {row.resource: row for row in diagnosed(TRUTHS["semaphore"][0]).ledger}

    assert rows["lock"].ceiling_rps == pytest.approx(75.0, rel=0.1)


def test_the_narrow_one_of_two_semaphores_is_named_with_its_size() -> None:
    """The sum of both admits 1,003."""
    verdict = judged("narrow-semaphore-beside-a-wide-one")

    assert "narrow.py" in verdict.summary
    assert verdict.advice[0].text == "Raise what the semaphore admits from 3 to 6."


def test_more_workers_are_no_advice_against_a_lock_they_share() -> None:
    """They would wait as well; of a lock inside the process each worker has its own."""
    for name in ("file-lock", "sqlite-writer"):
        assert judged(name).advice[-1].expected_gain == "none"
    assert judged("thread-lock").advice[-1].knob == "workers"


def test_a_door_that_refuses_is_named_by_what_it_refused() -> None:
    """Its limit_concurrency refuses at once, and what fails was refused."""
    truth = replace(TRUTHS["healthy"][0], storm_above_rps=100.0)
    simulated = Synthetic(truth)
    recording = simulated.run().recording()
    refused = 0.0
    for sample in recording.samples:
        stormy = any(
            digest["t0_s"] <= sample["t_s"] <= digest["t1_s"] and digest["names"]["/items/[id]"]["failed"]
            for digest in recording.digests
        )
        refused += 20.0 if stormy else 0.0
        for process in sample["processes"]:
            gate = {"size": 10.0, "busy_s": 9.5 * sample["t_s"], "timeouts": refused, "taken": sample["t_s"]}
            if process["role"] == "worker":
                process["tables"] = {"gates": {"worker-slots uvicorn limit_concurrency": gate}}

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause) == ("pool", "admission-limit")
    assert "limit_concurrency" in verdict.summary


def test_a_lock_inside_an_idle_database_is_ambiguous_and_says_where_to_look() -> None:
    """Nobody asked the database."""
    verdict = judged("row-lock")

    assert verdict.status == "ambiguous"
    assert any("pg_blocking_pids" in doubt for doubt in verdict.would_flip_if)


def test_threads_at_one_socket_name_the_service_behind_it() -> None:
    """A client that the probe does not know; the kernel knows the peer."""
    recording = Synthetic(TRUTHS["thread-lock"][0]).run().recording()
    for sample in recording.samples:
        for process in sample["processes"]:
            states = process.get("thread_states")
            if states:
                states["socket"] = states.pop("lock", 0)
                process["peers"] = {"127.0.0.1:6379": states["socket"]}

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause, verdict.status) == ("io", "downstream", "ambiguous")
    assert "127.0.0.1:6379" in verdict.summary


def test_a_neighbour_on_the_same_core_does_not_hide_a_full_pool() -> None:
    """0.4 of the core run by the app, half of it by others; its threads are held no longer than at low load."""
    truth = Truth(loop_cpu_ms=0.5, off_cpu_ms=2.0, token_ms=50.0, tokens=8, foreign_cores=0.54)
    recording = Synthetic(truth).run().recording()
    for sample in recording.samples:
        sample["host"]["foreign_busy_s"] = 0.52 * sample["t_s"]
        for process in sample["processes"]:
            process["runq_s"] = 2.0 * sample["t_s"]

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause) == ("pool", "threadpool")


def test_a_worker_that_hardly_runs_is_not_full_however_long_its_threads_queue_for_the_core() -> None:
    """A neighbour has the core; seven of eight requests sleep until SQLite's writer is done."""
    recording = Synthetic(TRUTHS["sqlite-writer"][0]).run().recording()
    for sample in recording.samples:
        sample["host"]["foreign_busy_s"] = 0.9 * sample["t_s"]
        for process in sample["processes"]:
            process["runq_s"] = 1.0 * sample["t_s"]

    verdict = diagnose(recording).verdict

    assert (verdict.class_, verdict.cause) == ("lock", "sqlite-writer")


def test_a_neighbour_that_was_busy_before_is_no_database_at_work() -> None:
    """Others use 1.5 cores at every load, and nobody queues for a CPU: the pool binds."""
    truth = replace(TRUTHS["db-pool-postgres"][0], foreign_cores=1.5, host_cores=4)

    verdict = diagnosed(truth).verdict

    assert (verdict.class_, verdict.cause) == ("pool", "db-pool")


def test_a_generator_out_of_users_is_not_told_to_take_more_cores() -> None:
    """Half of the arrivals found nobody free, on 28 % of a core."""
    recording = Synthetic(TRUTHS["not-reached"][0]).run().recording()
    for digest in recording.digests:
        digest["scheduled"] *= 2

    verdict = diagnose(recording).verdict

    assert verdict.class_ == "generator"
    assert [item.knob for item in verdict.advice] == ["max_users"]
