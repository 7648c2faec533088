"""The limits and the load profile that a user gives: options -> `RunConfig` -> what judges a step or a second."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from pinchpoint.commands.staged import stages_budget
from pinchpoint.errors import UsageError
from pinchpoint.rows import SampleRow
from pinchpoint.stress.autostop import parse_criterion
from pinchpoint.stress.ramp import Slo
from pinchpoint.stress.stages import parse_stages
from pinchpoint.stress.stopping import StepRule
from pinchpoint.stress.thresholds import Threshold, parse_threshold, replaced_limits, unlimited

if TYPE_CHECKING:
    from pinchpoint.commands.config import RunConfig
    from pinchpoint.measures import Model
    from pinchpoint.stress.arrivals import Spacing

SPACINGS = ("poisson", "even")


def read_limits(
    model: str,
    stages: str | None,
    thresholds: Sequence[str],
    autostop: Sequence[str],
    arrivals: str,
    budget_s: float | None,
) -> dict[str, Any]:
    """Turn the texts into fields of `RunConfig`, its `budget_s` among them when stages set it.

    Raises:
        UsageError: a text makes no sense, or what is asked does not go together.

    """
    if arrivals not in SPACINGS:
        raise UsageError(f"--arrivals {arrivals!r}: choose `poisson` (bursts, as many users make) or `even`")
    profile = None if stages is None else parse_stages(stages, cast("Model", model))
    criteria = tuple(parse_criterion(text) for text in autostop)
    if profile is None and any(one.kind == "limit" for one in criteria):
        raise UsageError("--autostop limit(...) goes with --stages; a search ends with its --budget")
    found: dict[str, Any] = {
        "stages": profile,
        "thresholds": tuple(parse_threshold(text) for text in thresholds),
        "autostop": criteria,
        "spacing": cast("Spacing", arrivals),
    }
    if profile is not None:
        found["budget_s"] = stages_budget(profile, budget_s)
    return found


def slo_of(config: "RunConfig", samples: Callable[[], Sequence[SampleRow]] = tuple) -> Slo:
    """Return what a step is judged by; `samples` gives the collector's rows for criteria on server signals."""
    p95_ms, errors, rest = replaced_limits(config.thresholds, config.p95_ms, config.max_error_rate)
    # With stages each second is watched for autostop; in a search each step is.
    rules = [] if config.stages is not None else [StepRule(one, config.max_users, samples) for one in config.autostop]
    return Slo(unlimited(p95_ms), unlimited(errors), (*rest, *rules))


def limits_shown(config: "RunConfig") -> dict[str, float | None]:
    """Return `slo` of `run.json`: null for a default that the user's thresholds replace."""
    p95_ms, errors, _ = replaced_limits(config.thresholds, config.p95_ms, config.max_error_rate)
    return {"p95_ms": p95_ms, "max_error_rate": errors}


def load_shown(config: "RunConfig") -> dict[str, Any]:
    """Return the part of `run.json`'s `load` that comes from here."""
    return {
        "stages": config.stages.text if config.stages is not None else None,
        "thresholds": [str(one) for one in config.thresholds],
        "autostop": [str(one) for one in config.autostop],
        "arrivals": config.spacing,
    }


def recorded_thresholds(load: dict[str, Any]) -> list[Threshold]:
    """Read the thresholds of a recorded run; one that this version does not understand is left out."""
    found = []
    for text in load.get("thresholds") or []:
        try:
            found.append(parse_threshold(str(text)))
        except UsageError:
            continue
    return found
