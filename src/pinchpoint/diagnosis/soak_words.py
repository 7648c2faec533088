"""What a soak found, in sentences."""

from pinchpoint import units
from pinchpoint.diagnosis.soak_memory import Stretch, still_grows
from pinchpoint.soak_records import Condition, Drift, Slope, Soak

NAMES = ("memory grows with requests", "growth is no noise", "still growing", "in proportion", "flat without load")
NOT_READ = "the workers' memory could not be read often enough"


def conditions(main: Stretch | None, same: bool | None, still: bool | None, other: Stretch | None) -> list[Condition]:
    """Return the five conditions in METHOD's order: `same` bytes per request under both loads, `still` without load."""
    slope = main.slope if main is not None else None
    if main is None or slope is None or main.grown_bytes is None:
        return [Condition(name, NOT_READ, None) for name in NAMES]
    grown, needed = main.grown_bytes, main.needed_bytes
    late = still_grows(main)
    said = [
        f"{interval(slope)} over {units.count(round(main.requests))} requests",
        f"{units.size(max(0.0, grown))} grown; less than {units.size(needed)} (2 %, or 5 MB a worker) would be noise",
        "too few points in the last third of the requests"
        if main.late is None
        else f"the last third of the requests: {interval(main.late)}",
        f"half the load: {interval(other.slope)}" if other and other.slope else "no second load to compare with",
        {
            True: "memory stands still as soon as the load ends",
            False: "memory goes on changing, or is given back, when the load ends",
            None: "nothing grew that could stand still, or there was no time without load",
        }[still],
    ]
    ok = [slope.low > 0, grown > needed, late, same, still]
    return [Condition(name, text, one) for name, text, one in zip(NAMES, said, ok, strict=True)]


def interval(slope: Slope) -> str:
    """Return a slope of memory with its interval: `38 KiB per request (37 to 39)`."""
    return f"{_bytes(slope.value)} per request ({_bytes(slope.low)} to {_bytes(slope.high)})"


def _bytes(value: float) -> str:
    return f"-{units.size(-value)}" if value < 0 else units.size(value)


def summary(found: Soak) -> str:
    """Return the soak's result in a sentence or two."""
    return " ".join([_leak(found), *_drifting(found), *_restarted(found)])


def _leak(found: Soak) -> str:
    if found.leak == "leak" and found.bytes_per_request is not None:
        said = f"Memory leaks: {interval(found.bytes_per_request)}, under both loads, and none without load."
        if found.seconds_to_limit is None or found.free_bytes is None:
            return said
        left = units.seconds(found.seconds_to_limit)
        return f"{said} At {units.rps(found.rate_rps)} the {units.size(found.free_bytes)} that are free last {left}."
    if found.leak == "no leak":
        seen = found.seen_from_bytes_per_request
        limit = f" A leak of more than {units.size(seen)} per request would have shown." if seen else ""
        return f"No leak: memory does not grow with the requests beyond noise and warm-up.{limit}"
    against = [one for one in found.conditions if one.ok is False]
    if against:
        reasons = "; ".join(f"{one.name}: {one.statement}" for one in against)
        return (
            f"Memory grows, but by no fixed amount per request ({reasons}): something else than requests may fill it."
        )
    unknown = [one for one in found.conditions if one.ok is None]
    reason = f"{unknown[0].name}: {unknown[0].statement}" if unknown else NOT_READ
    return f"Whether memory leaks cannot be told ({reason}). A longer --for can."


def _drifting(found: Soak) -> list[str]:
    moved = [one for one in found.drifts if one.trend in {"grows", "falls"}]
    told = [
        f"{one.signal} {_verb(one)} ({units.quantity(one.start, one.unit)} to {units.quantity(one.end, one.unit)})"
        for one in moved
    ]
    return [f"With the requests served, {', '.join(told)}."] if told else []


def _verb(one: Drift) -> str:
    many = one.signal.endswith("s")
    return one.trend.removesuffix("s") if many else one.trend


def _restarted(found: Soak) -> list[str]:
    if not found.restarts:
        return []
    count = sum(len(one.pids) for one in found.restarts)
    who = "a worker was" if count == 1 else f"{count} workers were"
    who = who[0].upper() + who[1:]
    return [f"{who} replaced meanwhile (max_requests, or a crash): memory was judged between restarts only."]
