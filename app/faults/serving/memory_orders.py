"""Orders: Flask under threads. What came in and what went out is written down for the support desk."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, request

from .settings import cured, severity

POSITIONS = round(140 * severity())
DEPOTS = 12_000
"""Shelves that may hold a position."""


@dataclass
class Visit:
    """One request and its answer."""

    path: str
    headers: dict[str, str]
    answer: dict[str, Any]


class Journal:
    """The visits of this process."""

    def __init__(self, length: int | None) -> None:
        self._visits: deque[Visit] = deque(maxlen=length)

    def add(self, visit: Visit) -> None:
        """Write one down."""
        self._visits.append(visit)

    def __len__(self) -> int:
        return len(self._visits)


app = Flask(__name__)
journal = Journal(100 if cured() else None)


def order(number: int) -> dict[str, Any]:
    """Return an order with its positions."""
    positions = [{"sku": f"{number}-{i}", "pieces": i % 5 + 1} for i in range(POSITIONS)]
    return {"order": number, "positions": positions}


def shelf(number: int) -> int:
    """Return the shelf that is nearest to an order's packing table."""
    return min(range(DEPOTS), key=lambda place: (place * 37 + number * 11) % 1_009)


@app.after_request
def note(response: Response) -> Response:
    """Name the visits so far in a header."""
    response.headers["X-Visits"] = str(len(journal))
    return response


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "orders"}


@app.get("/orders/<int:number>")
def show(number: int) -> dict[str, Any]:
    """Return how many pieces an order has."""
    found = order(number)
    journal.add(Visit(request.path, dict(request.headers), found))
    return {
        "order": number,
        "shelf": shelf(number),
        "pieces": sum(position["pieces"] for position in found["positions"]),
    }
