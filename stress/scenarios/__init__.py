"""The bundled load scenarios: plain Locust files, listed here without importing Locust."""

from dataclasses import dataclass
from pathlib import Path

from pinchpoint.packs import AUDITED, Pack
from pinchpoint.stress.scenarios import pack_customers, pack_fastapi, pack_inventory, pack_openuser, pack_petstore

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bundled Locust file."""

    name: str
    path: Path
    description: str
    """What a virtual user does."""
    presses: str
    """What of an app it puts under load, in words."""
    pack: Pack | None = None
    """Parts, targets and presets that come with it; None: just the file."""


def _scenario(name: str, description: str, presses: str, pack: Pack | None = None) -> Scenario:
    return Scenario(name, _HERE / f"{name}.py", description, presses, pack)


_SPECIAL_CASES = Pack(
    targets=tuple(target for target in pack_inventory.PACK.targets if target.metric in AUDITED),
    grades=pack_inventory.PACK.grades,
    model="users",
    staged=((0.1, 20), (0.9, 20)),  # the document's own: -u 20 -r 5
    audit=pack_inventory.PACK.audit,
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _scenario(
            "items",
            "log in once, then read the root (1), read an item (3) and create an item (1)",
            "reading by key, one small insert; the app's own work per request",
        ),
        _scenario(
            "customers",
            "create (3), get (4), change (2), delete (1) and list (1) customers, and send invalid ones (1)",
            "create, read, update and delete on one table, paging, and the refusal of invalid input",
            pack_customers.PACK,
        ),
        _scenario(
            "petstore",
            "create pets, order pets, create users and log users in, as k6-style scenarios with stages",
            "inserts under unique keys, orders that one client alone can win, and a login that reads one row",
            pack_petstore.PACK,
        ),
        _scenario(
            "inventory",
            "manage products (30), order, pay and ship (50), watch (20), and race for the last pieces (10)",
            "transactions on rows that everybody wants: stock under contention, bulk writes, aggregates",
            pack_inventory.PACK,
        ),
        _scenario(
            "inventory_scenarios",
            "race for five pieces, write in bulk, sell out and restock, watch closely, and ask for what cannot be had",
            "the special cases of the inventory: one row that all want, sold-out stock, refusals",
            _SPECIAL_CASES,
        ),
        _scenario(
            "openuser",
            "check the health, read the root and one's account, list and create agents, register and log in",
            "cheap reads and a cache beside password hashing and writes",
            pack_openuser.PACK,
        ),
        _scenario(
            "fastapi",
            "read the root (1), read an item by id (3) and create an item (1), with 10, 50, 100 and 200 users",
            "the steps of users at which latency and errors leave their limits, and what gives way first",
            pack_fastapi.PACK,
        ),
    )
}
"""Scenarios for `--scenario NAME`."""

PATHS_FILE = _HERE / "paths.py"
"""Locust file behind `--get PATH`."""

PATHS_VARIABLE = "PINCHPOINT_GET_PATHS"
"""Environment variable with the paths of `PATHS_FILE`: a JSON list of strings."""
