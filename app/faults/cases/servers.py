"""Cases in which the web server's own slots, admission or accept queue are what runs out."""

from ..case import Case, Label
from ..loss import utilisation_at
from .pools import partner

SERVING = "pinchpoint.app.faults.serving"
SLOTS = (Label("pool", "worker-slots"),)
ADMISSION = (Label("pool", "admission-limit"),)
BACKLOG = (Label("pool", "accept-backlog"),)

FLASK_S = 0.001
"""What gunicorn and Flask add while a slot is held; measured at the ceiling on a 2-core machine."""
SYNC_S = 0.0015
"""The same for a sync worker, which also accepts and closes."""
LATE = 0.05
"""Share of late answers that breaks a limit on the 95th percentile."""


def gunicorn(app: str, *words: str) -> tuple[str, ...]:
    """Return gunicorn's command line with `words`, on the run's port."""
    return ("--", "{python}", "-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--no-control-socket", *words, app)


def uvicorn(app: str, *words: str) -> tuple[str, ...]:
    """Return uvicorn's command line with `words`, on the run's port; each answer closes its connection."""
    closing = ("--no-access-log", "--header", "connection:close")
    return ("--", "{python}", "-m", "uvicorn", "--port", "{port}", *closing, *words, app)


def coupon_s(severity: float) -> float:
    """Return how long a coupon's check keeps the only slot, in seconds."""
    return 0.006 * severity + SYNC_S


def statements(severity: float) -> tuple[tuple[float, float], ...]:
    """Return (share, seconds) of short and long statements, as each keeps the only slot."""
    return ((0.9, 0.002 * severity + SYNC_S), (0.1, 0.04 * severity + SYNC_S))


def mean_s(service: tuple[tuple[float, float], ...]) -> float:
    """Return the mean of (share, seconds)."""
    return sum(share * seconds for share, seconds in service)


