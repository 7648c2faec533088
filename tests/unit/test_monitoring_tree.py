"""What each process of the target is for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.processes_tree import Member, assign_roles


def _members(parents: dict[int, int], helpers: tuple[int, ...] = ()) -> dict[int, Member]:
    return {pid: Member(pid, ppid, 1, pid in helpers) for pid, ppid in parents.items()}


def test_a_single_process_is_the_worker() -> None:
    """`uvicorn app:app` serves itself."""
    assert assign_roles(_members({10: 1}), []) == {10: "worker"}


def test_a_parent_is_the_master_and_its_leaves_are_workers() -> None:
    """As gunicorn shows itself without a probe."""
    expected = {10: "master", 11: "worker", 12: "worker"}
    assert assign_roles(_members({10: 1, 11: 10, 12: 10}), []) == expected


def test_a_bookkeeping_child_makes_nobody_a_master() -> None:
    """A single worker with a multiprocessing resource tracker is still the worker."""
    assert assign_roles(_members({10: 1, 11: 10}, helpers=(11,)), []) == {10: "worker", 11: "other"}


def test_a_worker_that_starts_a_child_stays_the_worker() -> None:
    """A page with requests outranks the shape of the tree."""
    expected = {10: "master", 11: "worker", 12: "other"}
    assert assign_roles(_members({10: 1, 11: 10, 12: 11}), [11]) == expected


def test_a_worker_still_booting_is_a_worker() -> None:
    """It is a childless sibling of one that serves."""
    expected = {10: "master", 11: "worker", 12: "worker", 13: "other"}
    assert assign_roles(_members({10: 1, 11: 10, 12: 10, 13: 10}, helpers=(13,)), [11]) == expected


def test_a_shell_around_the_server_is_a_master() -> None:
    """`sh -c uvicorn` and gunicorn below a shell."""
    expected = {10: "master", 11: "master", 12: "worker"}
    assert assign_roles(_members({10: 1, 11: 10, 12: 11}), [12]) == expected


def test_pages_of_strangers_change_nothing() -> None:
    """A page left by a process that is gone names no worker."""
    assert assign_roles(_members({10: 1, 11: 10}), [99]) == {10: "master", 11: "worker"}


@given(
    parents=st.lists(st.integers(0, 8), min_size=1, max_size=8).map(
        lambda above: {pid: min(ppid, pid - 1) for pid, ppid in enumerate(above, start=1)}
    ),
    serving=st.sets(st.integers(1, 10)),
)
def test_every_tree_has_a_worker_and_every_process_one_role(parents: dict[int, int], serving: set[int]) -> None:
    """Whatever the shape."""
    roles = assign_roles(_members(parents), serving)

    assert roles.keys() == parents.keys()
    assert "worker" in roles.values()
    assert all(roles[pid] == "worker" for pid in serving & parents.keys())
