"""The control group the target runs in: CPU limit and throttling, memory limit and use. Versions 1, 2 and hybrid.

Formats: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/, proc(5) for mountinfo. A limit of a parent holds for
its children, so each figure is read at the tightest group on the way up; without a limit, at the process's own group.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypedDict, TypeVar

from pinchpoint.monitoring.procfs import NS_PER_S, DescriptorBudget, KeptFile, number_after, read_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinchpoint.rows import CgroupRow

_Limit = TypeVar("_Limit", int, float)

_US_PER_S = 1e6
_UNLIMITED_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest page-aligned number (2^63 - 4096); no machine has an exbibyte."""
_MOUNT_FIELDS = 5
SLOW_EVERY = 5
"""Memory is read every so many times and stands in between: the kernel adds it up over all cores when asked."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted cgroup hierarchy. `root` is the group that appears at `point` (a container sees a subtree)."""

    root: str
    point: str
    version: int
    controllers: frozenset[str]
    """Of version 1; empty for version 2, where a group's files say what there is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a controller's files of one process are: its own group first, then each parent up to the mount."""

    version: int
    folders: tuple[Path, ...]


def parse_mounts(mountinfo: str) -> list[Mount]:
    """Return the cgroup hierarchies in `/proc/PID/mountinfo`."""
    found: list[Mount] = []
    for line in mountinfo.splitlines():
        front, separator, back = line.partition(" - ")
        fields, kind = front.split(), back.split()
        if not separator or len(fields) < _MOUNT_FIELDS or not kind or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        version = 2 if kind[0] == "cgroup2" else 1
        options = frozenset(kind[-1].split(",")) if version == 1 else frozenset[str]()
        found.append(Mount(_unescape(fields[3]), _unescape(fields[4]), version, options))
    return found


