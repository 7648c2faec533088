"""Cases in which requests take turns: one lock, held over a wait, while the CPU idles.

The ceiling is 1 / (time the lock is held), whatever threads, workers and pools stand in front of it.
"""

from ..case import Case, Companion, Label

_SERVING = "pinchpoint.app.faults.serving"
_PYTHON = (Label("lock", "python-lock"),)
_FILE = (Label("lock", "file-lock"),)


def _stub(delay_ms: float) -> tuple[str, ...]:
    return ("{python}", "-m", f"{_SERVING}.stub", "--port", "{port}", "--delay-ms", str(delay_ms), "--scaled")


# What a turn costs beside its wait: waking the next, and the work done under the lock.
_TERMINAL_S = 0.0005
_READ_S = 0.0040
_TARIFF_S = 0.0011
_CRANE_S = 0.0018
_JOURNAL_S = 0.0008
_NUMBER_S = 0.0005
_ENTRY_S = 0.0008

CASES: tuple[Case, ...] = (
    Case(
        name="thread-lock",
        family="thread-lock",
        kind="single",
        labels=_PYTHON,
        binds="one threading.Lock, held 6 ms; the 40 threads of the `def` endpoints queue for it",
        formula="1 / (6 ms * severity + 0.5 ms)",
        ceiling_rps=lambda severity: 1 / (0.006 * severity + _TERMINAL_S),
        second_rps=lambda severity: min(40 / (0.006 * severity), 900.0),
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.locks_terminal:app",),
        load=("--get", "/sales/7/receipt"),
        flavour="sync",
    ),
    Case(
        name="thread-lock-around-refresh",
        family="thread-lock",
        kind="single",
        labels=_PYTHON,
        binds="one threading.Lock, held over the reading of every fourth call, which waits 30 ms for another service",
        formula="4 / (30 ms * severity + 4 ms + 4 * 1.1 ms)",
        ceiling_rps=lambda severity: 4 / (0.030 * severity + _READ_S + 4 * _TARIFF_S),
        second_rps=lambda severity: min(4 * 32 / (0.030 * severity), 700.0),
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.locks_tariffs:app",),
        knobs=("--worker-class", "gthread", "--threads", "32"),
        load=("--get", "/zones/49/tariff"),
        companions=(Companion(argv=_stub(30), variable="RATING_URL"),),
        flavour="wsgi",
    ),
    Case(
        name="async-lock",
        family="async-lock",
        kind="single",
        labels=_PYTHON,
        binds="one asyncio.Lock, held over a call to another service of 8 ms",
        formula="1 / (8 ms * severity + 1.8 ms)",
        ceiling_rps=lambda severity: 1 / (0.008 * severity + _CRANE_S),
        second_rps=lambda _severity: 600.0,
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.locks_crane:app",),
        load=("--get", "/bins/12"),
        companions=(Companion(argv=_stub(8), variable="CRANE_URL"),),
    ),
    Case(
        name="async-lock-2-workers",
        family="async-lock",
        kind="single",
        labels=_PYTHON,
        binds="one asyncio.Lock in each of two workers, held over an await of 14 ms",
        formula="2 / (14 ms * severity + 0.8 ms)",
        ceiling_rps=lambda severity: 2 / (0.014 * severity + _JOURNAL_S),
        second_rps=lambda _severity: 3_000.0,
        second_binds="the CPU of the workers",
        target=(f"{_SERVING}.locks_bookings:app",),
        knobs=("--workers", "2"),
        load=("--get", "/rows/3/seat"),
        server_cores=2,
    ),
    Case(
        name="file-lock-2-workers",
        family="file-lock",
        kind="single",
        labels=_FILE,
        binds="flock on one file, held 8 ms; the threads of both workers queue for it",
        formula="1 / (8 ms * severity + 0.5 ms)",
        ceiling_rps=lambda severity: 1 / (0.008 * severity + _NUMBER_S),
        second_rps=lambda _severity: 1_200.0,
        second_binds="the CPU of the workers",
        target=(f"{_SERVING}.locks_invoices:app",),
        knobs=("--workers", "2"),
        load=("--get", "/orders/7/invoice"),
        server_cores=2,
        flavour="sync",
    ),
    Case(
        name="file-lock-sync-workers",
        family="file-lock",
        kind="single",
        labels=_FILE,
        binds="flock on one file, held 10 ms; all six plain workers queue for it",
        formula="1 / (10 ms * severity + 0.8 ms)",
        ceiling_rps=lambda severity: 1 / (0.010 * severity + _ENTRY_S),
        second_rps=lambda severity: 6 / (0.010 * severity + 0.001),
        second_binds="the worker slots: six requests at a time",
        severities=(1.0, 2.0, 3.0),
        target=(f"{_SERVING}.locks_ledger:app",),
        knobs=("--worker-class", "sync", "--workers", "6"),
        load=("--get", "/till/3/entries/new"),
        flavour="wsgi",
    ),
)
