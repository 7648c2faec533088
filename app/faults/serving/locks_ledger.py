"""A cash book in Flask under gunicorn's plain workers: entries are appended to one file, under its lock."""

import fcntl
import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from flask import Flask, jsonify, request

from .settings import cured, scratch, severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.typing import ResponseReturnValue

COUNTERSIGN_S = 0.010 * severity()

app = Flask(__name__)


@contextmanager
def book(path: Path) -> "Iterator[IO[str]]":
    """Open the cash book for one entry."""
    with path.open("a", encoding="utf-8") as file:
        if not cured():
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@app.get("/till/<int:till>/entries/new")
def enter(till: int) -> "ResponseReturnValue":
    """Enter an amount."""
    entry = {"till": till, "cents": int(request.args.get("cents", 1250))}
    with book(scratch() / "cash-book.jsonl") as file:
        time.sleep(COUNTERSIGN_S)  # the second till countersigns
        file.write(json.dumps(entry) + "\n")
    return jsonify(entry)
