"""FastAPI: populations of 10, 50, 100 and 200 users, then half as many again as the most of them."""

from pinchpoint.packs import Pack, Part, Target

POPULATIONS = (10, 50, 100, 200)
PEAK = max(POPULATIONS)
OVER_PEAK = PEAK + PEAK // 2
RAMP, HOLD = 0.06, 0.14
"""Shares of the time: users arrive one after another (each logs in, which costs the app a password hash), then stay."""

MOST_ERRORS = 0.01
"""Of the requests. The document asks at which load there are more."""

PACK = Pack(
    model="users",
    staged=tuple((share, users) for users in (*POPULATIONS, OVER_PEAK) for share in (RAMP, HOLD)),
    parts=(
        Part(name="Read the root", endpoints=("/",), presses="GET /: the server and the app alone, no database"),
        Part(
            name="Read an item",
            endpoints=("/items/[id]",),
            presses="GET /items/{id}: one row by its key",
            weight=3,
        ),
        Part(
            name="Create an item",
            endpoints=("/items/create",),
            presses="POST /items/: one insert, one writer at a time on SQLite",
        ),
    ),
    targets=(Target(name="Error rate", metric="error_rate", op="<=", target=MOST_ERRORS),),
)
"""Judged by `pinchpoint run --scenario fastapi`."""
