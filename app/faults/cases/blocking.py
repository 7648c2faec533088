"""Cases whose event loop is held by a call that waits without awaiting.

One loop runs one call at a time, so a worker answers one request per wait, while the CPU idles. The ceiling is
workers / (wait + the CPU that a request costs beside it).
"""

from ..case import Case, Companion, Label

_SERVING = "pinchpoint.app.faults.serving"
_ANSWER = (Label("blocking", "sync-call"),)


def _stub(delay_ms: float) -> tuple[str, ...]:
    return (
        *("{python}", "-m", f"{_SERVING}.stub", "--port", "{port}", "--delay-ms", str(delay_ms), "--scaled"),
    )  # fmt: skip


# Of a request beside its wait, on a nearly idle core: CPU (sparse load costs more than saturated: docs/faults.md),
# and the ways to PostgreSQL, the relay or the other service and back.
_LABEL_S = 0.0008
_PORTAL_S = 0.0005
_STOCK_S = 0.0018
_TRACK_S = 0.0050
_QUOTE_S = 0.0030
_PROFILE_S = 0.0027
_MAIL_S = 0.0030
_RECORD_BYTES = 1_835

CASES: tuple[Case, ...] = (
    Case(
        name="sleep-in-dependency",
        family="sleep",
        kind="single",
        labels=_ANSWER,
        binds="the event loop: a helper of an async endpoint sleeps 8 ms without awaiting",
        formula="1 / (8 ms * severity + 0.8 ms)",
        ceiling_rps=lambda severity: 1 / (0.008 * severity + _LABEL_S),
        second_rps=lambda _severity: 1 / _LABEL_S,
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.blocking_labels:app",),
        load=("--get", "/orders/7/label"),
    ),
    Case(
        name="sleep-in-middleware-2-workers",
        family="sleep",
        kind="single",
        labels=_ANSWER,
        binds="the event loop of each of two workers: a middleware sleeps 10 ms without awaiting",
        formula="2 / (10 ms * severity + 0.5 ms)",
        ceiling_rps=lambda severity: 2 / (0.010 * severity + _PORTAL_S),
        second_rps=lambda _severity: 2 / _PORTAL_S,
        second_binds="the CPU of the workers",
        target=(f"{_SERVING}.blocking_portal:app",),
        knobs=("--workers", "2"),
        load=("--get", "/accounts/12"),
        server_cores=2,
    ),
    Case(
        name="psycopg-in-async",
        family="sync-driver",
        kind="single",
        labels=_ANSWER,
        binds="the event loop: an async endpoint waits 10 ms for PostgreSQL with the synchronous psycopg",
        formula="1 / (10 ms * severity + 1.8 ms)",
        ceiling_rps=lambda severity: 1 / (0.010 * severity + _STOCK_S),
        second_rps=lambda _severity: 1 / _STOCK_S,
        second_binds="the CPU of the worker and of PostgreSQL",
        target=(f"{_SERVING}.blocking_stock:app",),
        load=("--get", "/articles/31/stock"),
        database="postgresql",
    ),
    Case(
        name="sync-session-in-async-2-workers",
        family="sync-driver",
        kind="single",
        labels=_ANSWER,
        binds="the event loop of each of two workers: async endpoints use SQLAlchemy's synchronous session",
        formula="2 / (12 ms * severity + 5.0 ms)",
        ceiling_rps=lambda severity: 2 / (0.012 * severity + _TRACK_S),
        second_rps=lambda _severity: 2 / _TRACK_S,
        second_binds="the CPU of the workers and of PostgreSQL",
        target=(f"{_SERVING}.blocking_shipments:app",),
        knobs=("--workers", "2"),
        load=("--get", "/parcels/4711"),
        database="postgresql",
        server_cores=2,
    ),
    Case(
        name="requests-in-async",
        family="requests",
        kind="single",
        labels=_ANSWER,
        binds="the event loop: an async endpoint waits 20 ms for another service with requests",
        formula="1 / (20 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 1 / (0.020 * severity + _QUOTE_S),
        second_rps=lambda _severity: 1 / _QUOTE_S,
        second_binds="the CPU of the worker",
        severities=(1.0, 1.5, 2.0),
        target=(f"{_SERVING}.blocking_quotes:app",),
        load=("--get", "/articles/31/quote?currency=USD"),
        companions=(Companion(argv=_stub(20), variable="RATES_URL"),),
    ),
    Case(
        name="urllib3-in-async-2-workers",
        family="requests",
        kind="single",
        labels=_ANSWER,
        binds="the event loop of each of two workers: each request's session is looked up with urllib3, 12 ms",
        formula="2 / (12 ms * severity + 2.7 ms)",
        ceiling_rps=lambda severity: 2 / (0.012 * severity + _PROFILE_S),
        second_rps=lambda _severity: 2 / _PROFILE_S,
        second_binds="the CPU of the workers",
        target=(f"{_SERVING}.blocking_members:app",),
        knobs=("--workers", "2"),
        load=("--get", "/members/1001"),
        companions=(Companion(argv=_stub(12), variable="SIGN_ON_URL"),),
        server_cores=2,
    ),
    Case(
        name="smtplib-in-async",
        family="smtp",
        kind="single",
        labels=_ANSWER,
        binds="the event loop: an async endpoint mails with smtplib, and the relay takes 16 ms to accept a mail",
        formula="1 / (16 ms * severity + 3 ms)",
        ceiling_rps=lambda severity: 1 / (0.016 * severity + _MAIL_S),
        second_rps=lambda _severity: 1 / _MAIL_S,
        second_binds="the CPU of the worker",
        severities=(1.0, 1.5, 2.5),
        target=(f"{_SERVING}.blocking_contact:app",),
        load=("--get", "/orders/7/confirmation"),
        companions=(
            Companion(
                argv=("{python}", "-m", f"{_SERVING}.post_office", "--port", "{port}", "--delay-ms", "16"),
                variable="MAIL_URL",
            ),
        ),
    ),
    Case(
        name="log-to-slow-pipe",
        family="log-pipe",
        kind="single",
        labels=_ANSWER,
        binds="the event loop: each request logs 1.835 kB to a pipe that is read at 200 kB/s, and the full pipe blocks",
        formula="200 kB/s / severity / 1.835 kB",
        ceiling_rps=lambda severity: 200_000 / severity / _RECORD_BYTES,
        second_rps=lambda _severity: 1_000.0,
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.blocking_audit:app",),
        load=("--get", "/payments/58231"),
        companions=(
            Companion(
                argv=(
                    *("{python}", "-m", f"{_SERVING}.log_shipper"),
                    *("--pipe", "audit.log", "--bytes-per-second", "200000"),
                ),
            ),
        ),
    ),
)
