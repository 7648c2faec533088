"""Kernel files: kept descriptors and the parsers over their text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.procfs import (
    PAGE_BYTES,
    TICKS_PER_S,
    DescriptorBudget,
    KeptFile,
    number_after,
    parse_schedstat,
    parse_stat,
    parse_state,
    parse_switches,
)

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = (
    b" S 41 1 1 0 -1 4194560 2000 0 17 0 250 50 0 0 20 0 12 0 98765 300000000 5000 18446744073709551615 1 1 0 0 0 0\n"
)


@given(command=st.binary(min_size=0, max_size=15))
def test_stat_is_read_past_any_command_name(command: bytes) -> None:
    """A command may hold blanks, brackets and line ends; the fields count from the last bracket."""
    stat = parse_stat(b"4242 (" + command + b")" + FIELDS)

    assert stat is not None
    assert (stat.state, stat.ppid, stat.major_faults, stat.threads, stat.started_ticks) == ("S", 41, 17, 12, 98765)
    assert stat.cpu_s == 300 / TICKS_PER_S
    assert stat.rss_bytes == 5000 * PAGE_BYTES
    assert parse_state(b"4242 (" + command + b")" + FIELDS) == "S"


@given(data=st.binary(max_size=40).filter(lambda data: b")" not in data))
def test_text_that_is_no_stat_is_no_measurement(data: bytes) -> None:
    """Half a file gives None, not zeros."""
    assert parse_stat(data) is None
    assert parse_state(data) is None


def test_schedstat_has_three_numbers() -> None:
    """Run time and wait in ns, and the times put on a CPU."""
    assert parse_schedstat(b"76733617 10652983 433\n") == (76733617, 10652983, 433)
    assert parse_schedstat(b"") is None


def test_context_switches_are_told_apart() -> None:
    """`nonvoluntary` also ends in `voluntary`; only whole labels count."""
    assert parse_switches(b"Threads:\t3\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n") == (12, 7)
    assert parse_switches(b"Threads:\t3\nnonvoluntary_ctxt_switches:\t7\n") is None


def test_a_label_without_a_number_is_no_measurement() -> None:
    """The label is there, the number is not."""
    assert number_after(b"\nPss:", b"\nPss:") is None
    assert number_after(b"\nPss:  max\n", b"\nPss:") is None
    assert number_after(b"\nPss:    1024 kB\n", b"\nPss:") == 1024


def test_a_kept_file_shows_the_newest_text(tmp_path: Path) -> None:
    """Each read starts at the beginning again."""
    path = tmp_path / "counter"
    path.write_bytes(b"1")
    kept = KeptFile(path, DescriptorBudget(1))
    first = kept.read()
    path.write_bytes(b"22")

    assert (first, kept.read()) == (b"1", b"22")
    kept.close()


def test_a_long_file_is_read_whole(tmp_path: Path) -> None:
    """Beyond the first 64 KiB too."""
    path = tmp_path / "long"
    path.write_bytes(b"x" * 200_000)
    kept = KeptFile(path, DescriptorBudget(1))

    assert len(kept.read() or b"") == 200_000
    kept.close()


def test_over_budget_a_file_is_still_read(tmp_path: Path) -> None:
    """Descriptors run out in a process with thousands of threads; the measurement must not."""
    path = tmp_path / "counter"
    path.write_bytes(b"1")
    budget = DescriptorBudget(1)
    first, second = KeptFile(path, budget), KeptFile(path, budget)

    assert (budget.left, second.read()) == (0, b"1")
    first.close()
    first.close()
    assert budget.left == 1


def test_a_missing_file_is_no_measurement(tmp_path: Path) -> None:
    """And costs no descriptor."""
    budget = DescriptorBudget(1)
    kept = KeptFile(tmp_path / "none", budget)

    assert (kept.read(), budget.left) == (None, 1)
