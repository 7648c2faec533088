"""What a run was asked to do, validated before anything starts."""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pinchpoint.errors import UsageError

if TYPE_CHECKING:  # `--help` should not load scientific libraries
    from pinchpoint.stress.arrivals import Spacing
    from pinchpoint.stress.autostop import Criterion
    from pinchpoint.stress.stages import LoadProfile
    from pinchpoint.stress.thresholds import Threshold

HOST = "127.0.0.1"
"""Where the targets that we choose an address for listen."""
LOOPBACK_HOSTS = frozenset({"localhost"})
SHORTEST_BUDGET_S = 20.0
"""Boot, warm-up, a baseline and a ramp of a few steps do not fit into less."""
SHORTEST_DWELL_S = 1.0
"""A shorter step holds no whole digest row."""
LONGEST_DWELL_SHARE = 0.25
"""Of the budget: boot, baseline, recovery and two load levels are the least of a ramp."""
DEFAULT_USER_STEPS = (10, 50, 100, 200)
_BUDGET = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


SHORTEST_SOAK_S = 40.0
"""Less leaves too few points for a slope with an interval, at two loads and without any."""


@dataclass(frozen=True)
class SoakAsk:
    """A long steady load: how long, and how much."""

    seconds: float
    rate_rps: float | None = None
    """Arrivals per second; None: `share` of the rate that a short search finds to hold."""
    share: float = 0.6


@dataclass(frozen=True)
class RunConfig:
    """One run: target, load, limits, and where the recording goes."""

    target: str | None = None
    """`MODULE:APP`; None means the reference app, or a command when `command` is given."""
    command: tuple[str, ...] = ()
    url: str | None = None
    pid: int | None = None
    """A server that runs already, at `url`."""
    factory: bool = False
    """APP makes the app when it is called."""
    fault: str | None = None
    python: str | None = None
    cwd: Path | None = None
    port: int | None = None
    ready_path: str = "/"
    workers: int = 1
    worker_class: str | None = None
    threads: int | None = None
    env: dict[str, str] = field(default_factory=dict)
    model: str = "rate"
    scenario: str | None = None
    preset: str | None = None
    """Size of load that the scenario's pack knows by name; the load itself is in `stages`."""
    locustfile: Path | None = None
    get_paths: tuple[str, ...] = ()
    users: tuple[int, ...] = DEFAULT_USER_STEPS
    dwell_s: float | None = None
    max_users: int = 1000
    processes: int = 1
    budget_s: float = 180.0
    p95_ms: float = 500.0
    max_error_rate: float = 0.01
    server_cpus: frozenset[int] | None = None
    load_cpus: frozenset[int] | None = None
    pin: bool = True
    profile: bool = True
    aftermath: bool = True
    """Press beyond the limit and watch the recovery; a sweep spends that time on the limit."""
    calibrate: bool = True
    """Measure what the load generator can do against a server that does nothing."""
    grow: bool = True
    """Add load processes when the generator is the limit; not where the user gave their number."""
    metrics_port: int | None = None
    """Serve Prometheus metrics there during the run; 0: any free port."""
    seed: int = 1
    requests: bool = False
    """Log every request."""
    root: Path = Path("runs")
    out: Path | None = None
    force: bool = False
    allow_hosts: tuple[str, ...] = ()
    expect_workers: int = 0
    """Load processes that join from other hosts, at `listen`."""
    listen: str = "127.0.0.1:5557"
    worker_wait_s: float = 60.0
    tls_cert: Path | None = None
    """Of the address that load workers join at, with `tls_key`; None: no TLS."""
    tls_key: Path | None = None
    soak: SoakAsk | None = None
    """Instead of the search for the limit."""
    stages: "LoadProfile | None" = None
    """Likewise: a load profile."""
    thresholds: "tuple[Threshold, ...]" = ()
    autostop: "tuple[Criterion, ...]" = ()
    spacing: "Spacing" = "poisson"
    argv: tuple[str, ...] = ()
    agent: str | None = None
    """HOST:PORT of the agent that watches the server at `url`."""
    token: str | None = field(default=None, repr=False)
    """Proves this run to agents and load workers on other hosts, and them to it."""
    tls_ca: Path | None = None

    @property
    def runs_already(self) -> bool:
        """True when the server at `url` is not ours to start."""
        return self.pid is not None or self.agent is not None


