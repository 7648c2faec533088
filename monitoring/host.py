"""Machine-wide figures from /proc, at a few microseconds a file. Parsers are pure, `HostReader` keeps descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from pinchpoint.monitoring.disk import device_under, parse_disk
from pinchpoint.monitoring.procfs import TICKS_PER_S, DescriptorBudget, KeptFile, number_after, read_once

if TYPE_CHECKING:
    from pinchpoint.rows import HostRow

_PSI = {"cpu": ("some",), "io": ("some", "full"), "memory": ("some", "full")}
"""`full` of cpu is undefined for the whole machine (Documentation/accounting/psi.rst)."""

PORT_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
SLOW_EVERY = 5
_NETSTAT = (b"ListenOverflows", b"ListenDrops", b"TCPTimeouts")
_SNMP = (b"RetransSegs", b"ActiveOpens", b"PassiveOpens", b"AttemptFails")


class _Slow(TypedDict):
    """The figures of a `HostRow` that are read less often."""

    psi_us: dict[str, int] | None
    memory_total_bytes: int
    memory_available_bytes: int
    swap_in_pages: int | None
    swap_out_pages: int | None
    net_rx_bytes: int | None
    net_tx_bytes: int | None
    net_loopback_bytes: int | None
    listen_overflows: int | None
    listen_drops: int | None
    tcp_timeouts: int | None
    retransmits: int | None
    tcp_connects: int | None
    tcp_accepts: int | None
    tcp_connect_failures: int | None
    tcp_time_wait: int | None
    local_ports: int | None
    disk: str | None
    disk_read_bytes: int | None
    disk_write_bytes: int | None
    disk_ios: int | None
    disk_busy_s: float | None


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """`/proc/stat` in seconds since boot. Busy: user, nice, system, irq, softirq; neither stolen nor waiting time."""

    busy_s: float
    iowait_s: float | None
    steal_s: float | None
    per_cpu_busy_s: list[float]


def parse_cpu_times(data: bytes) -> CpuTimes:
    """Parse the `cpu` lines. Guest time is part of user time already; old kernels have fewer columns."""
    total: list[int] = []
    per_cpu: list[float] = []
    for line in data.splitlines():
        if not line.startswith(b"cpu"):
            break
        name, *words = line.split()
        ticks = [int(word) for word in words]
        if name == b"cpu":
            total = ticks
        else:
            per_cpu.append(_busy(ticks))
    return CpuTimes(
        busy_s=_busy(total),
        iowait_s=_column(total, 4),
        steal_s=_column(total, 7),
        per_cpu_busy_s=per_cpu,
    )


def _busy(ticks: list[int]) -> float:
    return (sum(ticks[0:3]) + sum(ticks[5:7])) / TICKS_PER_S


def _column(ticks: list[int], index: int) -> float | None:
    return ticks[index] / TICKS_PER_S if len(ticks) > index else None


def parse_pressure(data: bytes) -> dict[str, int]:
    """Return the total microseconds of each line (`some`, `full`) of one pressure file."""
    totals: dict[str, int] = {}
    for line in data.splitlines():
        total = number_after(line, b"total=")
        if total is not None:
            totals[line.split(None, 1)[0].decode("ascii", "replace")] = total
    return totals


def parse_traffic(data: bytes) -> tuple[int, int] | None:
    """Return (received, sent) bytes over all interfaces of `/proc/net/dev`, loopback included.

    Loopback counts because the load comes over it: there each byte is both sent and received.
    """
    received = sent = 0
    lines = data.splitlines()[2:]
    for line in lines:
        _, _, numbers = line.partition(b":")
        words = numbers.split()
        if len(words) < 16:  # noqa: PLR2004 - eight columns each way
            return None
        received += int(words[0])
        sent += int(words[8])
    return (received, sent) if lines else None


def parse_loopback(data: bytes) -> int | None:
    """Return the bytes received over loopback, as many as were sent; None without one in `/proc/net/dev`."""
    for line in data.splitlines():
        name, _, numbers = line.partition(b":")
        if name.strip() == b"lo":
            return int(numbers.split(None, 1)[0])
    return None


def parse_time_wait(data: bytes) -> int | None:
    """Return `tw` of the TCP line of `/proc/net/sockstat`: closed connections whose port is not free yet."""
    for line in data.splitlines():
        if line.startswith(b"TCP:"):
            return number_after(line, b" tw ")
    return None


def parse_port_range(text: str) -> int | None:
    """Return how many ports `ip_local_port_range` gives to connections that are opened from here."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):  # noqa: PLR2004 - first and last
        return None
    return max(0, int(words[1]) - int(words[0]) + 1)


def parse_counter_table(data: bytes, group: bytes, names: tuple[bytes, ...]) -> list[int | None]:
    """Return counters of `/proc/net/netstat` or `snmp`: a line of names and one of values, each led by `group`."""
    lines = [line for line in data.splitlines() if line.startswith(group + b":")]
    if len(lines) != 2:  # noqa: PLR2004 - names and values
        return [None for _ in names]
    values = lines[1].split()
    columns = _columns(lines[0], names)
    return [int(values[column]) if column is not None and column < len(values) else None for column in columns]


