"""What simpler rules would have said of the same recording: what a diagnosis has to beat (METHOD §7.3).

Each rule gets the best case: the step at which the app broke, found for it; every gauge that the probe has; and a line
below which it names nothing, so that an idle server is not accused. None of them knows what is held behind what.
"""

from collections.abc import Sequence

from pinchpoint.diagnosis.clinic_rules import clinic_doctor
from pinchpoint.diagnosis.saturation import pool_use, running_use
from pinchpoint.diagnosis.steps import Ladder, build_steps, ladder
from pinchpoint.diagnosis.windows import Samples, machine_of
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.recording import Recording
from pinchpoint.records import HotFrame, Profile

Answer = tuple[str, str]

NOTHING: Answer = ("none", "not-saturated")
UNKNOWN: Answer = ("undetermined", "too-few-samples")

HIGH_USE = 0.7
"""Utilisation below which the rule names nothing: the level from which Gregg's USE method sees a problem."""

SAME_USE = 0.05
"""Utilisations are compared in these steps: no gauge is finer. Of equal ones the first of `_uses` is named."""

A_QUEUE = 1.0
"""Waiting on average, below which the longest queue is none."""

HOT = 0.1
"""Share of the hottest frame, below which no frame is hot."""

CAUSE: dict[str, Answer] = {
    "cpu": ("cpu", "python-code"),
    "loop": ("blocking", "sync-call"),
    "db": ("pool", "db-pool"),
    "threadpool": ("pool", "threadpool"),
    "executor": ("pool", "threadpool"),
    "http": ("pool", "http-pool"),
    "slots": ("pool", "worker-slots"),
    "lock": ("lock", "python-lock"),
    "disk": ("io", "disk"),
    "memory": ("memory", "limit"),
    "query": ("io", "slow-query"),
    "call": ("io", "downstream"),
    "sqlite": ("lock", "sqlite-writer"),
    "backlog": ("pool", "accept-backlog"),
}
"""What a resource or a queue stands for: the commonest cause of its kind. A loop that is fuller than the CPU blocks."""

POOLS = ("db", "threadpool", "executor", "http", "slots", "lock")


def baselines(recording: Recording, profiles: Sequence[Profile] = ()) -> dict[str, Answer]:
    """Return rule -> (class, cause) for `highest-utilisation`, `longest-queue`, `hottest-frame`, `clinic-doctor`.

    Args:
        recording: the signals of one run.
        profiles: hot frames, as for `diagnose`.

    """
    samples = Samples(recording.samples)
    sorted_out = ladder(build_steps(recording, samples))
    return {
        "highest-utilisation": highest_utilisation(recording, samples, sorted_out),
        "longest-queue": longest_queue(sorted_out),
        "hottest-frame": hottest_frame(profiles),
        "clinic-doctor": clinic_doctor(samples, sorted_out),
    }


def highest_utilisation(recording: Recording, samples: Samples, sorted_out: Ladder) -> Answer:
    """Name the fullest resource at the limit."""
    limit = sorted_out.limit
    if limit is None:
        return UNKNOWN
    cores = machine_of(recording.settings.get("load") or {}, samples.rows).cores
    uses = {**_uses(limit.server, cores), **_outside(samples, limit)}
    known = {name: round(use / SAME_USE) for name, use in uses.items() if use is not None}
    if not known:
        return UNKNOWN
    name = max(known, key=lambda one: known[one])
    return CAUSE[name] if known[name] * SAME_USE >= HIGH_USE else NOTHING


def _uses(server: ServerFigures, cores: float | None) -> dict[str, float | None]:
    return {
        "cpu": running_use(server, cores),
        "loop": server.loop_busy,
        **{name: pool_use(server.pools.get(name)) for name in POOLS},
    }


def _outside(samples: Samples, step: Step) -> dict[str, float | None]:
    """Return how full the disk and the memory were: of the control group, else of the machine."""
    rows = samples.between(step.t_start_s + step.settle_s, step.t_end_s)
    if len(rows) < 2:  # noqa: PLR2004 - a difference needs two rows
        return {}
    first, last = rows[0], rows[-1]
    before, after = first["host"].get("disk_busy_s"), last["host"].get("disk_busy_s")
    disk = None if before is None or after is None else (after - before) / (last["t_s"] - first["t_s"])
    group, host = last["cgroup"], last["host"]
    memory = 1.0 - host["memory_available_bytes"] / host["memory_total_bytes"] if host["memory_total_bytes"] else None
    if group is not None and group["memory_limit_bytes"] and group["memory_bytes"] is not None:
        memory = group["memory_bytes"] / group["memory_limit_bytes"]
    return {"disk": disk, "memory": memory}


