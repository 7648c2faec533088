"""A courier's planner on Flask: the order of stops, worked out for every request."""

import itertools

from flask import Flask, Response, jsonify

from .settings import cured, severity

STOPS = 12
ROUNDS = 1 if cured() else round(45 * severity())
"""How often a tour is improved."""

app = Flask(__name__)


def way(tour: list[int]) -> int:
    """Return the length of a tour over a made-up town."""
    return sum(abs(a * 37 % 101 - b * 37 % 101) for a, b in itertools.pairwise(tour))


def improved(tour: list[int]) -> list[int]:
    """Swap the best pair of stops."""
    best = tour
    for first in range(STOPS):
        for second in range(first + 1, STOPS):
            tried = tour.copy()
            tried[first], tried[second] = tried[second], tried[first]
            if way(tried) < way(best):
                best = tried
    return best


@app.get("/")
def root() -> str:
    """Say that the planner is up."""
    return "planner\n"


@app.get("/tours/<int:driver>")
def tour(driver: int) -> Response:
    """Return a driver's tour."""
    stops = [(driver * 31 + stop * 17) % 97 for stop in range(STOPS)]
    for _ in range(ROUNDS):
        stops = improved(stops)
    return jsonify(driver=driver, stops=stops, length=way(stops))
