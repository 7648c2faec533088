"""A recording of the checklist's three loads (light, peak, peak + 50 %) -> what both sides saw under each. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.diagnosis.windows import Samples, server_figures
from pinchpoint.measures import ServerFigures
from pinchpoint.recording import Recording
from pinchpoint.rows import DigestRow, SampleRow

SETTLE_S = 1.0
"""First part of a load, left out: its users dial and the queue of the jump drains."""

LEAST_S = 3.0
"""Of a load, that first part included: in less it says nothing."""

EDGE_S = 0.1
"""Rows end on whole seconds, give or take this."""


@dataclass(frozen=True)
class Window:
    """One load, held. Times on the recording's clock."""

    offered_rps: float
    """Arrivals per second that the schedule asked for."""
    t0_s: float
    t1_s: float
    client: ClientWindow
    server: ServerFigures
    left_waiting: float
    """Arrivals by which the queue grew, of `client.figures.scheduled`: for a free user, or in flight."""
    died: str | None = None
    """What ended the target under this load."""
    last: SampleRow | None = None
    """The collector's last row in it."""

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        return self.t1_s - self.t0_s


def windows(recording: Recording) -> list[Window]:
    """Return each steady load of a profile, as far as it was reached, in time order; none of a run without stages."""
    begin = next((event["data"] for event in recording.events if event.get("kind") == "stages"), None)
    if begin is None:
        return []
    samples = Samples(recording.samples, recording.ticks_s)
    end_s, death = _end_s(recording, begin), death_of(recording)
    found = []
    for stage in begin["stages"]:
        start_s = begin["t_start_s"] + stage["start_s"]
        over_s = min(end_s, start_s + stage["seconds"])
        if stage["from"] != stage["to"] or over_s - start_s < LEAST_S:
            continue
        cut = over_s < start_s + stage["seconds"] - EDGE_S
        span = (start_s + SETTLE_S, over_s)
        found.append(_window(recording.digests, samples, stage["to"], span, death if cut else None))
    return found


def death_of(recording: Recording) -> str | None:
    """Say how the target died while it was recorded; None when it did not."""
    exits = [event["data"] for event in recording.events if event.get("kind") == "target-exit"]
    return str(exits[0].get("message", "the target died")) if exits else None


def _end_s(recording: Recording, begin: dict[str, Any]) -> float:
    """Return when the profile ended: as asked, or earlier where its last slice or the last row did."""
    ends = [
        event["data"]["t_end_s"]
        for event in recording.events
        if event.get("kind") == "step" and event["data"].get("phase") in {"stage", "void"}
    ]
    last_s = max(ends or [row["t1_s"] for row in recording.digests], default=begin["t_start_s"])
    return float(min(begin["t_start_s"] + begin["seconds"], last_s))


def _window(
    digests: Sequence[DigestRow], samples: Samples, load: float, span: tuple[float, float], died: str | None
) -> Window:
    t0_s, t1_s = span
    client = client_figures(digests, t0_s, t1_s)
    figures = client.figures
    queued = figures.scheduled - figures.started + _inflight(digests, t1_s) - _inflight(digests, t0_s)
    rows = samples.between(t0_s, t1_s)
    return Window(
        offered_rps=load,
        t0_s=t0_s,
        t1_s=t1_s,
        client=client,
        server=server_figures(samples, client.rows, t0_s, t1_s),
        left_waiting=max(0.0, float(queued)),
        died=died,
        last=rows[-1] if rows else None,
    )


def _inflight(digests: Sequence[DigestRow], at_s: float) -> int:
    """Return the requests in flight at a time, over all load processes, by the last row of each until then."""
    last: dict[int, DigestRow] = {}
    for row in digests:
        known = last.get(row["process"])
        if row["t1_s"] <= at_s + EDGE_S and (known is None or row["t1_s"] > known["t1_s"]):
            last[row["process"]] = row
    return sum(row["inflight"] for row in last.values())
