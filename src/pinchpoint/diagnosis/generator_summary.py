"""What pressed: processes, cores, what it can do at most, its worst moments, and the hosts that took part."""

from collections.abc import Iterable, Sequence
from typing import Any

from pinchpoint.measures import Step
from pinchpoint.records import GeneratorSummary, OtherHost
from pinchpoint.rows import EventRow

COUNTED = frozenset({"baseline", "ramp", "search", "overload", "stage", "soak"})


def generator_summary(
    steps: Sequence[Step], events: Sequence[EventRow], load: dict[str, Any], sustained: Step | None
) -> GeneratorSummary | None:
    """Fold the run's load steps and the generator's own events; None when nothing was pressed."""
    counted = [step for step in steps if step.phase in COUNTED]
    if not counted:
        return None
    decided = _data(events, "generator")
    calibrated = _data(events, "calibration")
    last: dict[str, Any] = decided[-1] if decided else {}
    return GeneratorSummary(
        processes=max([step.client.processes for step in counted] + [int(load.get("processes") or 1)]),
        load_cpus=last.get("load_cpus", load.get("load_cpus")),
        server_cpus=last.get("server_cpus", load.get("server_cpus")),
        max_rps=calibrated[-1].get("max_rps") if calibrated else None,
        highest_rps=max((step.started_rps for step in counted), default=None),
        cpu_peak=_worst(step.client.cpu_peak for step in counted),
        send_lag_ms_p99=_worst(step.client.send_lag_ms_p99 for step in counted),
        scheduled=sum(step.client.scheduled for step in counted),
        unsent=sum(step.client.unsent for step in counted),
        imbalance=_imbalance(sustained),
        changes=[str(one["reason"]) for one in decided if one.get("reason")],
        hosts=[
            *_hosts(events, "worker-joined", "worker-lost", "load"),
            *_hosts(events, "agent", "agent-lost", "target"),
        ],
    )


def _data(events: Iterable[EventRow], kind: str) -> list[dict[str, Any]]:
    return [event.get("data") or {} for event in events if event.get("kind") == kind]


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _imbalance(step: Step | None) -> float | None:
    """Return W times the busiest worker's share (METHOD §5.5); None for a single worker or without counts."""
    rates = [one.requests_rps for one in step.server.per_worker if one.requests_rps is not None] if step else []
    return max(rates) * len(rates) / sum(rates) if len(rates) > 1 and sum(rates) > 0 else None


def _hosts(events: Sequence[EventRow], came: str, went: str, role: str) -> list[OtherHost]:
    """Return every host that joined, with why it was lost; one that was lost without having joined is told as well."""
    lost = {_name(one): str(one.get("message") or "lost") for one in _data(events, went)}
    joined = {_name(one): one for one in _data(events, came)}
    return [
        OtherHost(
            name=name,
            role="load" if role == "load" else "target",
            offset_s=joined.get(name, {}).get("offset_s"),
            offset_error_s=joined.get(name, {}).get("offset_error_s"),
            lost=lost.get(name),
        )
        for name in dict.fromkeys([*joined, *lost])
    ]


def _name(data: dict[str, Any]) -> str:
    return str(data.get("name") or data.get("process", "?"))
