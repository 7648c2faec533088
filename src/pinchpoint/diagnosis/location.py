"""Where to look: the endpoint that takes the time, the app's function from the profiles, the knob of a pool."""

from collections.abc import Sequence

from pinchpoint.diagnosis.awaited import place_of
from pinchpoint.diagnosis.facts import Candidate, Facts
from pinchpoint.diagnosis.steps import low_steps
from pinchpoint.records import AwaitPlace, HotFrame, Location, Profile, ProfileKind

MIN_APP_SHARE = 0.1
"""An app function with less of the profile is not worth pointing at."""

DEEPEST_KEEPS = 0.5
"""The function to blame is the deepest one that still carries half of what the app's code carries."""

ENDPOINT_SHARE = 0.5
"""An endpoint is named when it takes at least half of the time spent in all."""

KNOBS = {
    "db-pool": "pool_size + max_overflow",
    "threadpool": "threadpool tokens (anyio limiter)",
    "too-few-workers": "workers",
    "worker-slots": "workers x threads",
    "http-pool": "connection limit of the HTTP client",
    "admission-limit": "limit_concurrency, the semaphore's size or the rate limit",
    "accept-backlog": "backlog, net.core.somaxconn",
    "token-pool-deadlock": "pool_size + max_overflow against threadpool tokens",
    "cpu-quota": "cpu.max, cpu.cfs_quota_us",
    "limit": "memory.max, memory.limit_in_bytes",
}

KNOBS_OF_ROWS = {"executor": "max_workers of the ThreadPoolExecutor"}
"""Row of the ledger that binds -> its knob, where the cause has several."""

PROFILE_OF: dict[str, tuple[ProfileKind, ...]] = {"cpu": ("cpu",), "blocking": ("wall", "cpu"), "io": ("wall", "cpu")}


def locate(facts: Facts, candidate: Candidate) -> Location:
    """Return what can be pointed at; parts that are not known stay None.

    Where the app awaits what binds comes before where it runs: an event loop's profiles show other requests' code.
    """
    place = place_of(facts, candidate)
    frame = place or blamed(facts.profiles, PROFILE_OF.get(candidate.class_, ()))
    return Location(
        endpoint=place.endpoint if place else _endpoint(facts) if candidate.class_ != "memory" else None,
        function=frame.function if frame else None,
        file=frame.file if frame else None,
        line=frame.line if frame else None,
        knob=KNOBS_OF_ROWS.get(candidate.resource or "") or KNOBS.get(candidate.cause),
    )


def at(place: AwaitPlace | None) -> Location:
    """Return where requests wait; empty without a place."""
    return Location() if place is None else Location(place.endpoint, place.function, place.file, place.line)


def blamed(profiles: Sequence[Profile], kinds: Sequence[ProfileKind]) -> HotFrame | None:
    """Return the app's function to blame, from the profiles near the limit, else from the baseline's."""
    for kind in kinds:
        for phase in ("profile-limit", "profile-baseline"):
            chosen = [profile for profile in profiles if profile.kind == kind and profile.phase == phase]
            frame = _deepest([frame for profile in chosen for frame in profile.hot if frame.owner == "app"])
            if frame is not None:
                return frame
    return None


def _deepest(frames: Sequence[HotFrame]) -> HotFrame | None:
    """Pick the frame with most own time, else the deepest: inclusive shares only shrink on the way down a stack."""
    if not frames:
        return None
    own = max(frames, key=lambda frame: frame.self_share)
    if own.self_share >= MIN_APP_SHARE:
        return own
    most = max(frame.total_share for frame in frames)
    if most < MIN_APP_SHARE:
        return None
    return min((frame for frame in frames if frame.total_share >= DEEPEST_KEEPS * most), key=lambda f: f.total_share)


def _endpoint(facts: Facts) -> str | None:
    spent: dict[str, float] = {}
    for step in low_steps(facts.ladder):
        for endpoint in step.client.endpoints:
            if endpoint.mean_ms is not None and not endpoint.name.startswith("setup: "):
                # By the mean: what is dear in three of ten requests is dear, whatever the median says.
                spent[endpoint.name] = spent.get(endpoint.name, 0.0) + endpoint.ok * endpoint.mean_ms
    total = sum(spent.values())
    if total <= 0:
        return None
    name = max(spent, key=lambda key: spent[key])
    return name if spent[name] >= ENDPOINT_SHARE * total else None
