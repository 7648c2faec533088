"""Checks that try something out: the clock, loopback, a disk, and two seconds of listening to the neighbours."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from pinchpoint.monitoring.doctor import LIMITED, LITTLE_DISK_BYTES, OK, UNKNOWN, Check, Machine, throttled
from pinchpoint.monitoring.host import parse_cpu_times

if TYPE_CHECKING:
    from collections.abc import Callable

NOISE_SAMPLE_S = 2.0
NOISY_SHARE = 0.05
"""Of a core: a twentieth of the capacity found would be somebody else's doing."""
CLOCK_READS = 20_000
DEAR_CLOCK_S = 1e-6
COARSE_CLOCK_S = 1e-5
STEERED_PPM = 500.0
"""NTP slews by at most 500 parts per million (adjtimex(2)); more is a clock that cannot be relied on."""
ROUND_TRIPS = 300
SLOW_ROUND_TRIP_S = 200e-6
DISK_TRIAL_BYTES = 4 << 20
SLOW_DISK_BYTES_PER_S = 5e6
"""A run writes well below 1 MB/s; this leaves a margin for fsync of the report."""
_SPIN = """
import time
end = time.monotonic() + {seconds}
while time.monotonic() < end:
    pass
print(open("/proc/self/schedstat").read())
"""


def clock(_machine: Machine) -> Check:
    """Measure what reading the time costs, and its smallest step."""
    read = time.monotonic
    began = read()
    values = [read() for _ in range(CLOCK_READS)]
    cost_s = (read() - began) / CLOCK_READS
    steps = [later - earlier for earlier, later in pairwise(values) if later > earlier]
    step_s = min(steps, default=time.get_clock_info("monotonic").resolution)
    said = f"{cost_s * 1e9:.0f} ns a reading, smallest step {step_s * 1e9:.0f} ns"
    if cost_s > DEAR_CLOCK_S or step_s > COARSE_CLOCK_S:
        text = "short times are blurred, and the probe costs the app more than it should"
        return Check("clock", LIMITED, said, text, "see the clock source; virtual machines may need another one")
    return Check("clock", OK, said, "times down to microseconds are sound")


def loopback(_machine: Machine) -> Check:
    """Measure round trips over a connection to this machine itself."""
    times: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 1.0) as near:
        far, _ = server.accept()
        with far:
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(ROUND_TRIPS):
                began = time.perf_counter()
                near.sendall(b"x")
                far.sendall(far.recv(1))
                near.recv(1)
                times.append(time.perf_counter() - began)
    median_s = statistics.median(times)
    said = f"{median_s * 1e6:.0f} us a round trip, worst {max(times) * 1e6:.0f} us"
    if median_s > SLOW_ROUND_TRIP_S:
        text = "the network stack itself costs a good part of a short request"
        return Check("loopback", LIMITED, said, text, "look for firewall rules or tracing on lo")
    return Check("loopback", OK, said, "the way to the server costs next to nothing")


def disk(machine: Machine, folder: Path | None = None) -> Check:
    """Look at the room where runs are kept, and write a few megabytes there."""
    where = folder or Path.cwd()
    if not machine.writable(str(where)):
        return Check("disk", LIMITED, f"{where} is not writable", "runs cannot be kept here", "choose --out DIR")
    free = machine.free_bytes(str(where))
    with tempfile.TemporaryFile(dir=where) as file:
        began = time.perf_counter()
        file.write(bytes(DISK_TRIAL_BYTES))
        file.flush()
        os.fsync(file.fileno())
        pace = DISK_TRIAL_BYTES / max(time.perf_counter() - began, 1e-9)
    said = f"{free / (1 << 30):,.1f} GiB free, {pace / 1e6:,.0f} MB/s with fsync"
    if free < LITTLE_DISK_BYTES:
        return Check("disk", LIMITED, said, "a long run may fill it", "free some space, or choose --out DIR elsewhere")
    if pace < SLOW_DISK_BYTES_PER_S:
        text = "an app that commits to this disk will wait for it; recordings may lag"
        return Check("disk", LIMITED, said, text, "choose --out DIR on another disk")
    return Check("disk", OK, said, "room for many runs")


