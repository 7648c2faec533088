"""Cases in which a pool is full of requests that wait, while what they wait for has room."""

import os
import sys

from ..case import Case, Companion, Label

SERVING = "pinchpoint.app.faults.serving"
THREADPOOL = (Label("pool", "threadpool"),)
HTTP_POOL = (Label("pool", "http-pool"),)
DEADLOCK = (Label("pool", "token-pool-deadlock"),)

TOKENS = 40
"""anyio's default limiter."""
FEW_TOKENS = 8
ASKING_S = 0.004
"""What `requests` or urllib3 add to a call while a pool's slot is held; measured at the ceiling on a 2-core machine."""
THREAD_S = 0.001
"""What waking a thread adds to a sleep in it, measured likewise."""


def default_executor() -> int:
    """Return the threads of a loop's default executor (`ThreadPoolExecutor`), for a server on one core."""
    cores = 1 if sys.version_info >= (3, 13) else os.cpu_count() or 1
    return min(32, cores + 4)


def partner(variable: str, delay_ms: float) -> Companion:
    """Return a service that answers each request after `delay_ms` times the severity, any number at once."""
    words = ("--port", "{port}", "--delay-ms", f"{delay_ms:g}", "--scaled")
    return Companion(argv=("{python}", "-m", f"{SERVING}.stub", *words), variable=variable)