def parse_duration(text: str, option: str) -> float:
    """Turn `60s`, `3m`, `1m30s` or `90` into seconds.

    Raises:
        UsageError: not a duration.

    """
    match = _BUDGET.fullmatch(text.strip())
    if not text.strip() or match is None:
        raise UsageError(f"{option} {text!r} is not a duration; write it like 60s, 3m or 1m30s")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def parse_soak(seconds: str, rate_rps: float | None, share: float | None) -> SoakAsk:
    """Turn `--for`, `--rate` and `--share` into what is asked.

    Raises:
        UsageError: too short to tell anything, or both a rate and a share of one.

    """
    lasts_s = parse_duration(seconds, "--for")
    if lasts_s < SHORTEST_SOAK_S:
        raise UsageError(f"--for {seconds} is too short: a slope needs at least {SHORTEST_SOAK_S:.0f}s")
    if rate_rps is not None and share is not None:
        raise UsageError("--rate is the load; --share is a share of the rate that a search finds: give one of them")
    return SoakAsk(lasts_s, rate_rps, SoakAsk.share if share is None else share)


def parse_budget(text: str) -> float:
    """Turn `60s`, `3m`, `1m30s` or `90` into seconds.

    Raises:
        UsageError: not a duration, or too short to measure anything.

    """
    budget_s = parse_duration(text, "--budget")
    if budget_s < SHORTEST_BUDGET_S:
        raise UsageError(f"--budget {text} is too short: a ramp to failure needs at least {SHORTEST_BUDGET_S:.0f}s")
    return budget_s


def check_dwell(dwell_s: float | None, budget_s: float) -> None:
    """Refuse a dwell time that leaves no room for a second load level.

    Raises:
        UsageError: too short to judge, or too long for the budget.

    """
    longest_s = budget_s * LONGEST_DWELL_SHARE
    if dwell_s is not None and not SHORTEST_DWELL_S <= dwell_s <= longest_s:
        raise UsageError(
            f"--dwell {dwell_s:g}: with a budget of {budget_s:g} s, hold each load level between "
            f"{SHORTEST_DWELL_S:g} and {longest_s:g} s"
        )


def parse_cpus(text: str, option: str) -> frozenset[int]:
    """Turn `0`, `0,2` or `0-3` into a set of CPUs this process may use.

    Raises:
        UsageError: not a CPU list, or a CPU that is not available here.

    """
    cpus: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a list of CPUs; write it like 0 or 0,2 or 0-3") from None
    allowed = os.sched_getaffinity(0)
    if not cpus or not cpus <= allowed:
        raise UsageError(f"{option} {text}: this process may only use CPUs {_listing(allowed)}")
    return frozenset(cpus)


def _listing(cpus: set[int] | frozenset[int]) -> str:
    return ",".join(str(cpu) for cpu in sorted(cpus))


def parse_counts(text: str, option: str) -> tuple[int, ...]:
    """Turn `10,50,100` into positive integers, in order.

    Raises:
        UsageError: not a list of positive integers.

    """
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"{option} {text!r} is not a list of positive whole numbers; write it like 1,2,4")
    return counts


def parse_env(pairs: list[str]) -> dict[str, str]:
    """Turn `K=V` pairs into a dict.

    Raises:
        UsageError: a pair without `=`, or without a name.

    """
    result = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"--env {pair!r} is not NAME=VALUE")
        result[name] = value
    return result


def check_host(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Refuse to press anything but this machine unless its name was given.

    Raises:
        UsageError: the URL's host is neither loopback nor allowed.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:  # a port out of range, half an IPv6 address
        raise UsageError(f"--url {url!r} is not an address ({error}); write it like http://127.0.0.1:8000") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise UsageError(f"--url {url!r} is not an address; write it like http://127.0.0.1:8000")
    if host in LOOPBACK_HOSTS or _is_loopback(host) or host in allow_hosts:
        return
    raise UsageError(
        f"{host} is not this machine: a stress test against somebody's server is an attack; "
        f"if it is yours to break, say so with --allow-host {host}"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_cpus(workers: int) -> tuple[frozenset[int] | None, frozenset[int] | None]:
    """Choose disjoint cores for server and load, or (None, None) when there are not enough to go round.

    The load generator and the collector get one core; the server gets the others. With as many workers as cores
    (or one core) nothing is pinned: starving the server of a core it was configured for would measure the pinning.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2 or workers > len(allowed) - 1:  # noqa: PLR2004 - one for each side
        return None, None
    return frozenset(allowed[:-1]), frozenset(allowed[-1:])