CASES: tuple[Case, ...] = (
    Case(
        name="gthread-slots",
        family="gthread-slots",
        kind="single",
        labels=SLOTS,
        binds="4 threads of one gunicorn worker, each kept by a request that waits",
        formula="4 / (20 ms · severity + 1 ms)",
        ceiling_rps=lambda severity: 4 / (0.02 * severity + FLASK_S),
        second_rps=lambda _severity: 1200.0,
        second_binds="the worker's core",
        target=(f"{SERVING}.servers_receipts:app",),
        knobs=("--threads", "4"),
        cured_knobs=("--threads", "32"),
        load=("--get", "/receipts/12"),
        connections=32,
        flavour="wsgi",
    ),
    Case(
        name="gthread-slots-two-workers",
        family="gthread-slots",
        kind="single",
        labels=SLOTS,
        binds="2 · 3 threads of gunicorn, each kept by a query that waits in an idle PostgreSQL",
        formula="2 · 3 / (30 ms · severity + 3 ms)",
        ceiling_rps=lambda severity: 6 / (0.03 * severity + 0.003),
        second_rps=lambda severity: min(500.0, 48 / (0.03 * severity + 0.003)),
        second_binds="2 · 24 connections, or the cores",
        target=(f"{SERVING}.servers_stock:app",),
        knobs=("--workers", "2", "--threads", "3"),
        cured_knobs=("--workers", "2", "--threads", "24"),
        load=("--get", "/stock/12"),
        connections=48,
        database="postgresql",
        server_cores=2,
        flavour="wsgi",
    ),
    Case(
        name="sync-slots",
        family="sync-slots",
        kind="single",
        labels=SLOTS,
        binds="two sync workers of gunicorn, one request each, kept by requests that wait",
        formula="2 / (20 ms · severity + 1.5 ms)",
        ceiling_rps=lambda severity: 2 / (0.02 * severity + SYNC_S),
        second_rps=lambda _severity: 600.0,
        second_binds="the cores, with more slots",
        target=(f"{SERVING}.servers_receipts:app",),
        knobs=("--workers", "2", "--worker-class", "sync"),
        cured_knobs=("--workers", "2", "--worker-class", "gthread", "--threads", "16"),
        load=("--get", "/receipts/12"),
        connections=24,
        server_cores=2,
        flavour="wsgi",
    ),
    Case(
        name="sync-slots-partner",
        family="sync-slots",
        kind="single",
        labels=SLOTS,
        binds="the one slot of a sync worker, kept by a request that waits for a partner who would serve any number",
        formula="1 / (15 ms · severity + 4 ms)",
        ceiling_rps=lambda severity: 1 / (0.015 * severity + 0.004),
        second_rps=lambda _severity: 350.0,
        second_binds="the worker's core, with more slots",
        target=(f"{SERVING}.servers_delivery:app",),
        cured_knobs=("--threads", "16"),
        load=("--get", "/delivery/0150"),
        connections=16,
        companions=(partner("COURIER_URL", 15),),
        flavour="wsgi",
    ),
    Case(
        name="concurrency-limit",
        family="concurrency-limit",
        kind="single",
        labels=ADMISSION,
        binds="uvicorn's --limit-concurrency 21: the 21st connection is answered with 503, while core and loop idle",
        formula="20 / (100 ms · severity + 2 ms), and 0.60 of it with at most 1 % turned away (Erlang B)",
        ceiling_rps=lambda severity: 20 / (0.1 * severity + 0.002),
        second_rps=lambda _severity: 1200.0,
        second_binds="the worker's core, with a connection per request",
        severities=(1.0, 2.0, 3.0),
        target=uvicorn(f"{SERVING}.servers_quotes:app", "--limit-concurrency", "21"),
        cured_target=uvicorn(f"{SERVING}.servers_quotes:app"),
        load=("--get", "/quotes/4"),
        connections=40,
    ),
    Case(
        name="concurrency-limit-threads",
        family="concurrency-limit",
        kind="single",
        labels=ADMISSION,
        binds="uvicorn's --limit-concurrency 16: the 16th connection is answered with 503, while threads and core idle",
        formula="15 / (60 ms · severity + 3 ms), and 0.54 of it with at most 1 % turned away (Erlang B)",
        ceiling_rps=lambda severity: 15 / (0.06 * severity + 0.003),
        second_rps=lambda severity: 40 / (0.06 * severity + 0.003),
        second_binds="anyio's 40 tokens",
        target=uvicorn(f"{SERVING}.servers_reports:app", "--limit-concurrency", "16"),
        cured_target=uvicorn(f"{SERVING}.servers_reports:app"),
        load=("--get", "/reports/12"),
        connections=30,
        database="sqlite",
        flavour="sync",
    ),
    Case(
        name="backlog",
        family="backlog",
        kind="single",
        labels=BACKLOG,
        binds="an accept queue of 2 before one sync worker: at 0.58 of its slot's capacity 5 % of arrivals find it "
        "full and come again a second later",
        formula="0.583 (M/D/1/3 with 5 % turned away, who come again) / (6 ms · severity + 1.5 ms)",
        ceiling_rps=lambda severity: utilisation_at(LATE, 3) / coupon_s(severity),
        second_rps=lambda severity: 1 / coupon_s(severity),
        second_binds="the one slot",
        target=gunicorn(f"{SERVING}.servers_coupons:app", "--backlog", "1"),
        cured_target=gunicorn(f"{SERVING}.servers_coupons:app", "--backlog", "2048"),
        severities=(1.0, 1.5, 2.0),
        load=("--get", "/coupons/A12"),
        connections=0,
        flavour="wsgi",
    ),
    Case(
        name="backlog-bursts",
        family="backlog",
        kind="single",
        labels=BACKLOG,
        binds="an accept queue of 6 before one sync worker that now and then is busy for long: well below its slot's "
        "capacity 5 % of arrivals find it full and come again a second later",
        formula="utilisation (M/G/1/7 with 5 % turned away, who come again) / mean of 2 ms (0.9) and 40 ms (0.1), each "
        "· severity + 1.5 ms",
        ceiling_rps=lambda severity: utilisation_at(LATE, 7, statements(severity)) / mean_s(statements(severity)),
        second_rps=lambda severity: 1 / mean_s(statements(severity)),
        second_binds="the one slot",
        target=gunicorn(f"{SERVING}.servers_statements:app", "--backlog", "5"),
        cured_target=gunicorn(f"{SERVING}.servers_statements:app", "--backlog", "2048"),
        severities=(1.0, 1.5, 2.0),
        load=("--get", "/statements/77"),
        connections=0,
        flavour="wsgi",
    ),
)