@lru_cache(maxsize=16)
def _columns(header: bytes, names: tuple[bytes, ...]) -> list[int | None]:
    """Find the columns once: netstat has 130 of them, and the same ones in every tick."""
    found = header.split()
    return [found.index(name) if name in found else None for name in names]


def _available_bytes(meminfo: bytes) -> int:
    """Before Linux 3.14 there is only free memory, which leaves out the cache."""
    available = number_after(meminfo, b"\nMemAvailable:")
    return (available if available is not None else number_after(meminfo, b"\nMemFree:") or 0) * 1024


class HostReader:
    """Reads the machine's figures; those of the network from the namespace the target lives in.

    CPU is read every time; what costs more and says less (pressure, memory, network, swap, disk) every fifth time, and
    stands in between.
    """

    def __init__(self, pid: int, budget: DescriptorBudget) -> None:
        net = network_folder(pid)
        self._stat = KeptFile("/proc/stat", budget)
        self._meminfo = KeptFile("/proc/meminfo", budget)
        self._vmstat = KeptFile("/proc/vmstat", budget)
        self._dev = KeptFile(f"{net}/dev", budget)
        self._netstat = KeptFile(f"{net}/netstat", budget)
        self._snmp = KeptFile(f"{net}/snmp", budget)
        self._sockstat = KeptFile(f"{net}/sockstat", budget)
        self._local_ports = parse_port_range(read_once(PORT_RANGE) or "") if shares_network(pid) else None
        self._diskstats = KeptFile("/proc/diskstats", budget)
        self._pressure = {name: KeptFile(f"/proc/pressure/{name}", budget) for name in _PSI}
        self._device = device_under(f"/proc/{pid}/cwd")
        self._reads = 0
        self._slow: _Slow | None = None

    def read(self, listen: tuple[int, int | None] | None) -> HostRow:
        """Return the figures now; `listen` is (length, limit) of the target's accept queue."""
        cpu = parse_cpu_times(self._stat.read() or b"")
        if self._slow is None or self._reads % SLOW_EVERY == 0:
            self._slow = self._read_slow()
        self._reads += 1
        return {
            "cpu_busy_s": cpu.busy_s,
            "cpu_iowait_s": cpu.iowait_s,
            "cpu_steal_s": cpu.steal_s,
            "per_cpu_busy_s": cpu.per_cpu_busy_s,
            **self._slow,
            "listen_queue": listen[0] if listen else None,
            "listen_limit": listen[1] if listen else None,
            "server_cpus": [],  # these two the sampler knows
            "foreign_busy_s": None,
        }

    def _read_slow(self) -> _Slow:
        memory = self._meminfo.read() or b""
        vmstat, dev = self._vmstat.read() or b"", self._dev.read() or b""
        traffic = parse_traffic(dev)
        netstat = parse_counter_table(self._netstat.read() or b"", b"TcpExt", _NETSTAT)
        snmp = parse_counter_table(self._snmp.read() or b"", b"Tcp", _SNMP)
        disk = parse_disk(self._diskstats.read() or b"", self._device.encode()) if self._device is not None else None
        return {
            "psi_us": self._read_pressure(),
            "memory_total_bytes": (number_after(memory, b"MemTotal:") or 0) * 1024,
            "memory_available_bytes": _available_bytes(memory),
            "swap_in_pages": number_after(vmstat, b"\npswpin "),
            "swap_out_pages": number_after(vmstat, b"\npswpout "),
            "net_rx_bytes": traffic[0] if traffic else None,
            "net_tx_bytes": traffic[1] if traffic else None,
            "net_loopback_bytes": parse_loopback(dev),
            "listen_overflows": netstat[0],
            "listen_drops": netstat[1],
            "tcp_timeouts": netstat[2],
            "retransmits": snmp[0],
            "tcp_connects": snmp[1],
            "tcp_accepts": snmp[2],
            "tcp_connect_failures": snmp[3],
            "tcp_time_wait": parse_time_wait(self._sockstat.read() or b""),
            "local_ports": self._local_ports,
            "disk": self._device,
            "disk_read_bytes": disk.read_bytes if disk else None,
            "disk_write_bytes": disk.write_bytes if disk else None,
            "disk_ios": disk.ios if disk else None,
            "disk_busy_s": disk.busy_s if disk else None,
        }

    def _read_pressure(self) -> dict[str, int] | None:
        found: dict[str, int] = {}
        for name, lines in _PSI.items():
            totals = parse_pressure(self._pressure[name].read() or b"")
            found.update({f"{name}_{line}": totals[line] for line in lines if line in totals})
        return found or None

    def close(self) -> None:
        """Give every descriptor back."""
        files = (self._stat, self._meminfo, self._vmstat, self._dev, self._netstat, self._snmp, self._diskstats)
        for kept in (*files, self._sockstat, *self._pressure.values()):
            kept.close()


def network_folder(pid: int) -> str:
    """Return the /proc folder that shows the network of `pid`: ours where it is the same, for it outlives `pid`."""
    return "/proc/self/net" if shares_network(pid) else f"/proc/{pid}/net"


def shares_network(pid: int) -> bool:
    """Say whether a process sees the same network as we do; unknown counts as yes."""
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError:
        return True


def memory_total_bytes() -> int | None:
    """Return the machine's memory."""
    kib = number_after((read_once("/proc/meminfo") or "").encode(), b"MemTotal:")
    return None if kib is None else kib * 1024
