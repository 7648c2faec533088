"""The collector's timing and its errors, on an injected clock."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pinchpoint.errors import MeasurementError
from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.monitoring.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pinchpoint.rows import SampleRow


@dataclass
class Page:
    """A probe page as the reader hands it over."""

    pid: int
    published_s: float
    fields: dict[str, float] = field(default_factory=dict)


class FakeTime:
    """A clock that only waiting moves; waiting beyond `end_s` says stop."""

    def __init__(self, end_s: float) -> None:
        self.now_s = 100.0
        self.end_s = 100.0 + end_s
        self.waits: list[float] = []

    def clock(self) -> float:
        """Return the time now."""
        return self.now_s

    def wait(self, seconds: float) -> bool:
        """Pass the time."""
        self.waits.append(self.now_s + seconds)
        self.now_s += seconds
        return self.now_s > self.end_s


def _run(
    fake: FakeTime, sink: Callable[[SampleRow], None], pages: Callable[[], Mapping[int, Page]] | None = None
) -> Sampler:
    sampler = Sampler(root_pid=os.getpid(), port=None, pages=pages, sink=sink, clock=fake.clock, waiter=fake.wait)
    sampler.start()
    vars(sampler)["_thread"].join(10)
    return sampler


def test_ticks_keep_absolute_deadlines() -> None:
    """A second holds eleven ticks, both ends included, none of them late."""
    rows: list[SampleRow] = []
    sampler = _run(FakeTime(1.05), rows.append)

    assert [round(row["t_s"] - 100, 6) for row in rows] == [round(0.1 * tick, 6) for tick in range(11)]
    assert {round(row["late_s"], 6) for row in rows} == {0.0}
    assert (sampler.latest, sampler.error) == (rows[-1], None)


def test_a_missed_deadline_is_skipped_and_the_late_tick_says_so() -> None:
    """A tick that takes 0.33 s costs the ticks in its way, and the grid stays."""
    fake = FakeTime(1.05)
    rows: list[SampleRow] = []

    def slow_once(row: SampleRow) -> None:
        rows.append(row)
        if len(rows) == 3:
            fake.now_s += 0.33

    _run(fake, slow_once)

    assert [round(row["t_s"] - 100, 3) for row in rows] == [0, 0.1, 0.2, 0.53, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [round(row["late_s"], 3) for row in rows[2:5]] == [0.0, 0.03, 0.0]


def test_threads_are_looked_at_twenty_times_a_second_out_of_step() -> None:
    """Each look falls into its own half of a tick, at ever different places within it."""
    fake = FakeTime(1.05)
    rows: list[SampleRow] = []
    _run(fake, rows.append)

    states = rows[-1]["processes"][0]["loop_states"]
    assert states is not None
    assert states["samples"] == 20
    phases = {round((wait_s - 100) % 0.1 / 2, 4) for wait_s in fake.waits}
    assert len(phases) > 15


def test_a_full_disk_ends_the_sampling_and_shows() -> None:
    """The engine polls `error`."""
    failure = MeasurementError("cannot write: disk full")

    def sink(_row: SampleRow) -> None:
        raise failure

    assert _run(FakeTime(1), sink).error is failure


def test_a_page_reader_that_fails_shows() -> None:
    """No exception is lost in the thread."""

    def pages() -> Mapping[int, Page]:
        raise OSError(5, "I/O error")

    assert isinstance(_run(FakeTime(1), lambda _row: None, pages).error, OSError)


def test_stopping_is_safe_before_the_start_and_twice() -> None:
    """A run may end before it began."""
    sampler = Sampler(root_pid=os.getpid(), port=None, pages=None, sink=lambda _row: None)
    sampler.stop()
    sampler.stop()

    assert (sampler.latest, sampler.error) == (None, None)


def test_a_target_that_is_gone_is_sampled_as_nothing() -> None:
    """The host is still there; pid 0 never was."""
    rows: list[SampleRow] = []
    fake = FakeTime(0.25)
    sampler = Sampler(root_pid=0, port=None, pages=None, sink=rows.append, clock=fake.clock, waiter=fake.wait)
    sampler.start()
    vars(sampler)["_thread"].join(10)

    assert [row["processes"] for row in rows] == [[], [], []]
    assert sampler.error is None


def test_a_page_of_an_unknown_process_asks_for_a_look_at_the_tree() -> None:
    """Once: the reader keeps the pages of dead workers."""
    target = Target([os.getpid()], DescriptorBudget())
    stray = {1: Page(1, 0.0, {"loop_tid": 1.0})}

    assert (target.use_pages(stray), target.use_pages(stray)) == (True, False)
    target.close()


def test_a_root_with_a_page_brings_no_ancestor_along() -> None:
    """Its page is there before the first look at the tree; the shell that started it is not the target's."""
    words = ["sh", "-c", "sleep 60 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        assert shell.stdout is not None
        root = int(shell.stdout.readline())
        target = Target([root], DescriptorBudget())
        try:
            target.use_pages({root: Page(root, 0.0, {"loop_tid": 1.0})})
            target.refresh()
            rows, _ = target.read(0.0)
            assert [row["pid"] for row in rows] == [root]
        finally:
            target.close()
            os.killpg(shell.pid, signal.SIGKILL)
