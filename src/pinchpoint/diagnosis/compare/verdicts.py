"""What became of the bottleneck between two runs: it moved, it stayed and its limit changed, or it is gone."""

from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from pinchpoint import units
from pinchpoint.diagnosis.compare.levels import levels
from pinchpoint.diagnosis.compare.noise import Change
from pinchpoint.diagnosis.compare.runs import Side
from pinchpoint.records import Location, Resource, Verdict

MoveKind = Literal["moved", "stayed", "gone", "appeared", "none", "unknown"]
NAMELESS = frozenset({"none", "generator", "undetermined"})


@dataclass(frozen=True, slots=True)
class Move:
    """The answer to "did the change cure it, and what is next?"."""

    kind: MoveKind
    """`none`: nothing binds in either run; `unknown`: one of the verdicts names nothing."""
    statement: str


def move(before: Side, after: Side, limit: Change) -> Move:
    """Say what became of the bottleneck.

    Args:
        before: the earlier run.
        after: the later one.
        limit: the change of the highest rate that the app serves.

    """
    old, new = before.diagnosis.verdict, after.diagnosis.verdict
    for side, verdict in ((before, old), (after, new)):
        if verdict.class_ in {"generator", "undetermined"}:
            return Move("unknown", f"What binds in {side.name} cannot be told: {verdict.summary}")
    doubts = [side.name for side in (before, after) if side.diagnosis.verdict.status == "ambiguous"]
    doubt = f" (The verdict on {' and on '.join(doubts)} is ambiguous.)" if doubts else ""
    kind, text = _told(before, after, limit)
    return Move(kind, text + doubt)


def _told(before: Side, after: Side, limit: Change) -> tuple[MoveKind, str]:
    old, new = before.diagnosis.verdict, after.diagnosis.verdict
    if old.class_ in NAMELESS and new.class_ in NAMELESS:
        return "none", f"Nothing binds in either run: up to {_held(before)} before, up to {_held(after)} now."
    if old.class_ in NAMELESS:
        return "appeared", f"Nothing bound up to {_held(before)} before; now {name(new)} binds{_at(after)}."
    if new.class_ in NAMELESS:
        return "gone", f"The bottleneck {name(old)} is gone: nothing binds up to {_held(after)}."
    if (old.class_, old.cause) == (new.class_, new.cause):
        return "stayed", f"The bottleneck stayed {name(old)}{_elsewhere(old, new)}; {_limit(before, after, limit)}."
    return "moved", f"The bottleneck moved from {name(old)} to {name(new)}{_ceilings(before, after)}."


def name(verdict: Verdict) -> str:
    """Return `pool/db-pool`."""
    return f"{verdict.class_}/{verdict.cause}"


def served(side: Side) -> float | None:
    """Return the highest rate that the app serves: the plateau, else what was sustained; requests/s."""
    capacity = side.diagnosis.capacity
    return capacity.saturation_rps if capacity.saturation_rps is not None else capacity.sustainable_rps


def _at(side: Side) -> str:
    rate = served(side)
    return f" at {units.rps(rate)}" if rate is not None else ""


def _held(side: Side) -> str:
    heaviest = max((level.load for level in levels(side.diagnosis.steps) if level.held), default=None)
    return f"{units.number(heaviest)} users" if side.model == "users" else units.rps(heaviest)


def _limit(before: Side, after: Side, limit: Change) -> str:
    told = f"{units.rps(served(before))} to {units.rps(served(after))}"
    if limit.ratio is None:
        return f"how far its limit went is not known ({told})"
    by = units.percent(abs(limit.ratio - 1))
    if limit.side == "above":
        return f"its limit rose by {by} ({told})"
    if limit.side == "below":
        return f"its limit fell by {by} ({told})"
    return f"its limit is the same as far as the noise allows to say ({told})"


def _elsewhere(old: Verdict, new: Verdict) -> str:
    """Say when the same binds at another place of the code; lines move with every edit, so they do not count."""
    one, two = _place(old.location), _place(new.location)
    return "" if one is None or two is None or one == two else f", but went from {one} to {two}"


def _place(location: Location) -> str | None:
    if not location.function:
        return None
    return f"{location.function} ({PurePath(location.file).name})" if location.file else location.function


def _ceilings(before: Side, after: Side) -> str:
    """Say what the ledger says of the old bottleneck now, and whether it saw the new one coming."""
    resource = binding(before)
    old, new = (_row(side, resource) for side in (before, after))
    told = ""
    if old is not None and new is not None and old.ceiling_rps is not None and new.ceiling_rps is not None:
        told = f": the ceiling of {resource} went from {units.rps(old.ceiling_rps)} to {units.rps(new.ceiling_rps)}"
    wall = before.diagnosis.verdict.next_wall
    if wall is not None and wall.resource == binding(after):
        told += f"{',' if told else ':'} as the ledger of {before.name} foretold ({units.rps(wall.ceiling_rps)})"
    return told


def binding(side: Side) -> str | None:
    """Return the row of the ledger that binds, as far as the verdict names one."""
    verdict = side.diagnosis.verdict
    same = [one.resource for one in verdict.by_step if (one.class_, one.cause) == (verdict.class_, verdict.cause)]
    return same[0] if same else verdict.cause if _row(side, verdict.cause) is not None else None


def _row(side: Side, resource: str | None) -> Resource | None:
    return next((row for row in side.diagnosis.ledger if row.resource == resource), None)
