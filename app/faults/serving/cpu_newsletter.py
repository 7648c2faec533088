"""Checks the addresses of a mailing: Flask. Each address is matched against a pattern that was found somewhere."""

import re

from flask import Flask, Response, jsonify

from .settings import cured, severity

BATCH = round(16 * severity())

_GREEDY = re.compile(r"^([a-z0-9]+\.?)+@([a-z0-9-]+\.)+[a-z]{2,}$")
_PLAIN = re.compile(r"^[a-z0-9]+(\.[a-z0-9]+)*@([a-z0-9-]+\.)+[a-z]{2,}$")
PATTERN = _PLAIN if cured() else _GREEDY

app = Flask(__name__)


def recipients(mailing_id: int) -> list[str]:
    """Return the addresses; those without an `@` are typing errors, as mailings have them."""
    return [f"maria{mailing_id % 10}gomez{number % 10}" for number in range(BATCH)]


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "newsletter"}


@app.get("/mailings/<int:mailing_id>/check")
def check(mailing_id: int) -> Response:
    """Return which addresses cannot be written to."""
    bad = [address for address in recipients(mailing_id) if PATTERN.match(address) is None]
    return jsonify(mailing=mailing_id, bad=bad)
