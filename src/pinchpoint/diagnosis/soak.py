"""A long steady load: does memory grow with the requests, does anything else, and when does it run out. Pure.

METHOD §5.7: five conditions together make a leak. One of the first three against it, and there is none that this soak
could see; the last two against it, and what grows is no memory that a request keeps.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from pinchpoint.diagnosis.memory import free_bytes
from pinchpoint.diagnosis.soak_drift import cpu_ms_per_request, drifts
from pinchpoint.diagnosis.soak_memory import SETTLE_S, Stretch, alike, flat, seconds_of, settled, stretch_of
from pinchpoint.diagnosis.soak_signals import Look, Served, looks, restarts
from pinchpoint.diagnosis.soak_words import conditions, summary
from pinchpoint.diagnosis.windows import Samples
from pinchpoint.measures import Step
from pinchpoint.rows import DigestRow
from pinchpoint.soak_records import LeakVerdict, Soak, SoakLoad, SoakPoint

LOADS_DIFFER = 0.05
"""A load is another one when it is lower by this share."""


LEAST_SECONDS = 12.0
"""Of a load, its warm-up left out: an app that is stopped sooner shows neither a leak nor that there is none."""


def soak(steps: Sequence[Step], samples: Samples, digests: Sequence[DigestRow]) -> Soak | None:
    """Return what a soak shows; None when the run was none."""
    slices = [step for step in steps if step.phase == "soak"]
    if not slices:
        return None
    origin_s, end_s = slices[0].t_start_s, slices[-1].t_end_s
    served, found = Served(digests), looks(samples, origin_s, end_s)
    loads = [list(group) for _, group in groupby(slices, key=lambda step: round(step.offered_rps or 0.0, 6))]
    first = loads[0]
    rate_rps = first[0].offered_rps or 0.0
    second = next((one for one in loads[1:] if 0 < (one[0].offered_rps or 0) < (1 - LOADS_DIFFER) * rate_rps), [])
    idle = next((one for one in loads if not one[0].offered_rps), [])
    main, other = (stretch_of(found, served, one) for one in (first, second))
    if main is not None and main.seconds < LEAST_SECONDS:
        main = None
    judged = conditions(main, alike(main, other), flat(found, main, idle), other)
    leak = _leak([one.ok for one in judged])
    free = _free(samples, end_s)
    pace = _requests(first, served) / max(1e-9, seconds_of(first))
    grows = main.slope.value * pace if main is not None and main.slope is not None else 0.0
    left_s = free / grows if leak == "leak" and free is not None and grows > 0 else None
    result = Soak(
        leak=leak,
        summary="",
        rate_rps=rate_rps,
        seconds=end_s - origin_s,
        requests=served.between(origin_s, end_s),
        bytes_per_request=main.slope if main is not None else None,
        seen_from_bytes_per_request=main.needed_bytes / main.requests if main and main.requests > 0 else None,
        free_bytes=free,
        seconds_to_limit=left_s,
        loads=[_load(one, served, stretch_of(found, served, one)) for one in loads],
        conditions=judged,
        drifts=drifts(settled(first), found, served),
        restarts=restarts(found, served, origin_s),
        points=_points(slices, found, served),
        broke=_broke(slices),
    )
    return replace(result, summary=summary(result))


def _leak(ok: Sequence[bool | None]) -> LeakVerdict:
    """Fold the five conditions, in their order."""
    grows, proportion = ok[:3], ok[3:]
    if False in grows:
        return "no leak"
    if None in grows or False in proportion or all(one is None for one in proportion):
        return "cannot tell"
    return "leak"


def _requests(slices: Sequence[Step], served: Served) -> int:
    return served.between(slices[0].t_start_s, slices[-1].t_end_s)


def _load(slices: Sequence[Step], served: Served, stretch: Stretch | None) -> SoakLoad:
    return SoakLoad(
        offered_rps=slices[0].offered_rps or 0.0,
        seconds=seconds_of(slices),
        requests=_requests(slices, served),
        grown_bytes=stretch.grown_bytes if stretch is not None else None,
        bytes_per_request=stretch.slope if stretch is not None else None,
    )


def _free(samples: Samples, end_s: float) -> float | None:
    rows = samples.between(end_s - SETTLE_S, end_s) or samples.rows[-1:]
    return min(free_bytes(rows[-1]), default=None) if rows else None


def _points(slices: Sequence[Step], found: Sequence[Look], served: Served) -> list[SoakPoint]:
    origin_s = slices[0].t_start_s
    points = []
    at = 0
    for step in slices:
        while at + 1 < len(found) and found[at + 1].t_s <= step.t_end_s:
            at += 1
        seen = found[at] if found and found[at].t_s >= step.t_start_s else None
        points.append(
            SoakPoint(
                t_s=round(step.t_end_s - origin_s, 3),
                requests=served.between(origin_s, step.t_end_s),
                offered_rps=step.offered_rps,
                goodput_rps=step.goodput_rps,
                error_rate=step.error_rate,
                p95_ms=step.latency_ms.p95 if step.latency_ms is not None else None,
                pss_bytes=seen.memory_bytes if seen else None,
                rss_bytes=seen.rss_bytes if seen else None,
                cpu_ms_per_request=cpu_ms_per_request(step),
                fds=seen.fds if seen else None,
                threads=seen.threads if seen else None,
                passed=step.passed,
            )
        )
    return points


def _broke(slices: Sequence[Step]) -> list[str]:
    """Return each kind of breach once, as first met, with how many slices it was met in."""
    kinds: dict[str, list[str]] = {}
    for step in slices:
        for text in step.breaches:
            kinds.setdefault(re.sub(r"[\d.,]+", "#", text), []).append(text)
    return [f"{texts[0]} ({len(texts)} of {len(slices)} slices)" for texts in kinds.values()]
