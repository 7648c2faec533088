"""Counters of a window become figures; what was not measured stays None."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.diagnosis.saturation import Machine, cpu_use
from pinchpoint.diagnosis.windows import Samples, allowed_cores, machine_of, server_figures
from pinchpoint.rows import ProcessRow, SampleRow


def process(pid: int, cpu_s: float, role: str = "worker", **changes: Any) -> ProcessRow:
    """Make a row in which nothing but the CPU was measured."""
    row: dict[str, Any] = dict.fromkeys(ProcessRow.__annotations__)
    return row | {"pid": pid, "role": role, "cpu_s": cpu_s} | changes  # type: ignore[return-value]


def sample(t_s: float, *processes: ProcessRow, busy_s: float = 0.0) -> SampleRow:
    """Make a tick without control group or PSI."""
    host: Any = {
        "cpu_busy_s": busy_s, "per_cpu_busy_s": [0.0, 0.0], "psi_us": None, "listen_overflows": None,
        "listen_queue": None,
    }  # fmt: skip
    return {
        "t_s": t_s, "host": host, "cgroup": None, "processes": list(processes), "collector_cpu_s": 0.0, "late_s": 0.0,
    }  # fmt: skip


def test_cpu_is_the_growth_of_the_counter_over_the_window() -> None:
    """Master and worker together; rows outside the window do not count."""
    rows = [
        sample(0.0, process(1, 0.0, "master"), process(2, 0.0)),
        sample(1.0, process(1, 5.0, "master"), process(2, 1.0)),
        sample(3.0, process(1, 5.2, "master"), process(2, 2.0)),
        sample(9.0, process(1, 9.0, "master"), process(2, 9.0)),
    ]

    found = server_figures(Samples(rows), [], 1.0, 3.0)

    assert found.cpu_cores == pytest.approx(0.6)
    assert [worker.cpu_cores for worker in found.per_worker] == [pytest.approx(0.5)]


def test_what_was_not_measured_is_none_and_never_zero() -> None:
    """A kernel without run-queue figures, a target without a probe."""
    found = server_figures(Samples([sample(0.0, process(1, 0.0)), sample(1.0, process(1, 0.5))]), [], 0.0, 1.0)

    assert found.runq_cores is None
    assert found.loop_busy is None
    assert found.loop_blocked is None
    assert found.db_ms_per_request is None
    assert found.pools == {}
    assert found.psi == {}


def test_an_empty_window_measured_nothing() -> None:
    """No rows at all."""
    found = server_figures(Samples([]), [], 0.0, 2.0)

    assert (found.cpu_cores, found.samples_received, found.samples_expected) == (None, 0, 20)


def test_a_worker_that_dies_and_one_that_appears_count_for_what_they_used() -> None:
    """Each over its own rows; the sum over the window."""
    rows = [
        sample(0.0, process(1, 10.0)),
        sample(1.0, process(1, 10.5)),
        sample(2.0, process(2, 0.0)),
        sample(4.0, process(2, 1.5)),
    ]

    found = server_figures(Samples(rows), [], 0.0, 4.0)

    assert found.cpu_cores == pytest.approx(0.5)


def test_a_counter_that_falls_gives_no_figure() -> None:
    """A pid used again is another process."""
    found = server_figures(Samples([sample(0.0, process(1, 9.0)), sample(1.0, process(1, 0.1))]), [], 0.0, 1.0)

    assert found.cpu_cores is None


def test_probe_counters_are_timed_by_their_publication() -> None:
    """The last page is a second old: one busy second in one published second, not in two."""
    first = process(1, 0.0, probe={"loop_busy_s": 5.0, "requests_done": 10.0}, probe_age_s=0.0)
    last = process(1, 1.0, probe={"loop_busy_s": 5.9, "requests_done": 30.0}, probe_age_s=1.0)

    found = server_figures(Samples([sample(0.0, first), sample(2.0, last)]), [], 0.0, 2.0)

    assert found.loop_busy == pytest.approx(0.9)
    assert found.requests_rps == pytest.approx(20.0)


def test_waiting_for_the_gil_is_not_a_blocking_call() -> None:
    """Busy 1.0, running 0.5, and the rest of the looks found it on a futex."""
    states = {"idle": 0, "running": 50, "futex": 50, "sleep": 0}
    first = process(
        1, 0.0, probe={"loop_busy_s": 0.0}, probe_age_s=0.0, loop_cpu_s=0.0, loop_states=dict.fromkeys(states, 0)
    )
    last = process(1, 1.0, probe={"loop_busy_s": 2.0}, probe_age_s=0.0, loop_cpu_s=1.0, loop_states=states)

    found = server_figures(Samples([sample(0.0, first), sample(2.0, last)]), [], 0.0, 2.0)

    assert found.loop_busy == pytest.approx(1.0)
    assert found.loop_blocked == pytest.approx(0.0)


def test_a_pool_is_averaged_over_time_and_timed_per_checkout() -> None:
    """Two of four in use, one waiting; 20 checkouts that waited 50 ms and held 100 ms."""
    names = ("pool_busy_s", "pool_waiting_s", "pool_wait_s", "pool_hold_s", "pool_checkouts", "requests_done")
    before = process(1, 0.0, probe=dict.fromkeys(names, 0.0) | {"pool_size": 4.0}, probe_age_s=0.0)
    values = dict(zip(names, (2.0, 1.0, 1.0, 2.0, 20.0, 10.0), strict=True))
    after = process(1, 0.0, probe=values | {"pool_size": 4.0}, probe_age_s=0.0)

    pool = server_figures(Samples([sample(0.0, before), sample(1.0, after)]), [], 0.0, 1.0).pools["db"]

    assert (pool.size, pool.busy, pool.waiting, pool.wait_ms, pool.hold_ms) == (4.0, 2.0, 1.0, 50.0, 100.0)
    assert pool.checkouts_per_request == 2.0


def test_foreign_cpu_is_what_neither_target_nor_generator_used() -> None:
    """Two busy host seconds in two, half a core of them the target's, a quarter the generator's."""
    rows = [sample(0.0, process(1, 0.0)), sample(2.0, process(1, 1.0), busy_s=2.0)]
    digest: Any = {"process": 0, "t0_s": 0.0, "t1_s": 2.0, "cpu_s": 0.5}

    found = server_figures(Samples(rows), [digest], 0.0, 2.0)

    assert found.foreign_cpu_cores == pytest.approx(0.25)


@pytest.mark.parametrize(("pinned", "expected"), [([0], 1.0), (None, 2.0), ([], 2.0)])
def test_allowed_cores_come_from_the_pinning_or_the_host(pinned: list[int] | None, expected: float) -> None:
    """No quota here."""
    assert allowed_cores({"server_cpus": pinned}, [sample(0.0)]) == expected


def test_a_quota_cuts_the_allowed_cores() -> None:
    """Half a core of two."""
    row = sample(0.0)
    row["cgroup"] = {"cpu_limit_cores": 0.5}  # type: ignore[typeddict-item]

    assert allowed_cores({}, [row]) == 0.5


def test_threads_queueing_behind_each_other_do_not_fill_a_core() -> None:
    """0.6 running and 0.9 runnable with nobody else about: 60 % in use; with a neighbour of 0.3 it is 90 %."""
    rows = [sample(0.0, process(1, 0.0, runq_s=0.0)), sample(1.0, process(1, 0.6, runq_s=0.9), busy_s=0.6)]
    alone = replace(server_figures(Samples(rows), [], 0.0, 1.0), foreign_cpu_cores=0.0)
    step: Any = SimpleNamespace(server=alone, client=SimpleNamespace(cpu_cores=0.4))
    crowded: Any = SimpleNamespace(server=replace(alone, foreign_cpu_cores=0.3), client=step.client)
    machine = Machine(cores=1.0, shared=False)

    assert cpu_use(step, machine) == pytest.approx(0.6)
    assert cpu_use(crowded, machine) == pytest.approx(0.9)
    assert cpu_use(step, Machine(cores=1.0, shared=True)) == pytest.approx(1.0)


def test_only_what_runs_on_the_targets_own_cores_takes_them_away() -> None:
    """A neighbour of 0.9 of the machine's cores, 0.1 of them on the target's one."""
    rows = [sample(0.0, process(1, 0.0, runq_s=0.0)), sample(1.0, process(1, 0.6, runq_s=0.9), busy_s=1.5)]
    for row, used in zip(rows, (5.0, 5.1), strict=True):
        row["host"]["foreign_busy_s"] = used

    found = replace(server_figures(Samples(rows), [], 0.0, 1.0), foreign_cpu_cores=0.9)

    step: Any = SimpleNamespace(server=found, client=SimpleNamespace(cpu_cores=0.4))
    assert found.rival_cpu_cores == pytest.approx(0.1)
    assert cpu_use(step, Machine(cores=1.0, shared=True)) == pytest.approx(0.7)


def test_without_run_queue_figures_nothing_is_made_up() -> None:
    """Pressure stands in for the run queue; with neither, a busy neighbour leaves the use unknown, an idle one not."""
    rows = [sample(0.0, process(1, 0.0)), sample(1.0, process(1, 0.6), busy_s=0.6)]
    alone = replace(server_figures(Samples(rows), [], 0.0, 1.0), runq_cores=None, foreign_cpu_cores=0.0, psi={})
    crowded, pressed = (
        replace(alone, foreign_cpu_cores=0.3),
        replace(alone, foreign_cpu_cores=0.3, psi={"cpu_some": 0.2}),
    )
    machine, client = Machine(cores=1.0, shared=False), SimpleNamespace(cpu_cores=0.4)

    def use(server: Any) -> float | None:
        step: Any = SimpleNamespace(server=server, client=client)
        return cpu_use(step, machine)

    assert use(alone) == pytest.approx(0.6)
    assert use(crowded) is None
    assert use(pressed) == pytest.approx(0.8)
    assert use(replace(crowded, cpu_cores=0.95)) == pytest.approx(0.95)


def test_memory_is_summed_only_over_a_whole_set_of_processes() -> None:
    """One of two workers was never read: the sum would be half."""
    rows = [sample(float(t), process(1, 0.0, pss_bytes=50), process(2, 0.0)) for t in range(3)]

    assert server_figures(Samples(rows), [], 0.0, 2.0).pss_bytes is None


def test_the_generator_shares_cores_unless_both_are_pinned_apart() -> None:
    """Overlapping or missing pins mean it may steal."""
    assert machine_of({"server_cpus": [0], "load_cpus": [1]}, []) == Machine(1.0, shared=False, cpus=1)
    assert machine_of({"server_cpus": [0], "load_cpus": [0, 1]}, []) == Machine(1.0, shared=True, cpus=1)
    assert machine_of({"server_cpus": [0], "load_cpus": None}, []) == Machine(1.0, shared=True, cpus=1)