def longest_queue(sorted_out: Ladder) -> Answer:
    """Name what most requests (or threads) wait for at the limit, on average."""
    if sorted_out.limit is None:
        return UNKNOWN
    known = {name: size for name, size in _queues(sorted_out.limit.server).items() if size is not None}
    if not known:
        return UNKNOWN
    name = max(known, key=lambda one: known[one])
    return CAUSE[name] if known[name] >= A_QUEUE else NOTHING


def _queues(server: ServerFigures) -> dict[str, float | None]:
    """Return who waits where. Calls in progress count as queueing at whom they call, whose own queue is not seen."""
    calls = [peer.active for peer in server.calls if peer.active is not None and peer.name.startswith("http")]
    door = "slots" if "slots" in server.pools else "backlog"
    queues: dict[str, float | None] = {
        **{name: pool.waiting for name, pool in server.pools.items() if name in POOLS},
        "query": server.db_active,
        "call": sum(calls) if calls else None,
        "sqlite": server.sqlite_busy,
    }
    queues[door] = _added(queues.get(door), server.listen_queue)
    queues["cpu"] = _added(server.runq_cores, _for_the_loop(server, queues))
    return queues


def _for_the_loop(server: ServerFigures, queues: dict[str, float | None]) -> float | None:
    """Return the requests in flight that wait for nothing else: on a busy loop they wait for their turn."""
    if not server.has_loop or server.inflight is None:
        return None
    elsewhere = sum(size or 0.0 for name, size in queues.items() if name != "backlog")
    # Of nested pools the fullest one's members are held by most of those that hold any.
    elsewhere += max((pool.busy or 0.0 for name, pool in server.pools.items() if name != "slots"), default=0.0)
    return max(0.0, server.inflight - elsewhere)


def _added(one: float | None, other: float | None) -> float | None:
    return other if one is None else one + (other or 0.0)


# --- the hottest frame -----------------------------------------------------------------------------------------------

OF_FILES: tuple[tuple[str, Answer], ...] = (
    ("sqlalchemy/pool/", ("pool", "db-pool")),
    ("sqlalchemy/util/queue", ("pool", "db-pool")),
    ("psycopg_pool/", ("pool", "db-pool")),
    ("asyncpg/pool", ("pool", "db-pool")),
    ("httpcore/_sync/connection_pool", ("pool", "http-pool")),
    ("httpcore/_async/connection_pool", ("pool", "http-pool")),
    ("urllib3/connectionpool", ("pool", "http-pool")),
    *((f"{name}/", ("io", "slow-query")) for name in ("sqlite3", "aiosqlite", "asyncpg", "psycopg", "psycopg2")),
    ("psycopg_binary/", ("io", "slow-query")),
    ("sqlalchemy/engine/default", ("io", "slow-query")),
    *((f"{name}/", ("io", "downstream")) for name in ("requests", "urllib3", "httpx", "httpcore", "aiohttp", "http")),
    ("socket.py", ("io", "downstream")),
    ("ssl.py", ("io", "downstream")),
    ("smtplib.py", ("blocking", "sync-call")),
    ("logging/", ("blocking", "sync-call")),
    ("threading.py", ("lock", "python-lock")),
    ("queue.py", ("pool", "threadpool")),
)
"""Part of a file's path -> what a reader of a flame graph takes a leaf in it for; the first one that fits."""

WAITS_FOR_WORK = ("selectors.py", "concurrent/futures/thread.py", "asyncio/runners.py", "asyncio/base_events.py")


def hottest_frame(profiles: Sequence[Profile]) -> Answer:
    """Name what the hottest leaf near the limit does, by whose code it is.

    The wall profile is read where there is one, as it shows waits, too; a leaf that is hot there and cold in the CPU
    profile waits, and a wait in the app's own code is taken for a blocking call.
    """
    near = [profile for profile in profiles if profile.phase == "profile-limit"] or list(profiles)
    wall, cpu = (_leaves(near, kind) for kind in ("wall", "cpu"))
    leaves = wall or cpu
    if not leaves:
        return UNKNOWN
    place = max(leaves, key=lambda one: (leaves[one][0], one))
    share, frame = leaves[place]
    if share < HOT:
        return NOTHING
    known = next((answer for part, answer in OF_FILES if part in frame.file), None)
    if known is not None:
        return known
    if wall and cpu and cpu.get(place, (0.0, frame))[0] < share / 2:
        return "blocking", "sync-call"
    return "cpu", "native-code" if frame.owner == "native" else "python-code"


def _leaves(profiles: Sequence[Profile], kind: str) -> dict[tuple[str, str], tuple[float, HotFrame]]:
    """Return function -> (share as a leaf, frame), over the workers' profiles of a kind; idle threads left out."""
    found: dict[tuple[str, str], tuple[float, HotFrame]] = {}
    for profile in profiles:
        for frame in profile.hot:
            if profile.kind == kind and not frame.file.endswith(WAITS_FOR_WORK):
                before = found.get((frame.file, frame.function), (0.0, frame))[0]
                found[frame.file, frame.function] = max(before, frame.self_share), frame
    return found
