"""The target's processes and their readers: follows births, deaths, roles, and servers that leave their parent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.monitoring.process_reader import PSS_INTERVAL_S, PageLike, ProcessReader
from pinchpoint.monitoring.processes_tree import WORKER, adoptable, alive, assign_roles, find_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pinchpoint.monitoring.processes_tree import Member
    from pinchpoint.monitoring.procfs import DescriptorBudget
    from pinchpoint.monitoring.sockets import SocketPeers
    from pinchpoint.rows import ProcessRow

    Tables = dict[str, dict[str, dict[str, float]]]

TABLES_EVERY = 5
"""Ticks between two readings of a worker's tables."""
THOROUGH_EVERY = 5
"""Looks for new processes between two that read the known ones again, for a parent may have died."""
_GOLDEN = 0.6180339887


class Target:
    """Reads every process of the target.

    Args:
        roots: the server's first processes; they, every process that has a page, and all descendants are followed.
        budget: of descriptors to keep.
        sockets: names peers; None leaves thread states out.
        port: once no process is left, whoever listens there is followed (`gunicorn --daemon` without a probe).
        tables: returns the tables of one process's page.
        forget: told once a dead process's page has been recorded for the last time.

    """

    def __init__(
        self,
        roots: Iterable[int],
        budget: DescriptorBudget,
        *,
        sockets: SocketPeers | None = None,
        port: int | None = None,
        tables: Callable[[int], Tables | None] | None = None,
        forget: Callable[[int], None] | None = None,
    ) -> None:
        self._roots = set(roots)
        self._budget = budget
        self._sockets = sockets
        self._port = port
        self._tables = tables
        self._forget = forget
        self._members: dict[int, Member] = {}
        self._readers: dict[int, ProcessReader] = {}
        self._replaced: list[ProcessReader] = []
        self._roles: dict[int, str] = {}
        self._pages: Mapping[int, PageLike] = {}
        self._serving: set[int] = set()
        self._last: dict[int, ProcessRow] = {}
        self._ended_cpu_s = 0.0
        self._births = self._ticks = self._refreshes = 0

    def refresh(self) -> None:
        """Look for new processes. Known ones stay followed even when their parent is gone."""
        thorough = self._refreshes % THOROUGH_EVERY == 0
        self._refreshes += 1
        found = find_members([*self._roots, *self._members], {} if thorough else self._members)
        # Only now: who is below a root has not left it, and its ancestors may be a shell, or another server's too.
        strays = self._strays(found)
        if strays:
            self._roots.update(strays)
            found = find_members([*found, *strays], found)
        if not found and self._port is not None:
            self._roots.update(root for pid in find_listener(self._port) for root in adoptable(pid))
            found = find_members(self._roots)
        for pid, member in found.items():
            known = self._members.get(pid)
            if known is None or known.started_ticks != member.started_ticks:
                self._follow(pid)
        self._members = found
        self._assign()

    def _strays(self, found: Mapping[int, Member]) -> set[int]:
        """Return whose pages show that they serve though they left the tree, with their masters; forget dead pages."""
        strays: set[int] = set()
        for pid in self._pages.keys() - found.keys() - self._members.keys():
            if alive(pid):
                strays.update(adoptable(pid))
            elif self._forget is not None and pid not in self._readers:
                self._forget(pid)
        return strays

    def _follow(self, pid: int) -> None:
        old = self._readers.pop(pid, None)
        if old is not None:
            self._replaced.append(old)
        offset_s = self._births * _GOLDEN % 1.0 * PSS_INTERVAL_S  # not every process in the same tick
        self._readers[pid] = ProcessReader(pid, self._budget, sockets=self._sockets, pss_offset_s=offset_s)
        self._births += 1

    def use_pages(self, pages: Mapping[int, PageLike]) -> bool:
        """Take the newest probe pages; says whether they come from a process that is not known yet."""
        fresh = bool(pages.keys() - self._pages.keys() - self._members.keys())
        self._pages = pages
        serving = {pid for pid, page in pages.items() if _serves(page)}
        if serving != self._serving:
            self._serving = serving
            self._assign()
        return fresh

    def _assign(self) -> None:
        self._roles = assign_roles(self._members, self._serving)

    def look(self) -> None:
        """Look at what all threads of every process are doing, and count each worker's loop thread once more."""
        pages, roles = self._pages, self._roles
        for pid, reader in self._readers.items():
            reader.look(pages.get(pid), loop=roles.get(pid) == WORKER)

    def read(self, t_s: float) -> tuple[list[ProcessRow], bool]:
        """Return a row for each living process and a last one for each that ended, and whether any did."""
        rows: list[ProcessRow] = []
        dead: list[int] = []
        for index, (pid, reader) in enumerate(self._readers.items()):
            row = reader.read(t_s, self._roles.get(pid, "other"), self._pages.get(pid))
            if row is None:
                dead.append(pid)
                continue
            if row["role"] == WORKER and self._tables is not None and (self._ticks + index) % TABLES_EVERY == 0:
                row["tables"] = self._tables(pid)
            self._last[pid] = row
            rows.append(row)
        self._ticks += 1
        ended = [*self._replaced, *(self._readers.pop(pid) for pid in dead)]
        for reader in ended:
            rows += self._end(reader, t_s)
        self._replaced.clear()
        return rows, bool(ended)

    def _end(self, reader: ProcessReader, t_s: float) -> list[ProcessRow]:
        """Return the last row of a process that ended: its figures of the tick before, its page as it left it."""
        pid = reader.pid
        reader.close()
        replaced = pid in self._readers
        if not replaced:
            self._members.pop(pid, None)
        row = self._last.pop(pid, None)
        if row is None:
            return []
        self._ended_cpu_s += row["cpu_s"]
        page = None if replaced else self._pages.get(pid)
        row = {**row, "pss_bytes": None, "gone": True}
        if page is not None:
            row["probe"] = dict(page.fields)
            row["probe_age_s"] = max(t_s - page.published_s, 0.0)
            row["tables"] = self._tables(pid) if self._tables is not None else None
            if self._forget is not None:
                self._forget(pid)
        return [row]

    def cpu_s(self) -> float:
        """Return the CPU of every process seen so far, as of the last read."""
        return self._ended_cpu_s + sum(row["cpu_s"] for row in self._last.values())

    def cpus(self) -> list[int]:
        """Return the CPUs that the workers may run on."""
        allowed: set[int] = set()
        for pid, role in self._roles.items():
            if role == WORKER:
                try:
                    allowed |= os.sched_getaffinity(pid)
                except OSError:
                    continue
        return sorted(allowed)

    def any_pid(self) -> int | None:
        """Return a living process of the target, a worker if there is one."""
        workers = [pid for pid, role in self._roles.items() if role == WORKER]
        return next(iter([*workers, *self._members]), None)

    def close(self) -> None:
        """Give every descriptor back."""
        for reader in [*self._readers.values(), *self._replaced]:
            reader.close()
        self._readers.clear()
        self._replaced.clear()


def _serves(page: PageLike) -> bool:
    return "loop_tid" in page.fields or page.fields.get("requests_started", 0.0) > 0
