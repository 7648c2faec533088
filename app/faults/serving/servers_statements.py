"""Account statements: a Flask app in which one statement in ten is a long one."""

import secrets
import time

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from .settings import severity

SHORT_S = 0.002 * severity()
LONG_S = 0.04 * severity()
ONE_IN = 10

app = Flask("statements")


def pages() -> int:
    """Wait for the archive; return the pages it sent."""
    long = secrets.randbelow(ONE_IN) == 0
    time.sleep(LONG_S if long else SHORT_S)
    return 20 if long else 1


@app.get("/")
def root() -> ResponseReturnValue:
    """Say that the service is up."""
    return jsonify(service="statements")


@app.get("/statements/<int:account>")
def statement(account: int) -> ResponseReturnValue:
    """Return an account's statement."""
    return jsonify(account=account, pages=pages())