def _unescape(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def parse_groups(text: str) -> dict[str, str]:
    """Return group paths from `/proc/PID/cgroup`, by version 1 controller; version 2 stands under the empty name."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if not separator or not number.isdecimal():
            continue
        for name in names.split(","):
            groups[name] = path
    return groups


def locate(controller: str, groups: dict[str, str], mounts: list[Mount]) -> Place | None:
    """Return where the files of `controller` (cpu, memory) are for a process; None when it is not mounted.

    On a hybrid machine a controller belongs to one version only, and version 1 claims it by mount option.
    """
    for mount in mounts:
        if mount.version == 1 and controller in mount.controllers and controller in groups:
            return Place(1, _folders(mount, groups[controller]))
    for mount in mounts:
        if mount.version != 1 and "" in groups:
            return Place(2, _folders(mount, groups[""]))
    return None


def _folders(mount: Mount, group: str) -> tuple[Path, ...]:
    path = PurePosixPath(group)
    try:
        relative = path.relative_to(mount.root)
    except ValueError:  # another container's view: what is mounted is all that can be seen
        relative = PurePosixPath()
    if ".." in relative.parts:
        relative = PurePosixPath()
    parts = relative.parts
    return tuple(Path(mount.point, *parts[:count]) for count in range(len(parts), -1, -1))


def parse_cpu_max(text: str) -> float | None:
    """Return the limit in cores from version 2's `cpu.max` (`max 100000` or `QUOTA PERIOD`); None for no limit."""
    words = text.split()
    if len(words) != 2 or not words[0].isdecimal() or not words[1].isdecimal() or int(words[1]) == 0:  # noqa: PLR2004
        return None
    return int(words[0]) / int(words[1])


def parse_cpu_quota(quota_us: str, period_us: str) -> float | None:
    """Return the limit in cores from version 1's `cpu.cfs_quota_us` (-1 for none) and `cpu.cfs_period_us`."""
    return parse_cpu_max(f"{quota_us.strip()} {period_us.strip()}")


def parse_throttling(data: bytes, version: int) -> tuple[int | None, int | None, float | None]:
    """Return (periods, throttled periods, throttled seconds) from `cpu.stat`; absent lines are None."""
    padded = b"\n" + data
    label, unit = (b"\nthrottled_usec ", _US_PER_S) if version != 1 else (b"\nthrottled_time ", NS_PER_S)
    throttled = number_after(padded, label)
    return (
        number_after(padded, b"\nnr_periods "),
        number_after(padded, b"\nnr_throttled "),
        None if throttled is None else throttled / unit,
    )


def parse_memory_limit(text: str) -> int | None:
    """Return a memory limit in bytes; `max` and version 1's huge numbers are none."""
    word = text.strip()
    if not word.isdecimal() or int(word) >= _UNLIMITED_BYTES:
        return None
    return int(word)


def parse_memory_use(usage: bytes, stat: bytes, version: int) -> int | None:
    """Return the bytes that cannot be dropped at will: usage minus the inactive page cache (METHOD §5.7)."""
    word = usage.strip()
    label = b"\ninactive_file " if version != 1 else b"\ntotal_inactive_file "
    inactive = number_after(b"\n" + stat, label)
    return max(int(word) - inactive, 0) if word.isdigit() and inactive is not None else None


class _Memory(TypedDict):
    """The figures of a `CgroupRow` that are read less often."""

    memory_bytes: int | None
    oom_kills: int | None
    memory_limit_hits: int | None
    memory_high_hits: int | None


class CgroupReader:
    """Reads the limits and pressure of the control groups that one process is in."""

    def __init__(self, pid: int, budget: DescriptorBudget, *, proc: Path = Path("/proc")) -> None:
        groups = parse_groups(read_once(proc / str(pid) / "cgroup") or "")
        # Our own mounts, not the target's: paths are opened from here.
        mounts = parse_mounts(read_once(proc / "self" / "mountinfo") or "")
        cpu, memory = locate("cpu", groups, mounts), locate("memory", groups, mounts)
        self._cpu, self._memory = cpu, memory
        self._cpu_limit, cpu_folder = _tightest(cpu, _cpu_limit)
        self._memory_limit, memory_folder = _tightest(memory, _memory_limit)
        self._cpu_stat = _keep(cpu_folder, "cpu.stat", budget)
        v1 = memory is not None and memory.version == 1
        self._usage = _keep(memory_folder, "memory.usage_in_bytes" if v1 else "memory.current", budget)
        self._memory_stat = _keep(memory_folder, "memory.stat", budget)
        self._oom = _keep(memory_folder, "memory.oom_control" if v1 else "memory.events", budget)
        self._failcnt = _keep(memory_folder, "memory.failcnt", budget) if v1 else None
        self._reads = 0
        self._slow: _Memory | None = None

    def read(self) -> CgroupRow | None:
        """Return the figures now; None when no control group is to be seen."""
        if self._cpu is None and self._memory is None:
            return None
        periods, throttled, throttled_s = parse_throttling(
            _text(self._cpu_stat), self._cpu.version if self._cpu is not None else 2
        )
        if self._slow is None or self._reads % SLOW_EVERY == 0:
            self._slow = self._read_memory()
        self._reads += 1
        return {
            "version": self._cpu.version if self._cpu is not None else self._memory_version(),
            "cpu_limit_cores": self._cpu_limit,
            "periods": periods,
            "throttled_periods": throttled,
            "throttled_s": throttled_s,
            "memory_limit_bytes": self._memory_limit,
            **self._slow,
        }

    def _memory_version(self) -> int:
        return self._memory.version if self._memory is not None else 2

    def _read_memory(self) -> _Memory:
        version = self._memory_version()
        events = b"\n" + _text(self._oom)
        hits = number_after(b"\n" + _text(self._failcnt), b"\n") if version == 1 else number_after(events, b"\nmax ")
        return {
            "memory_bytes": parse_memory_use(_text(self._usage), _text(self._memory_stat), version),
            "oom_kills": number_after(events, b"\noom_kill "),
            "memory_limit_hits": hits,
            "memory_high_hits": number_after(events, b"\nhigh "),
        }

    def close(self) -> None:
        """Give every descriptor back."""
        for kept in (self._cpu_stat, self._usage, self._memory_stat, self._oom, self._failcnt):
            if kept is not None:
                kept.close()


def _keep(folder: Path | None, name: str, budget: DescriptorBudget) -> KeptFile | None:
    return KeptFile(folder / name, budget) if folder is not None else None


def _text(kept: KeptFile | None) -> bytes:
    return (kept.read() if kept is not None else None) or b""


def _cpu_limit(folder: Path, version: int) -> float | None:
    if version != 1:
        return parse_cpu_max(read_once(folder / "cpu.max") or "")
    return parse_cpu_quota(read_once(folder / "cpu.cfs_quota_us") or "", read_once(folder / "cpu.cfs_period_us") or "")


def _memory_limit(folder: Path, version: int) -> int | None:
    return parse_memory_limit(read_once(folder / ("memory.limit_in_bytes" if version == 1 else "memory.max")) or "")


def _tightest(place: Place | None, limit_of: Callable[[Path, int], _Limit | None]) -> tuple[_Limit | None, Path | None]:
    """Return the lowest limit on the way up and its folder; without a limit, the process's own folder."""
    if place is None:
        return None, None
    found = [(limit, folder) for folder in place.folders if (limit := limit_of(folder, place.version)) is not None]
    return min(found, key=lambda pair: pair[0]) if found else (None, place.folders[0])
