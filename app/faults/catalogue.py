"""All cases of the fault zoo, and the cut of their families in two, made before any rule was tuned on a recording.

Rules may be tuned on recordings of `TUNED` only. The other families are diagnosed to be counted, not to be looked at.
The halves were drawn so that each class of bottleneck has families in both.
"""

from importlib import import_module

from .case import Case

MODULES = (
    "cpu", "memory", "databases", "data_queries", "data_locks", "pools", "servers", "blocking", "locks", "devices",
    "mixed", "negatives", "generators",
)  # fmt: skip

TUNED = frozenset(
    {
        "python-loop", "native", "one-worker", "neighbour",
        "leak",
        "missing-index-sqlite", "fsync", "downstream", "n-plus-one",
        "db-pool", "idle-in-transaction", "threadpool", "http-pool", "sync-slots", "backlog",
        "sleep", "requests", "log-pipe",
        "sqlite-writer", "file-lock",
        "mixed-equal", "mixed-nested",
        "healthy", "cache", "noise",
        "generator-quota",
    }
)  # fmt: skip
HELD_OUT = frozenset(
    {
        "serialise", "regex", "password", "gil", "quota", "imbalance",
        "memory-limit",
        "missing-index-server", "big-answers",
        "query-delay", "tokens", "token-pool-deadlock", "gthread-slots", "concurrency-limit",
        "sync-driver", "smtp",
        "hot-row", "thread-lock", "async-lock",
        "mixed-masked", "mixed-alternating",
        "under-loaded", "rate-limited", "warm-up", "slow-but-idle",
        "generator-file",
    }
)  # fmt: skip

SPARE = frozenset(
    {
        "python-loop-threadpool", "serialise-gthread", "regex-gthread", "native-executor", "gil-gthread",
        "one-worker-sync", "quota-two-workers", "imbalance-sticky-gthread",
        "db-pool-two-workers", "db-pool-asyncpg", "query-delay-wsgi", "idle-in-transaction-sync",
        "missing-index-postgresql-sync", "hot-row-sync", "sqlite-writer-async",
        "threadpool-partner", "tokens-starlette", "deadlock-response-model", "gthread-slots-two-workers",
        "sync-slots-partner", "concurrency-limit-threads", "backlog-bursts",
        "sleep-in-middleware-2-workers", "sync-session-in-async-2-workers",
        "thread-lock-around-refresh", "async-lock-2-workers", "file-lock-sync-workers",
        "equal-blocking-db-pool", "nested-file-lock",
        "healthy-two-workers", "under-loaded-slots", "noise-beside-the-load", "cache-expiring", "slow-but-idle-threads",
        "generator-quota-10", "generator-quota-5-wsgi", "generator-file-compares",
    }
)  # fmt: skip
"""Further variants of families that have others: left out of a pass, which has 75 minutes; `--all` presses them too."""


def all_cases() -> tuple[Case, ...]:
    """Return every case, in the order of `MODULES`; importing them starts and serves nothing."""
    found: list[Case] = []
    for name in MODULES:
        found += import_module(f".cases.{name}", __package__).CASES
    return tuple(found)


def tuned(case: Case) -> bool:
    """Return True when rules may be tuned on this case. Raises ValueError for a family of neither half."""
    if case.family not in TUNED | HELD_OUT:
        raise ValueError(f"family '{case.family}' of case '{case.name}' is in neither half")
    return case.family in TUNED
