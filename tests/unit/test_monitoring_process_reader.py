"""The counters of one process: they never fall, whatever its threads do."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.process_reader import PSS_COST_SHARE, ProcessReader
from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.monitoring.thread_clocks import ThreadClocks


@dataclass
class Page:
    """A probe page as the reader hands it over."""

    pid: int
    published_s: float
    fields: dict[str, float] = field(default_factory=dict)


class _Clock:
    """A thread's figures, set by the test."""

    def __init__(self, run_ns: int) -> None:
        self.run_ns, self.wait_ns, self.slices = run_ns, 2 * run_ns, 1
        self.switches = (1, 1)
        self.gone = False

    def close(self) -> None:
        return


def _clocks(reader: ProcessReader) -> ThreadClocks:
    found = vars(reader)["_clocks"]
    assert isinstance(found, ThreadClocks)
    return found


def _give(reader: ProcessReader, tid: int, run_ns: int) -> _Clock:
    clock = _Clock(run_ns)
    dict.__setitem__(vars(_clocks(reader))["alive"], tid, clock)
    return clock


def _empty_reader() -> ProcessReader:
    """Make a reader of no process; the test gives it threads."""
    return ProcessReader(0, DescriptorBudget(0))


@given(
    lives=st.lists(st.tuples(st.integers(0, 50_000_000), st.integers(0, 9_000_000)), min_size=1, max_size=20),
)
def test_threads_that_end_never_make_a_counter_fall(lives: list[tuple[int, int]]) -> None:
    """Each thread runs, is seen, runs on unseen and ends; the total stays within two ticks below the truth."""
    reader = _empty_reader()
    true_ns, before_s = 0, 0.0
    for tid, (seen_ns, unseen_ns) in enumerate(lives):
        _give(reader, tid, seen_ns)
        for spent_ns in (seen_ns, unseen_ns):
            true_ns += spent_ns
            ticks_s = true_ns // 10_000_000 / 100
            cpu_s = reader._cpu(ticks_s, _clocks(reader).sched())
            assert before_s <= cpu_s <= true_ns / 1e9 + 1e-9
            assert cpu_s >= true_ns / 1e9 - 0.02
            before_s = cpu_s
        _clocks(reader).retire(_clocks(reader).alive.pop(tid))


def test_waits_and_switches_of_ended_threads_stay_counted() -> None:
    """They are part of what the process did."""
    reader = _empty_reader()
    clocks = _clocks(reader)
    clocks.retire(_Clock(1_000_000_000))  # type: ignore[arg-type]
    _give(reader, 7, 500_000_000)

    assert clocks.sched() == (1.5, 3.0)
    assert clocks.switches() == (2, 2)


def test_a_kernel_without_scheduler_statistics_gives_no_wait() -> None:
    """It prints zeros: the wait is unavailable, and CPU comes from the ticks."""
    reader = _empty_reader()
    clock = _give(reader, 7, 0)
    clock.slices = 0

    assert _clocks(reader).sched() is None
    assert reader._loop_clock(7) is None
    assert reader._cpu(1.25, None) == 1.25


def test_the_loop_counter_goes_on_when_another_thread_runs_the_loop() -> None:
    """Readers take differences: changing the thread must not look like CPU used or given back."""
    reader = _empty_reader()
    _give(reader, 0, 5_000_000_000)
    _give(reader, 7, 1_000_000_000)
    before = reader._loop_clock(reader._follow_loop(None).tid)
    after = reader._loop_clock(reader._follow_loop(Page(0, 0.0, {"loop_tid": 7.0})).tid)

    assert (before, after) == ((5.0, 10.0), (5.0, 10.0))


def test_a_process_is_read_with_its_page() -> None:
    """Our own process, with a page published half a second ago."""
    reader = ProcessReader(os.getpid(), DescriptorBudget())
    page = Page(os.getpid(), 9.5, {"loop_tid": float(os.getpid()), "inflight": 3.0})
    row = reader.read(10.0, "worker", page)
    reader.close()

    assert row is not None
    assert (row["pid"], row["role"], row["probe_age_s"]) == (os.getpid(), "worker", 0.5)
    assert row["probe"] == {"loop_tid": float(os.getpid()), "inflight": 3.0}
    assert row["threads"] == len(os.listdir("/proc/self/task"))  # noqa: PTH208 - as the kernel counts
    assert row["rss_bytes"] is not None
    assert row["rss_bytes"] > 1 << 20
    assert row["loop_states"] is None


def test_a_process_that_is_gone_has_no_row() -> None:
    """Process 0 never was."""
    assert _empty_reader().read(0.0, "worker", None) is None


def test_a_costly_page_table_walk_is_repeated_rarely() -> None:
    """A walk of 50 ms is worth 25 s: it holds up the target's own memory calls."""
    now_s = [0.0]

    def timer() -> float:
        now_s[0] += 0.05
        return now_s[0]

    reader = ProcessReader(os.getpid(), DescriptorBudget(), timer=timer)
    first, second = reader._read_pss(1 << 20), reader._read_pss(2 << 20)
    due_s = vars(reader)["_pss_due_s"]
    reader.close()

    assert (first is None, second) == (False, None)
    assert abs(due_s - (0.1 + 0.05 / PSS_COST_SHARE)) < 1e-9
