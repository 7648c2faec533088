"""What this machine permits: each check says what it found, what follows from it, and what to do.

These checks only read; `doctor_trials.py` tries things out. All of them look through a `Machine`, so that tests bring
their own. A check that fails itself is reported as such and takes no other down.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinchpoint.monitoring.cgroup import CgroupReader, locate, parse_groups, parse_mounts
from pinchpoint.monitoring.facts import host_facts
from pinchpoint.monitoring.procfs import DescriptorBudget, number_after, read_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OK, LIMITED, MISSING, UNKNOWN = "ok", "limited", "missing", "unknown"
FDS_BESIDE_USERS = 200
"""Descriptors that the generator, the collector and the recording need beside one socket per user."""
PLENTY_OF_USERS = 1000
SMALL_BACKLOG = 1024
"""Below this, a burst of connections overflows the accept queue before the app is slow. Linux before 5.4 had 128."""
FEW_PORTS = 10_000
BUSY_TIME_WAIT = 0.25
"""Share of the ephemeral ports: they are freed after 60 s, so a quarter may be gone before the run begins."""
TIME_WAIT_S = 60
LITTLE_MEMORY_BYTES = 1 << 30
LITTLE_SHARED_BYTES = 16 << 20
"""A page is about 30 kB; a few hundred processes fit."""
LITTLE_DISK_BYTES = 1 << 30
_CAP_SYS_PTRACE = 1 << 19
_SLOW_CLOCKS = frozenset({"hpet", "acpi_pm", "jiffies", "pit"})
"""Read by a system call of a microsecond or more; tsc, kvm-clock and the like by a few nanoseconds."""


@dataclass(frozen=True)
class Check:
    """One finding. `status`: ok, limited (works, with less), missing (does not work), unknown (the check failed)."""

    name: str
    status: str
    value: str
    consequence: str
    remedy: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def descriptor_limits(pid: int) -> tuple[int, int]:
    """Return soft and hard limit on open files of a process.

    Raises:
        OSError: its limits cannot be read.

    """
    import resource  # noqa: PLC0415 - POSIX only, like the check that needs it

    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


@dataclass(frozen=True)
class Machine:
    """How the checks look at this machine; `pid` is the process they are about."""

    pid: int = field(default_factory=os.getpid)
    read: Callable[[str], str | None] = read_once
    writable: Callable[[str], bool] = lambda path: os.access(path, os.W_OK)
    which: Callable[[str], str | None] = shutil.which
    free_bytes: Callable[[str], int] = lambda path: shutil.disk_usage(path).free
    facts: Callable[[int], dict[str, Any]] = host_facts
    limits: Callable[[int], tuple[int, int]] = descriptor_limits

    def number(self, path: str) -> int | None:
        """Return the whole number that is all of a file."""
        text = (self.read(path) or "").strip()
        return int(text) if text.lstrip("-").isdigit() else None


def run_checks(
    checks: Iterable[tuple[str, Callable[[Machine], Check]]],
    machine: Machine,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Check]:
    """Run all of them in order; one that raises becomes a finding of status `unknown`."""
    found: list[Check] = []
    for name, check in checks:
        progress(name)
        try:
            found.append(check(machine))
        except Exception as error:  # noqa: BLE001 - a broken check must not take the others down
            said = f"{type(error).__name__}: {error}"
            found.append(Check(name, UNKNOWN, said, "this check itself failed; nothing is known about it"))
    return found


def ptrace(machine: Machine) -> Check:
    """Whether the kernel lets us read another process's memory, as py-spy does."""
    scope = machine.number("/proc/sys/kernel/yama/ptrace_scope")
    status = (machine.read("/proc/self/status") or "").encode()
    _, found, rest = status.partition(b"\nCapEff:")
    capable = bool(int(rest.split()[0], 16) & _CAP_SYS_PTRACE) if found else False
    said = f"ptrace_scope {scope if scope is not None else 'absent'}, CAP_SYS_PTRACE {'yes' if capable else 'no'}"
    forbidden = scope == 3 or (scope == 2 and not capable)  # noqa: PLR2004 - Yama's levels
    if forbidden:
        remedy = "reboot with a lower kernel.yama.ptrace_scope" if scope == 3 else "sudo setcap, or run as root"  # noqa: PLR2004
        return Check("ptrace", MISSING, said, "no profiles: functions and lines cannot be named", remedy)
    if scope == 1 and not capable:
        remedy = "sudo sysctl kernel.yama.ptrace_scope=0 (until the next boot), or give CAP_SYS_PTRACE"
        text = "only servers that pinchpoint starts can be profiled, and perhaps not their workers"
        return Check("ptrace", LIMITED, said, text, remedy)
    return Check("ptrace", OK, said, "processes of the same user can be profiled")


