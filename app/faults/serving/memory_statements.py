"""Account statements as spreadsheets: Flask. A sheet is built in memory, then printed by a slow driver."""

import time

from flask import Flask

from .settings import cured, severity

ROWS = round(60_000 * severity())
PRINTING_S = 0.15

app = Flask(__name__)


def sheet(account: int, rows: int) -> bytes:
    """Return a sheet; each row takes 128 bytes."""
    row = f"{account:08};".encode().ljust(127, b".") + b"\n"
    return row * rows


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "statements"}


@app.get("/accounts/<int:account>/statement")
def statement(account: int) -> dict[str, int]:
    """Print a statement and return its size."""
    printed = sheet(account, 500 if cured() else ROWS)
    time.sleep(PRINTING_S)
    return {"account": account, "bytes": len(printed)}
