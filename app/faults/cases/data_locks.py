"""Locks of a database: one row that all change, one writer at a time."""

from ..case import Case, Label

_SERVING = "pinchpoint.app.faults.serving"
_ROW = (Label("lock", "db-row"),)
_WRITER = (Label("lock", "sqlite-writer"),)
# SQLite wakes its waiters in no order: some wait for seconds, and the closed loop's other connections with them.
_PATIENT = {"GUNICORN_CMD_ARGS": "--keep-alive 60"}

CASES: tuple[Case, ...] = (
    Case(
        name="hot-row-async",
        family="hot-row",
        kind="single",
        labels=_ROW,
        binds="one row, changed by each request in a transaction that stays open for 8 ms; 25 connections queue for it",
        formula="1 / (8 ms * severity + 1.8 ms)",
        ceiling_rps=lambda severity: 1 / (0.008 * severity + 0.0018),
        second_rps=lambda severity: min(25 / (0.008 * severity + 0.0035), 1700),
        second_binds="the pool of 25, or the core",
        target=(f"{_SERVING}.databases_numbers:app",),
        load=("--get", "/numbers/next"),
        connections=32,
        database="postgresql",
    ),
    Case(
        name="hot-row-sync",
        family="hot-row",
        kind="single",
        labels=_ROW,
        binds="one row, changed by each request in a transaction that stays open for 10 ms; 20 connections wait",
        formula="1 / (10 ms * severity + 3.5 ms)",
        ceiling_rps=lambda severity: 1 / (0.010 * severity + 0.0035),
        second_rps=lambda severity: min(20 / (0.010 * severity + 0.0035), 1150),
        second_binds="the pool of 20, or the core",
        target=(f"{_SERVING}.databases_seats:app",),
        load=("--get", "/seats/take"),
        connections=32,
        database="postgresql",
        flavour="sync",
    ),
    Case(
        name="sqlite-writer-sync",
        family="sqlite-writer",
        kind="single",
        labels=_WRITER,
        binds="SQLite's one write lock, held for 12 ms per request; the other threads sleep and try again",
        formula="1 / (12 ms * severity + 1.5 ms)",
        ceiling_rps=lambda severity: 1 / (0.012 * severity + 0.0015),
        second_rps=lambda severity: min(40 / (0.012 * severity + 0.002), 1700),
        second_binds="the core, or the 40 threads",
        severities=(1.0, 1.5, 2.5),
        target=(f"{_SERVING}.databases_visits:app",),
        load=("--get", "/museums/7/enter"),
        connections=32,
        database="sqlite",
        env=_PATIENT,
        flavour="sync",
    ),
    Case(
        name="sqlite-writer-async",
        family="sqlite-writer",
        kind="single",
        labels=_WRITER,
        binds="SQLite's one write lock, held for 12 ms per request; the other connections sleep and try again",
        formula="1 / (12 ms * severity + 4 ms)",
        ceiling_rps=lambda severity: 1 / (0.012 * severity + 0.004),
        second_rps=lambda _severity: 470,
        second_binds="the core, or again the write lock, which is then held for a moment only",
        severities=(1.0, 1.5, 2.5),
        target=(f"{_SERVING}.databases_votes:app",),
        load=("--get", "/options/7/vote"),
        connections=32,
        database="sqlite",
        env=_PATIENT,
    ),
)