CASES: tuple[Case, ...] = (
    Case(
        name="threadpool-partner",
        family="threadpool",
        kind="single",
        labels=THREADPOOL,
        binds="anyio's 40 tokens: each `def` endpoint keeps one while a partner, who serves any number, takes its time",
        formula="40 / (150 ms · severity + 4 ms)",
        ceiling_rps=lambda severity: TOKENS / (0.15 * severity + ASKING_S),
        second_rps=lambda _severity: 650.0,
        second_binds="the worker's core: about 1.5 ms of `requests` and FastAPI per request",
        severities=(1.0, 1.5, 2.0),
        target=(f"{SERVING}.pools_parcels:app",),
        load=("--get", "/parcels/7"),
        connections=128,
        companions=(partner("CARRIER_URL", 150),),
        flavour="sync",
    ),
    Case(
        name="threadpool-sleep",
        family="threadpool",
        kind="single",
        labels=THREADPOOL,
        binds="anyio's 40 tokens: each `def` endpoint keeps one while it waits for a device",
        formula="40 / (100 ms · severity + 1 ms)",
        ceiling_rps=lambda severity: TOKENS / (0.1 * severity + THREAD_S),
        second_rps=lambda _severity: 960.0,
        second_binds="the worker's core: about 1 ms of FastAPI and thread switches per request",
        severities=(1.0, 1.5, 2.5),
        target=(f"{SERVING}.pools_labels:app",),
        load=("--get", "/labels/31"),
        connections=128,
        flavour="sync",
    ),
    Case(
        name="threadpool-executor",
        family="threadpool",
        kind="single",
        labels=THREADPOOL,
        binds="the few threads of the loop's default executor, each waiting in a partner's blocking kit",
        formula="min(32, cores + 4) / (20 ms · severity + 1 ms)",
        ceiling_rps=lambda severity: default_executor() / (0.02 * severity + THREAD_S),
        second_rps=lambda _severity: 2300.0,
        second_binds="the worker's core",
        target=(f"{SERVING}.pools_vouchers:app",),
        load=("--get", "/vouchers/SPRING"),
    ),
    Case(
        name="tokens-starlette",
        family="tokens",
        kind="single",
        labels=THREADPOOL,
        binds="a limiter of 8 tokens: each `def` endpoint keeps one while it waits",
        formula="8 / (25 ms · severity + 1 ms)",
        ceiling_rps=lambda severity: FEW_TOKENS / (0.025 * severity + THREAD_S),
        second_rps=lambda severity: min(1500.0, TOKENS / (0.025 * severity + THREAD_S)),
        second_binds="40 tokens, or the worker's core",
        target=(f"{SERVING}.pools_seats:app",),
        load=("--get", "/halls/11"),
        flavour="sync",
    ),
    Case(
        name="tokens-two-workers",
        family="tokens",
        kind="single",
        labels=THREADPOOL,
        binds="a limiter of 8 tokens in each of two workers: each `def` endpoint keeps one while a partner answers",
        formula="2 · 8 / (80 ms · severity + 4 ms)",
        ceiling_rps=lambda severity: 2 * FEW_TOKENS / (0.08 * severity + ASKING_S),
        second_rps=lambda severity: min(740.0, 2 * TOKENS / (0.08 * severity + ASKING_S)),
        second_binds="2 · 40 tokens, or the cores",
        severities=(1.0, 2.0, 3.0),
        target=(f"{SERVING}.pools_bookings:app",),
        knobs=("--workers", "2"),
        load=("--get", "/bookings/5"),
        connections=96,
        companions=(partner("HOTEL_URL", 80),),
        server_cores=2,
        flavour="sync",
    ),
    Case(
        name="deadlock-dependency",
        family="token-pool-deadlock",
        kind="single",
        labels=DEADLOCK,
        binds="5 connections are held by requests that need a token for their endpoint, once all 40 tokens are kept by "
        "dependencies that wait for a connection; from 45 requests in flight on nothing moves until the pool's timeout",
        formula="up to 44 in flight: 5 / (60 ms · severity + 8 ms); above: 0",
        ceiling_rps=lambda severity: 5 / (0.06 * severity + 0.008),
        second_rps=lambda _severity: 290.0,
        second_binds="the worker's core, with a pool larger than the limiter",
        target=(f"{SERVING}.pools_invoices:app",),
        load=("--get", "/invoices/7"),
        connections=24,
        database="postgresql",
        companions=(partner("RATES_URL", 60),),
        flavour="sync",
    ),
    Case(
        name="deadlock-response-model",
        family="token-pool-deadlock",
        kind="single",
        labels=DEADLOCK,
        binds="4 connections are held by requests whose response model needs a token, once all 40 tokens are kept by "
        "endpoints that wait for a connection; from 44 requests in flight on nothing moves until the pool's timeout",
        formula="up to 43 in flight: 4 / (40 ms · severity + 4 ms); above: 0",
        ceiling_rps=lambda severity: 4 / (0.04 * severity + 0.004),
        second_rps=lambda severity: min(530.0, TOKENS / (0.04 * severity + 0.004)),
        second_binds="the worker's core, or 40 tokens, with a pool larger than the limiter",
        target=(f"{SERVING}.pools_tickets:app",),
        load=("--get", "/tickets/7"),
        connections=24,
        database="sqlite",
        flavour="sync",
    ),
    Case(
        name="http-pool-httpx",
        family="http-pool",
        kind="single",
        labels=HTTP_POOL,
        binds="5 connections of one httpx client to a supplier who would serve any number",
        formula="5 / (50 ms · severity + 5 ms)",
        ceiling_rps=lambda severity: 5 / (0.05 * severity + 0.005),
        second_rps=lambda _severity: 205.0,
        second_binds="the worker's core: 4 to 5 ms of httpx and FastAPI per request",
        target=(f"{SERVING}.pools_prices:app",),
        load=("--get", "/prices/12"),
        connections=32,
        companions=(partner("SUPPLIER_URL", 50),),
    ),
    Case(
        name="http-pool-requests",
        family="http-pool",
        kind="single",
        labels=HTTP_POOL,
        binds="4 connections of a blocking urllib3 pool; the threads in front are kept by those who wait for one",
        formula="4 / (30 ms · severity + 3 ms)",
        ceiling_rps=lambda severity: 4 / (0.03 * severity + 0.003),
        second_rps=lambda _severity: 700.0,
        second_binds="the worker's core: about 1.4 ms of `requests` and FastAPI per request",
        target=(f"{SERVING}.pools_weather:app",),
        load=("--get", "/weather/oslo"),
        connections=32,
        companions=(partner("WEATHER_URL", 30),),
        flavour="sync",
    ),
)