_FILES = {
    "schedstat": ("schedstat", "run-queue wait: a loop that starves on a shared core looks idle"),
    "syscall": ("syscall", "what threads wait for; lock and socket waits cannot be told apart"),
    "wchan": ("wchan", "where in the kernel threads wait"),
    "io": ("io", "bytes read and written per process"),
    "smaps_rollup": ("smaps_rollup", "memory with shared pages divided (PSS); RSS counts them once per worker"),
    "fd": ("fd", "open descriptors and which sockets threads wait on"),
}


def proc_files(machine: Machine) -> Check:
    """Which of a process's kernel files can be read."""
    base = f"/proc/{machine.pid}"
    absent = [name for name in _FILES if not _readable(machine, f"{base}/{name}")]
    if machine.read(f"{base}/stat") is None:
        remedy = "run pinchpoint as the same user, on the same machine, as the server"
        return Check("process files", MISSING, f"{base} cannot be read", "nothing is seen from outside", remedy)
    if not absent:
        return Check("process files", OK, ", ".join(_FILES), "everything seen from outside is available")
    lost = "; ".join(_FILES[name][1] for name in absent)
    remedy = "run as the server's user (or root); some kernels and containers leave them out"
    return Check("process files", LIMITED, f"not readable: {', '.join(absent)}", f"missing: {lost}", remedy)


def _readable(machine: Machine, path: str) -> bool:
    if path.endswith("/fd"):
        return os.access(path, os.R_OK | os.X_OK)
    text = machine.read(path)
    # A kernel built without scheduler statistics prints zeros.
    return text is not None and not (path.endswith("schedstat") and text.split() == ["0", "0", "0"])


def hidepid(machine: Machine) -> Check:
    """Whether other users' processes are to be seen."""
    options = next(
        (line for line in (machine.read("/proc/self/mountinfo") or "").splitlines() if " /proc " in line), ""
    )
    hidden = next((word for word in options.replace(" ", ",").split(",") if word.startswith("hidepid=")), "")
    if machine.read("/proc/1/stat") is not None:
        return Check("other users' processes", OK, "visible", "foreign load on the same cores can be named")
    text = "CPU used by other users' processes is seen as a sum only; their names are not"
    remedy = "mount /proc with hidepid=0, or run as root"
    return Check("other users' processes", LIMITED, hidden or "hidden", text, remedy)


def psi(machine: Machine) -> Check:
    """Pressure stall information."""
    there = [name for name in ("cpu", "io", "memory") if machine.read(f"/proc/pressure/{name}")]
    if there:
        return Check("pressure (PSI)", OK, ", ".join(there), "stalls for CPU, disk and memory are measured")
    text = "stalls for CPU, disk and memory are not measured; run-queue waits stand in for the CPU"
    return Check(
        "pressure (PSI)", MISSING, "no /proc/pressure", text, "boot the kernel with psi=1 (Linux 4.20 and later)"
    )


def cgroup(machine: Machine) -> Check:
    """Version, limits, and whether they may be changed for an experiment."""
    groups = parse_groups(machine.read(f"/proc/{machine.pid}/cgroup") or "")
    mounts = parse_mounts(machine.read("/proc/self/mountinfo") or "")
    place = locate("cpu", groups, mounts)
    if place is None:
        text = "limits and throttling by a control group cannot be seen"
        return Check("control group", MISSING, "none mounted", text, "mount cgroup2 at /sys/fs/cgroup")
    names = ("cpu.max", "memory.max") if place.version != 1 else ("cpu.cfs_quota_us", "memory.limit_in_bytes")
    own = place.folders[0]
    folders = {"cpu": own, "memory": (locate("memory", groups, mounts) or place).folders[0]}
    paths = {names[0]: folders["cpu"] / names[0], names[1]: folders["memory"] / names[1]}
    fixed = [name for name, path in paths.items() if not machine.writable(str(path))]
    said = f"version {place.version}, {own}"
    if not fixed:
        return Check("control group", OK, f"{said}, writable", "CPU and memory limits can be tried as experiments")
    text = f"{' and '.join(fixed)} cannot be changed: limits are read, never tried"
    return Check("control group", LIMITED, said, text, "run as root, or delegate a group (systemd-run --user --scope)")


