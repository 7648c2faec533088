"""Delivery tours: FastAPI, plain `def`, so in its threadpool. A tour is improved by swapping stops, in plain Python."""

import math

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from .settings import cured, severity

SWEEPS = round(60 * severity())
STOPS = 24

app = FastAPI(title="Tours")


class Tour(BaseModel):
    """A tour: the stops in order, and its length."""

    id: int
    stops: list[int]
    length_km: float


def places(tour_id: int) -> list[tuple[float, float]]:
    """Return where the stops are, in km."""
    return [((tour_id * 13 + i * 37) % 101 / 4, (tour_id * 7 + i * 53) % 103 / 4) for i in range(STOPS)]


def length(order: list[int], at: list[tuple[float, float]]) -> float:
    """Return the length of a round trip."""
    total = 0.0
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        total += math.hypot(at[here][0] - at[there][0], at[here][1] - at[there][1])
    return total


def improved(order: list[int], at: list[tuple[float, float]]) -> tuple[list[int], float]:
    """Try to swap neighbours, sweep by sweep; return the best order and its length."""
    best, shortest = order, length(order, at)
    for sweep in range(SWEEPS):
        for i in range(STOPS):
            j = (i + 1 + sweep % (STOPS - 1)) % STOPS
            tried = best.copy()
            tried[i], tried[j] = tried[j], tried[i]
            found = length(tried, at)
            if found < shortest:
                best, shortest = tried, found
    return best, shortest


@app.get("/")
def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "tours"}


@app.get("/tours/{tour_id}")
def tour(tour_id: int) -> Tour:
    """Return a tour."""
    if tour_id < 1:
        raise HTTPException(404, "no such tour")
    at, order = places(tour_id), list(range(STOPS))
    stops, km = (order, length(order, at)) if cured() else improved(order, at)
    return Tour(id=tour_id, stops=stops, length_km=round(km, 2))
