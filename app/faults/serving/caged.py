"""Run a command in a control group of its own: a CPU quota, a memory limit, a slow disk.

    python -m ….caged [--cpu CORES] [--memory BYTES] [--write-iops N] [--write-bps N] [--read-bps N]
                      [--disk MAJOR:MINOR | --disk-of PATH] [--scaled] [--lifted] -- COMMAND …

`--scaled` divides the CPU quota and the speed of the disk by the severity; `--lifted` sets no limit in a cured system.

The command replaces this process, so it keeps its number and its signals. A process outside the group waits for the
group to empty and removes it. Versions 1 and 2; formats: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .settings import cured, severity

PERIOD_US = 100_000
"""The kernel's own default period of a CPU quota."""
_POLL_S = 0.2
_MOUNT_FIELDS = 5
_V1, _V2 = 1, 2
_CONTROLLER_OF_V2 = {"blkio": "io"}
_DISK_LIMITS = {
    "write_iops": ("blkio.throttle.write_iops_device", "wiops"),
    "write_bps": ("blkio.throttle.write_bps_device", "wbps"),
    "read_bps": ("blkio.throttle.read_bps_device", "rbps"),
}


@dataclass(frozen=True)
class Parent:
    """A control group that groups of ours can be made in."""

    version: int
    folder: Path


def parent_of(controller: str, *, proc: Path = Path("/proc/self")) -> Parent:
    """Return where a group with `controller` (cpu, memory, blkio) can be made: in our own group, or near it.

    Raises OSError with the reason if nowhere.
    """
    groups = {name: path for line in _lines(proc / "cgroup") for name, path in _memberships(line)}
    for version, root, point, options in _mounts(proc / "mountinfo"):
        if version == _V1 and controller in options and controller in groups:
            return Parent(_V1, _inside(point, root, groups[controller]))
    for version, root, point, _ in _mounts(proc / "mountinfo"):
        if version == _V2 and "" in groups:
            return _delegated(controller, Path(point), _inside(point, root, groups[""]))
    raise FileNotFoundError(f"no control group hierarchy with the controller {controller} is mounted")


def unavailable(controller: str) -> str | None:
    """Say why no group with `controller` can be made here; None when it can."""
    try:
        folder = _make(parent_of(controller), f"pinchpoint-try-{os.getpid()}")
        folder.rmdir()
    except OSError as error:
        return f"control groups for {controller} cannot be made here ({error.strerror or error})"
    return None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _memberships(line: str) -> list[tuple[str, str]]:
    _, _, rest = line.partition(":")
    names, _, path = rest.partition(":")
    return [(name, path) for name in names.split(",")]


def _mounts(path: Path) -> list[tuple[int, str, str, list[str]]]:
    found = []
    for line in _lines(path):
        front, _, back = line.partition(" - ")
        fields, kind = front.split(), back.split()
        if len(fields) >= _MOUNT_FIELDS and kind and kind[0] in {"cgroup", "cgroup2"}:
            found.append((_V1 if kind[0] == "cgroup" else _V2, fields[3], fields[4], kind[-1].split(",")))
    return found


def _inside(point: str, root: str, group: str) -> Path:
    """Return the folder of `group` below a mount that shows `root` (a container sees a subtree) at `point`."""
    relative = os.path.relpath(group, root)
    return Path(point) if relative.startswith("..") else Path(point, relative)


def _delegated(controller: str, top: Path, own: Path) -> Parent:
    """Version 2: a group with processes cannot hand controllers on, so look for one that does on the way up."""
    name = _CONTROLLER_OF_V2.get(controller, controller)
    folder = own
    while True:
        if name in (folder / "cgroup.subtree_control").read_text().split():
            return Parent(_V2, folder)
        if folder == top:
            break
        folder = folder.parent
    (top / "cgroup.subtree_control").write_text(f"+{name}")
    return Parent(_V2, top)


def _make(parent: Parent, name: str) -> Path:
    folder = parent.folder / name
    folder.mkdir()
    return folder


def cpu_limits(version: int, cores: float) -> dict[str, str]:
    """Return file names and texts that limit a group to `cores`."""
    quota = round(cores * PERIOD_US)
    if version == _V2:
        return {"cpu.max": f"{quota} {PERIOD_US}"}
    return {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(quota)}


def memory_limits(version: int, limit_bytes: int) -> dict[str, str]:
    """Return file names and texts that limit a group to `limit_bytes`."""
    return {"memory.max" if version == _V2 else "memory.limit_in_bytes": str(limit_bytes)}