def memory(machine: Machine) -> Check:
    """Memory that is free for a run, in the machine and in the group."""
    text = (machine.read("/proc/meminfo") or "").encode()
    kib = number_after(b"\n" + text, b"\nMemAvailable:")
    swapped = number_after(b"\n" + text, b"\nSwapTotal:") or 0
    swap_free = number_after(b"\n" + text, b"\nSwapFree:") or 0
    if kib is None:
        return Check("memory", UNKNOWN, "no MemAvailable", "how much memory is free is not known")
    said = f"{_mib(kib * 1024)} available, swap used {_mib((swapped - swap_free) * 1024)}"
    if kib * 1024 < LITTLE_MEMORY_BYTES:
        text_ = "a run may be cut short, or measure swapping instead of the app"
        return Check("memory", LIMITED, said, text_, "stop what is not needed")
    return Check("memory", OK, said, "enough for the generator, the recording and the report")


def descriptors(machine: Machine) -> Check:
    """Open files, against what many users need."""
    soft, hard = machine.limits(machine.pid)
    users = max(0, soft - FDS_BESIDE_USERS)
    said = f"{soft:,} soft, {hard:,} hard" if hard >= 0 else f"{soft:,} soft, no hard limit"
    if soft < 0 or users >= PLENTY_OF_USERS:
        room = "any number of" if soft < 0 else f"about {users:,}"
        return Check("open files", OK, said, f"room for {room} users with a connection each")
    text = f"more than about {users:,} users with a connection each will meet `Too many open files`"
    enough = PLENTY_OF_USERS + FDS_BESIDE_USERS
    remedy = f"ulimit -n {min(hard, 65536) if hard >= 0 else 65536}" if hard < 0 or hard >= enough else "raise nofile"
    return Check("open files", LIMITED, said, text, remedy)


def ports(machine: Machine) -> Check:
    """Ephemeral ports, and how many still lie in TIME_WAIT."""
    words = (machine.read("/proc/sys/net/ipv4/ip_local_port_range") or "").split()
    if len(words) != 2:  # noqa: PLR2004 - first and last
        return Check("ephemeral ports", UNKNOWN, "range not readable", "how many connections a second fit is not known")
    first, last = map(int, words)
    count = last - first + 1
    waiting = number_after((machine.read("/proc/net/sockstat") or "").encode(), b" tw ")
    said = f"{count:,} ({first}-{last}), {'?' if waiting is None else format(waiting, ',')} in TIME_WAIT"
    pace = f"clients that open a connection per request can hold about {count // TIME_WAIT_S:,} requests/s"
    if count < FEW_PORTS:
        remedy = 'sudo sysctl net.ipv4.ip_local_port_range="10240 65000"'
        return Check("ephemeral ports", LIMITED, said, pace, remedy)
    if waiting is not None and waiting > BUSY_TIME_WAIT * count:
        return Check("ephemeral ports", LIMITED, said, f"{pace}; many are taken by earlier load", "wait a minute")
    return Check("ephemeral ports", OK, said, pace)


def backlog(machine: Machine) -> Check:
    """How long an accept queue may get."""
    limit = machine.number("/proc/sys/net/core/somaxconn")
    syn = machine.number("/proc/sys/net/ipv4/tcp_max_syn_backlog")
    if limit is None:
        return Check("accept backlog", UNKNOWN, "somaxconn not readable", "the cap on accept queues is not known")
    said = f"somaxconn {limit:,}, tcp_max_syn_backlog {'?' if syn is None else format(syn, ',')}"
    if limit < SMALL_BACKLOG:
        text = f"servers ask for 2,048 and get {limit}: bursts overflow, and clients wait 1 s for their second try"
        return Check("accept backlog", LIMITED, said, text, "sudo sysctl net.core.somaxconn=4096")
    return Check("accept backlog", OK, said, "a server's own backlog is what counts")


def clock_source(machine: Machine) -> Check:
    """What the kernel tells time by."""
    folder = "/sys/devices/system/clocksource/clocksource0"
    name = (machine.read(f"{folder}/current_clocksource") or "").strip()
    if not name:
        return Check("clock source", UNKNOWN, "not readable", "reading the time is timed below all the same")
    if name in _SLOW_CLOCKS:
        text = "reading the time costs a microsecond or more, in the app as well as in the probe"
        others = (machine.read(f"{folder}/available_clocksource") or "").split()
        better = next((one for one in others if one not in _SLOW_CLOCKS), None)
        remedy = (
            f"echo {better} | sudo tee {folder}/current_clocksource" if better else "choose another kind of machine"
        )
        return Check("clock source", LIMITED, name, text, remedy)
    return Check("clock source", OK, name, "reading the time is cheap")


