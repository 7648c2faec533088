"""OpenUser: what is measured apart, and the table of load-testing targets that the scenario came with."""

from pinchpoint.packs import Pack, Part, Preset, Target

PACK = Pack(
    parts=(
        Part(
            name="Health Check",
            endpoints=("/health",),
            presses="GET /health: nothing but the server itself",
            weight=6,
        ),
        Part(name="Root Endpoint", endpoints=("/",), presses="GET /: nothing but the server itself", weight=3),
        Part(
            name="User Info",
            endpoints=("/me",),
            presses="GET /me: a token's signature and one row by a unique index",
            weight=3,
        ),
        Part(
            name="Agent Listing",
            endpoints=("/agents",),
            presses="GET /agents: the worker's cache, and after each write one page of rows",
        ),
        Part(
            name="Agent Creation",
            endpoints=("/agents/create",),
            presses="POST /agents: one insert, one writer at a time on SQLite; it empties its owner's cache",
        ),
        Part(
            name="Task Listing",
            endpoints=("/tasks",),
            presses="GET /tasks: a join over the owner's agents",
        ),
        Part(
            name="User Registration",
            endpoints=("/register",),
            presses="POST /register: argon2 in the threadpool, one insert and a unique index",
        ),
        Part(
            name="User Login",
            endpoints=("/login",),
            presses="POST /login: argon2 in the threadpool, one row by a unique index",
        ),
    ),
    targets=(
        Target(name="RPS", metric="rps", op=">", target=100, acceptable=50),
        Target(name="P95 Response Time", metric="p95_ms", op="<", target=500, acceptable=1000),
        Target(name="P99 Response Time", metric="p99_ms", op="<", target=1000, acceptable=2000),
        Target(name="Failure Rate", metric="error_rate", op="<", target=0.001, acceptable=0.01),
        Target(name="Concurrent Users", metric="users", op=">=", target=100, acceptable=50),
    ),
    # The document's own command is `--users 100 --spawn-rate 10 --run-time 5m`: that is "medium".
    presets=(
        Preset(name="light", users=50, spawn_rate=10, seconds=60, at_least_rps=50),
        Preset(name="medium", users=100, spawn_rate=10, seconds=300, at_least_rps=100),
        Preset(name="heavy", users=150, spawn_rate=10, seconds=300, at_least_rps=100),
    ),
    model="users",
    # Gradually, as it asks: the acceptable number of users, the target, and the expected peak and half of it again.
    staged=((0.05, 50), (0.15, 50), (0.05, 100), (0.45, 100), (0.05, 150), (0.25, 150)),
)
"""Judged by `pinchpoint run --scenario openuser`."""
