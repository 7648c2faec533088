"""What the recording says about the generator as a whole: how it shared the machine, what it can do, what it lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pinchpoint.measures import Step
from pinchpoint.recording import Recording

NOT_COUNTED = frozenset({"void", "warmup"})


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the same Locust file and as many processes start per second against a server that does nothing."""

    max_rps: float | None
    """Arrivals started per second; None when it could not be measured, for the `reason`."""
    answered_rps: float | None = None
    """Requests answered per second: more than arrivals where one makes several requests."""
    cpu_share: float | None = None
    processes: int = 1
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Who ran where."""

    processes: int
    load_cpus: tuple[int, ...] | None
    server_cpus: tuple[int, ...] | None
    reason: str = ""
    remote: int = 0
    """Load processes on other hosts, of `processes`."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts of the whole run; each None or empty when the recording does not tell."""

    max_users: int | None = None
    """Cap on users of the rate model."""
    calibration: Calibration | None = None
    split: Split | None = None
    changes: list[str] = field(default_factory=list)
    """Why the generator was changed during the run, in order."""
    ports_share: float | None = None
    """Most connections in TIME_WAIT over the ports there are, in any step; None where the server is elsewhere."""
    lost_workers: list[str] = field(default_factory=list)
    uncured_losses: int = 0
    """Losses of a load worker that no later step made up for."""
    lost_agent: str | None = None
    silent: str | None = None
    """Why the load processes themselves were not heard any more."""

    @property
    def generator_rps(self) -> float | None:
        """Requests per second that the generator managed against a server that does nothing."""
        if self.calibration is None:
            return None
        return self.calibration.answered_rps or self.calibration.max_rps

    def sharing(self, load: Mapping[str, object]) -> dict[str, object]:
        """Return the recording's `load` settings with the CPUs that the load processes had at the end."""
        cpus = None if self.split is None or self.split.load_cpus is None else list(self.split.load_cpus)
        return {**load, **({"load_cpus": cpus} if self.split is not None and self.changes else {})}


def surroundings_of(recording: Recording, steps: Sequence[Step]) -> Surroundings:
    """Read them from the events, the settings and the collector's rows."""
    load = recording.settings.get("load") or {}
    events = [(event.get("kind"), event.get("t_s") or 0.0, event.get("data") or {}) for event in recording.events]
    lost = [(t_s, data) for kind, t_s, data in events if kind == "worker-lost"]
    splits = [data for kind, _, data in events if kind == "generator"]
    return Surroundings(
        max_users=load.get("max_users"),
        calibration=_calibration([data for kind, _, data in events if kind == "calibration"]),
        split=_split(splits[-1] if splits else load),
        changes=[str(data["reason"]) for data in splits[1:] if data.get("reason")],
        ports_share=None if any(kind == "agent" for kind, _, _ in events) else _ports_share(recording, steps),
        lost_workers=[_told(data, "a load worker was lost") for _, data in lost],
        uncured_losses=sum(1 for t_s, _ in lost if not _held_after(steps, t_s)),
        lost_agent=next((_told(data, "the agent was lost") for kind, _, data in events if kind == "agent-lost"), None),
        silent=next((_told(data, "no word from it") for kind, _, data in events if kind == "generator-silent"), None),
    )


def _calibration(found: Sequence[dict[str, Any]]) -> Calibration | None:
    if not found:
        return None
    last = found[-1]
    return Calibration(
        max_rps=last.get("max_rps"),
        answered_rps=last.get("answered_rps"),
        cpu_share=last.get("cpu_share"),
        processes=last.get("processes") or 1,
        reason=last.get("reason") or "",
    )


def _split(data: dict[str, Any]) -> Split | None:
    if data.get("processes") is None:
        return None
    load, server = data.get("load_cpus"), data.get("server_cpus")
    return Split(
        processes=int(data["processes"]),
        load_cpus=None if load is None else tuple(load),
        server_cpus=None if server is None else tuple(server),
        reason=str(data.get("reason") or ""),
        remote=int(data.get("remote") or 0),
    )


def _ports_share(recording: Recording, steps: Sequence[Step]) -> float | None:
    shares = []
    for row in recording.samples:
        waiting, ports = row["host"].get("tcp_time_wait"), row["host"].get("local_ports")
        counted = any(step.t_start_s <= row["t_s"] <= step.t_end_s for step in steps)
        if counted and waiting is not None and ports:
            shares.append(waiting / ports)
    return max(shares, default=None)


def _held_after(steps: Sequence[Step], t_s: float) -> bool:
    """Tell whether a load was measured after the loss with those that remained."""
    return any(step.phase not in NOT_COUNTED and step.t_start_s >= t_s for step in steps)


def _told(data: dict[str, Any], default: str) -> str:
    return str(data.get("message") or default)