def cpus(machine: Machine) -> Check:
    """Cores there are, cores we may use, and the quota on them."""
    facts = machine.facts(machine.pid)
    total, allowed = facts["cpus"] or 1, len(facts["affinity"] or range(facts["cpus"] or 1))
    quota = (facts["cgroup"] or {}).get("cpu_limit_cores")
    said = f"{total} cores, {allowed} allowed, quota {'none' if quota is None else format(quota, 'g')}"
    usable = min(allowed, quota if quota is not None else allowed)
    if quota is not None and quota < allowed:
        text = f"only {quota:g} of {allowed} cores can be used at a time; beyond that the group is throttled"
        return Check("CPUs", LIMITED, said, text, "raise the CPU limit, or lower --workers to it")
    if usable < 2:  # noqa: PLR2004 - one for the server, one for the load
        text = "server and load generator share one core: what is measured is lower than what the server can do"
        return Check("CPUs", LIMITED, said, text, "use two cores or more, or press from another machine")
    return Check("CPUs", OK, said, "server and load generator can have cores of their own")


def governor(machine: Machine) -> Check:
    """How the CPU's frequency is chosen."""
    name = (machine.read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "").strip()
    if not name:
        return Check("CPU frequency", OK, "not to be seen (usual in virtual machines)", "nothing to be done from here")
    if name in {"performance", "schedutil"}:
        return Check("CPU frequency", OK, name, "the clock follows the load at once")
    text = "the clock may be low at low load, so that requests look dearer there than near the limit"
    return Check("CPU frequency", LIMITED, name, text, "sudo cpupower frequency-set -g performance")


def rooms(machine: Machine) -> Check:
    """Room in memory for the probe's pages."""
    folder = "/dev/shm"  # noqa: S108 - only its size is asked
    if not machine.writable(folder):
        text = "the probe's pages go to a disk: a slow one can hold up the app while they are written"
        return Check("shared memory", LIMITED, f"{folder} is not writable", text, "mount a tmpfs there")
    free = machine.free_bytes(folder)
    if free < LITTLE_SHARED_BYTES:
        return Check(
            "shared memory", LIMITED, f"{_mib(free)} free", "many workers' pages may not fit", "--shm-size 64m"
        )
    return Check("shared memory", OK, f"{_mib(free)} free", "the probe's pages stay in memory")


def pythons(machine: Machine) -> Check:
    """Interpreters on PATH that the probe works in."""
    names = [f"python3.{minor}" for minor in range(9, 15)]
    there = [name.removeprefix("python") for name in names if machine.which(name)]
    said = f"this one {sys.version.split()[0]}; on PATH {', '.join(there) or 'no other'}"
    return Check("Python", OK, said, "apps on 3.9 to 3.14 can be probed; give theirs with --python")


_TOOLS = {
    "chromium": "the report's own tests",
    "prometheus": "the exporter's own tests",
    "postgres": "the database tests",
}


def tools(machine: Machine) -> Check:
    """Programs that only some things need."""
    places = {"postgres": sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")))}
    absent = [name for name in _TOOLS if not machine.which(name) and not places.get(name)]
    there = ", ".join(name for name in _TOOLS if name not in absent) or "none"
    if absent:
        text = "not needed to measure; without them these are skipped: " + ", ".join(_TOOLS[name] for name in absent)
        return Check("optional tools", LIMITED, there, text, f"apt-get install {' '.join(absent)}")
    return Check("optional tools", OK, there, "all of the project's own tests can run")


def container(machine: Machine) -> Check:
    """Whether we are inside a container."""
    inside = bool(machine.facts(machine.pid)["container"])
    if not inside:
        return Check("container", OK, "none found", "what /proc says is about this machine")
    text = "machine-wide figures (CPU, pressure, memory) are the host's, shared with other containers"
    return Check("container", LIMITED, "inside one", text)


def _mib(size: int) -> str:
    return f"{size / (1 << 30):,.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):,.0f} MiB"


def throttled(machine: Machine) -> tuple[int, float] | None:
    """Return throttled periods and seconds of the group so far; None where they are not counted."""
    reader = CgroupReader(machine.pid, DescriptorBudget())
    try:
        row = reader.read()
    finally:
        reader.close()
    if row is None or row["throttled_periods"] is None or row["throttled_s"] is None:
        return None
    return row["throttled_periods"], row["throttled_s"]


PASSIVE = (
    ("ptrace", ptrace),
    ("process files", proc_files),
    ("other users' processes", hidepid),
    ("pressure (PSI)", psi),
    ("control group", cgroup),
    ("CPUs", cpus),
    ("CPU frequency", governor),
    ("memory", memory),
    ("open files", descriptors),
    ("ephemeral ports", ports),
    ("accept backlog", backlog),
    ("clock source", clock_source),
    ("shared memory", rooms),
    ("Python", pythons),
    ("optional tools", tools),
    ("container", container),
)
