"""A ledger's entries as readable JSON: Flask. What is sent is indented, for people to read."""

import json
from typing import Any

from flask import Flask, Response, request

from .settings import cured, severity

ENTRIES = 5 if cured() else round(320 * severity())

app = Flask(__name__)


def entry(number: int) -> dict[str, Any]:
    """Return one booking."""
    return {
        "number": number,
        "debit": {"account": 1_200 + number % 40, "amount_cents": number * 37 % 90_001},
        "credit": {"account": 8_400 + number % 12, "amount_cents": number * 37 % 90_001},
        "text": f"Invoice {number} of customer {number % 211}",
        "tax": [19, 7][number % 2],
        "open": number % 3 == 0,
    }


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "ledger"}


@app.get("/entries")
def entries() -> Response:
    """Return the entries from a number on."""
    first = request.args.get("from", 0, type=int)
    booked = [entry(number) for number in range(first, first + ENTRIES)]
    return Response(json.dumps({"entries": booked}, indent=2, sort_keys=True), mimetype="application/json")