def disk_limits(version: int, disk: str, limits: dict[str, int]) -> dict[str, str]:
    """Return file names and texts that slow `disk` (MAJOR:MINOR); `limits` by `write_iops`, `write_bps`, `read_bps`."""
    if version == _V2:
        return {"io.max": " ".join([disk, *(f"{_DISK_LIMITS[key][1]}={value}" for key, value in limits.items())])}
    return {_DISK_LIMITS[key][0]: f"{disk} {value}" for key, value in limits.items()}


def disk_of(path: Path, *, sys_dev: Path = Path("/sys/dev/block")) -> str:
    """Return MAJOR:MINOR of the whole disk below `path`: a partition cannot be slowed. Raises OSError without one."""
    number = path.stat().st_dev
    entry = (sys_dev / f"{os.major(number)}:{os.minor(number)}").resolve(strict=True)
    if (entry / "partition").exists():
        entry = entry.parent
    return (entry / "dev").read_text().strip()


def _wanted(options: argparse.Namespace) -> dict[str, Callable[[int], dict[str, str]]]:
    """Return what to write, by controller, as functions of the version."""
    wanted: dict[str, Callable[[int], dict[str, str]]] = {}
    if options.lifted and cured():
        return wanted
    factor = severity() if options.scaled else 1.0
    if options.cpu is not None:
        wanted["cpu"] = lambda version: cpu_limits(version, options.cpu / factor)
    if options.memory is not None:
        wanted["memory"] = lambda version: memory_limits(version, options.memory)
    disk = {key: round(value / factor) for key in _DISK_LIMITS if (value := getattr(options, key)) is not None}
    if disk:
        device = options.disk or disk_of(options.disk_of)
        wanted["blkio"] = lambda version: disk_limits(version, device, disk)
    return wanted


def build(wanted: dict[str, Callable[[int], dict[str, str]]]) -> list[Path]:
    """Make the groups, one per hierarchy, and write their limits. Raises OSError; nothing is left behind then."""
    made: dict[Path, Path] = {}
    try:
        for controller, texts in wanted.items():
            parent = parent_of(controller)
            folder = made.get(parent.folder) or _make(parent, f"pinchpoint-{os.getpid()}")
            made[parent.folder] = folder
            for name, text in texts(parent.version).items():
                (folder / name).write_text(text)
    except OSError:
        _remove(list(made.values()))
        raise
    return list(made.values())


def _remove(folders: Sequence[Path]) -> None:
    """Remove the groups as soon as nothing lives in them."""
    for folder in folders:
        while folder.exists():
            try:
                folder.rmdir()
            except OSError:
                time.sleep(_POLL_S)


def _remove_later(folders: Sequence[Path]) -> None:
    """Leave a process behind, out of the group and of this session, that removes the groups once they are empty."""
    entered, leaving = os.pipe()
    if os.fork() != 0:
        os.close(entered)
        os.wait()
        return  # `leaving` is closed by exec or exit: then we are inside
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    os.close(leaving)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # a reader of our output must not wait for this process
        os.dup2(nothing, descriptor)
    os.chdir("/")
    os.read(entered, 1)
    _remove(folders)
    os._exit(0)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; it ends the process when it is wrong."""
    parser = argparse.ArgumentParser(prog="caged", description="Run a command in a control group of its own.")
    parser.add_argument("--cpu", type=float, metavar="CORES")
    parser.add_argument("--memory", type=int, metavar="BYTES")
    for key in _DISK_LIMITS:
        parser.add_argument(f"--{key.replace('_', '-')}", type=int, metavar="N")
    parser.add_argument("--disk", metavar="MAJOR:MINOR")
    parser.add_argument("--disk-of", type=Path, metavar="PATH", default=Path())
    parser.add_argument("--scaled", action="store_true")
    parser.add_argument("--lifted", action="store_true")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Build the group, enter it and become the command; return 1 with a sentence on stderr if that fails."""
    options = parse(argv)
    try:
        if shutil.which(options.command[0]) is None:
            raise FileNotFoundError(f"there is no program {options.command[0]!r}")
        folders = build(_wanted(options))
        _remove_later(folders)
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))
        os.execvp(options.command[0], options.command)  # noqa: S606 - becoming the command is the point
    except OSError as error:
        sys.stderr.write(f"caged: {error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
