"""Which processes belong to the target, and what each of them is for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pinchpoint.monitoring.procfs import parse_stat, read_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MASTER = "master"
WORKER = "worker"
OTHER = "other"

_HELPER_MARKS = ("multiprocessing.resource_tracker", "multiprocessing.semaphore_tracker", "multiprocessing.forkserver")
"""What Python starts for itself: `python -c "from multiprocessing.resource_tracker import main; main(9)"`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the target, as found at one moment."""

    pid: int
    ppid: int
    started_ticks: int
    helper: bool
    """A child that Python started for its own bookkeeping."""


def find_members(roots: Iterable[int], known: Mapping[int, Member] = MappingProxyType({})) -> dict[int, Member]:
    """Return the living processes among `roots` and all their descendants, by pid.

    Those in `known` are taken as they are, and only asked for their children: who follows them notices their end.
    """
    found: dict[int, Member] = {}
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid in found:
            continue
        member = known.get(pid) or _member(pid)
        if member is not None:
            found[pid] = member
            waiting.extend(children(pid))
    return found


def children(pid: int) -> list[int]:
    """Return the child pids of a process, of all its threads.

    `task/TID/children` needs CONFIG_PROC_CHILDREN; without it every process on the machine is looked at.
    """
    try:
        tids = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - once a second for every process
    except OSError:
        return []
    texts = [read_once(f"/proc/{pid}/task/{tid}/children") for tid in tids]
    if tids and all(text is None for text in texts):
        return _children_by_scan(pid)
    return [int(word) for text in texts if text for word in text.split()]


def _children_by_scan(parent: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (member := _member(pid)) is not None and member.ppid == parent]


def _member(pid: int) -> Member | None:
    stat = parse_stat((read_once(f"/proc/{pid}/stat") or "").encode())
    if stat is None or stat.state in "ZX":
        return None
    command = (read_once(f"/proc/{pid}/cmdline") or "").replace("\0", " ")
    return Member(pid, stat.ppid, stat.started_ticks, any(mark in command for mark in _HELPER_MARKS))


def alive(pid: int) -> bool:
    """Say whether a process is there and neither ended nor a zombie."""
    return _member(pid) is not None


def adoptable(pid: int) -> list[int]:
    """Return a process that left the tree, and its ancestors of the same session: a daemon's master.

    Never init, nor us, nor what started us: everything below them would follow.
    """
    ours = {os.getpid(), *_chain(os.getpid())}
    session = _session(pid)
    above = [found for found in _chain(pid) if found not in ours and found != 1 and _session(found) == session]
    return [pid, *above]


def _chain(pid: int) -> list[int]:
    """Return the ancestors of a process, as far as they are all alive."""
    found: list[int] = []
    member = _member(pid)
    while member is not None and member.ppid > 0 and member.ppid not in found:
        found.append(member.ppid)
        member = _member(member.ppid)
    return found


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def assign_roles(members: Mapping[int, Member], serving: Iterable[int]) -> dict[int, str]:
    """Say what each process is for.

    `serving` are the processes whose probe page has seen a loop or a request: they are the workers, their ancestors the
    masters, and their childless siblings workers that still boot. Without any, childless processes are the workers.
    """
    parents = {pid: member.ppid for pid, member in members.items() if not member.helper}
    leaves = parents.keys() - set(parents.values())
    workers = set(serving) & parents.keys()
    spawners = {parents[pid] for pid in workers} & parents.keys() - workers
    booting = {pid for pid in leaves if parents[pid] in spawners}
    workers = workers | booting if workers else leaves
    masters = {ancestor for pid in workers for ancestor in _ancestors(pid, parents)} - workers
    return {pid: WORKER if pid in workers else MASTER if pid in masters else OTHER for pid in members}


def _ancestors(pid: int, parents: Mapping[int, int]) -> list[int]:
    chain: list[int] = []
    while (pid := parents.get(pid, 0)) in parents and pid not in chain:
        chain.append(pid)
    return chain