class Neighbours:
    """Two seconds of a spinning child; four checks are read off what happened meanwhile."""

    def __init__(self, sample_s: float = NOISE_SAMPLE_S) -> None:
        self._sample_s = sample_s
        self._seen: _Sample | None = None

    @property
    def checks(self) -> list[tuple[str, Callable[[Machine], Check]]]:
        """The checks, to be run in this order."""
        return [
            ("waits for a CPU", self.waits),
            ("noisy neighbours", self.noise),
            ("throttling now", self.throttling),
            ("clock drift", self.drift),
        ]

    def _sample(self, machine: Machine) -> _Sample:
        if self._seen is None:
            self._seen = _Sample(machine, self._sample_s)
        return self._seen

    def waits(self, machine: Machine) -> Check:
        """How long a busy process waited for a core."""
        seen = self._sample(machine)
        if seen.wait_share is None:
            text = "whether a busy server gets its core cannot be measured"
            return Check("waits for a CPU", UNKNOWN, "no scheduler statistics", text)
        said = f"{seen.wait_share:.1%} of {self._sample_s:g} s"
        if seen.wait_share > NOISY_SHARE:
            text = "a busy process does not get a core of its own: capacity is lower, and unsteady"
            return Check("waits for a CPU", LIMITED, said, text, "stop other work, or pin with --server-cpus")
        return Check("waits for a CPU", OK, said, "a busy process gets a core of its own")

    def noise(self, machine: Machine) -> Check:
        """CPU used by others, and CPU that the hypervisor kept."""
        seen = self._sample(machine)
        steal = "steal unknown" if seen.steal_cores is None else f"{seen.steal_cores:.2f} stolen"
        said = f"{seen.foreign_cores:.2f} cores used by others, {steal}"
        if seen.foreign_cores > NOISY_SHARE or (seen.steal_cores or 0.0) > NOISY_SHARE:
            text = "other work on this machine shows in the latencies, and in what counts as the limit"
            return Check("noisy neighbours", LIMITED, said, text, "stop other work, or take several runs")
        return Check("noisy neighbours", OK, said, "the machine is quiet")

    def throttling(self, machine: Machine) -> Check:
        """Whether the control group's CPU limit struck meanwhile."""
        seen = self._sample(machine)
        if seen.throttled is None:
            text = "whether the control group is throttled cannot be seen"
            return Check("throttling now", UNKNOWN, "not counted here", text)
        periods, seconds = seen.throttled
        said = f"{periods} periods, {seconds:.3f} s"
        if periods:
            text = "the CPU limit already strikes with one busy process: it will be the bottleneck"
            return Check("throttling now", LIMITED, said, text, "raise the CPU limit")
        return Check("throttling now", OK, said, "the CPU limit does not strike one busy process")

    def drift(self, machine: Machine) -> Check:
        """How far the steered clock strays from the raw one."""
        ppm = self._sample(machine).drift_ppm
        if ppm is None:
            return Check("clock drift", UNKNOWN, "no raw clock", "whether the clock is being steered is not known")
        said = f"{ppm:+.0f} ppm against the raw clock"
        if abs(ppm) > STEERED_PPM:
            text = "durations are off by more than time servers may steer"
            return Check("clock drift", LIMITED, said, text, "look at chronyc tracking")
        return Check("clock drift", OK, said, "durations can be relied on")


class _Sample:
    """What happened while a child span for some seconds."""

    def __init__(self, machine: Machine, seconds: float) -> None:
        raw = getattr(time, "CLOCK_MONOTONIC_RAW", None)
        throttled_before, stat_before = throttled(machine), parse_cpu_times(_bytes(machine, "/proc/stat"))
        own_before, began = _own_cpu_s(), time.monotonic()
        raw_began = time.clock_gettime(raw) if raw is not None else 0.0
        command = [sys.executable, "-I", "-S", "-c", _SPIN.format(seconds=seconds)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 5.0, check=False)
        raw_s = time.clock_gettime(raw) - raw_began if raw is not None else None
        elapsed_s = time.monotonic() - began
        stat = parse_cpu_times(_bytes(machine, "/proc/stat"))
        ours_s = _own_cpu_s() - own_before
        self.wait_share = _wait_share(done.stdout)
        self.foreign_cores = max(0.0, stat.busy_s - stat_before.busy_s - ours_s) / elapsed_s
        stolen = (stat.steal_s, stat_before.steal_s)
        self.steal_cores = None if None in stolen else ((stolen[0] or 0) - (stolen[1] or 0)) / elapsed_s
        self.drift_ppm = (elapsed_s / raw_s - 1) * 1e6 if raw_s else None
        after = throttled(machine)
        self.throttled = (
            (after[0] - throttled_before[0], after[1] - throttled_before[1]) if after and throttled_before else None
        )


def _own_cpu_s() -> float:
    """Return the CPU of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _wait_share(schedstat: str) -> float | None:
    """Return waited / (ran + waited) of `ns-run ns-waited slices`; None where the kernel prints zeros."""
    words = schedstat.split()
    if len(words) < 2 or int(words[0]) == 0:  # noqa: PLR2004 - ran and waited
        return None
    return int(words[1]) / (int(words[0]) + int(words[1]))


def _bytes(machine: Machine, path: str) -> bytes:
    return (machine.read(path) or "").encode()
