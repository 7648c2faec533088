"""The petstore's pack: four scenarios with the seed's peaks, as k6 would run them: ramp up, hold, ramp down."""

from pinchpoint.packs import Pack, Part

P95_MS, MAX_ERROR_RATE = 500.0, 0.01
"""k6's own examples of thresholds, `p(95)<500` and `rate<0.01`; the seed names none of its own."""


def _part(name: str, endpoint: str, presses: str, peak_users: int) -> Part:
    return Part(
        name=name,
        endpoints=(endpoint,),
        presses=presses,
        weight=peak_users // 10,
        peak_users=peak_users,
        p95_ms=P95_MS,
        max_error_rate=MAX_ERROR_RATE,
    )


PARTS = (
    _part("Create Pet", "/petstore/pets", "POST /petstore/pets: one insert, so SQLite's only writer", 20),
    _part("Order a Pet", "/petstore/orders", "POST /petstore/orders: an insert that one client alone can win", 30),
    _part("Create User", "/petstore/users", "POST /petstore/users: an insert under an id that the client chose", 30),
    _part("Login User", "/petstore/login", "POST /petstore/login: one read and a quick hash", 30),
)
PEAK_USERS = sum(part.peak_users or 0 for part in PARTS)

PACK = Pack(
    parts=PARTS,
    model="users",
    staged=((0.3, PEAK_USERS), (0.5, PEAK_USERS), (0.2, 0)),
)
