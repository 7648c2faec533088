"""Inventory: four kinds of users, a table of targets in green, yellow and red, three sizes of load, and an audit.

The document this came with names the targets, which are green. It says of yellow only "performance degradation" and
of red "under stress or failing"; here yellow reaches to twice a latency, five times the errors, and the light load's
rate of throughput. Sold is sold: what was oversold, and a stock below zero, has no yellow.
"""

from pinchpoint.packs import Pack, Part, Preset, Target

READS = (
    "/products",
    "/products/search",
    "/products/[id]",
    "/orders",
    "/orders/[id]",
    "/inventory/health",
    "/docs",
)
WRITES = (
    "/products/create",
    "/products/create/for-sale",
    "/products/create/last-pieces",
    "/products/[id]/change",
    "/products/[id]/restock",
    "/orders/create",
    "/orders/last-piece",
    "/orders/[id]/pay",
    "/orders/[id]/ship",
)
COMPLEX = (
    "/products/bulk",
    "/orders/create/several",
    "/orders/[id]/cancel",
    "/inventory/summary",
    "/inventory/activity",
)
"""Many rows, several tables, or figures over all of them."""

LIGHT_RPS, MEDIUM_RPS, HEAVY_RPS = 100.0, 300.0, 500.0

PACK = Pack(
    parts=(
        Part(
            name="Inventory Management",
            endpoints=(
                "/products",
                "/products/search",
                "/products/[id]",
                "/products/create",
                "/products/[id]/change",
                "/products/[id]/restock",
                "/products/[id]/delete",
                "/products/bulk",
            ),
            presses="create, read, update and delete on one table, and a search that no index serves",
            weight=30,
            peak_users=55,
        ),
        Part(
            name="Order Processing",
            endpoints=(
                "/products/create/for-sale",
                "/orders/create",
                "/orders/create/several",
                "/orders",
                "/orders/[id]",
                "/orders/[id]/pay",
                "/orders/[id]/ship",
                "/orders/[id]/cancel",
            ),
            presses="transactions over three tables, on twenty rows that everybody takes from",
            weight=50,
            peak_users=91,
        ),
        Part(
            name="Monitoring",
            endpoints=("/inventory/health", "/inventory/summary", "/inventory/activity", "/docs"),
            presses="sums over all products and orders, which grow with what the others do",
            weight=20,
            peak_users=36,
        ),
        Part(
            name="High Concurrency",
            endpoints=("/orders/last-piece", "/products/create/last-pieces"),
            presses="one row that all of them want at once, and the refusal of all but five",
            weight=10,
            peak_users=18,
        ),
    ),
    targets=(
        Target(name="GET requests", metric="avg_ms", endpoints=READS, op="<", target=200, acceptable=400),
        Target(name="POST/PUT requests", metric="avg_ms", endpoints=WRITES, op="<", target=500, acceptable=1000),
        Target(name="Complex operations", metric="avg_ms", endpoints=COMPLEX, op="<", target=1000, acceptable=2000),
        Target(name="Throughput, as of the heavy load", metric="rps", op=">=", target=HEAVY_RPS, acceptable=LIGHT_RPS),
        Target(name="Error rate", metric="error_rate", op="<", target=0.01, acceptable=0.05),
        Target(name="Oversold pieces", metric="oversold", op="==", target=0),
        Target(name="Products with negative stock", metric="negative_stock", op="==", target=0),
    ),
    presets=(
        Preset(name="light", users=10, spawn_rate=2, seconds=120, at_least_rps=LIGHT_RPS),
        Preset(name="medium", users=50, spawn_rate=5, seconds=300, at_least_rps=MEDIUM_RPS),
        Preset(name="heavy", users=200, spawn_rate=10, seconds=600, at_least_rps=HEAVY_RPS),
    ),
    grades=("green", "yellow", "red"),
    audit="pinchpoint.app.stock",
)
"""Judged by `pinchpoint run --scenario inventory`."""
