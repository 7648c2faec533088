"""A timetable: Starlette, `async def`. Connections are found by looking through all departures of some days."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MINUTES_A_DAY = 24 * 60
DAYS = int(os.environ.get("TIMETABLE_DAYS", "1"))
LINES = [f"line {number}" for number in range(23)]
STOPS = [f"stop {number}" for number in range(211)]
DEPARTURES = [(7 * i % MINUTES_A_DAY, LINES[i % 23], STOPS[i * 11 % 211]) for i in range(70_000)]


def next_departures(stop: str, after: int, count: int) -> list[dict[str, object]]:
    """Return the next departures from a stop; a day is a ring."""
    found = []
    for day in range(DAYS):
        for minute, line, place in DEPARTURES:
            if place == stop:
                found.append(((minute - after) % MINUTES_A_DAY + day * MINUTES_A_DAY, line))
    return [{"line": line, "in_minutes": wait} for wait, line in sorted(found)[:count]]


async def departures(request: Request) -> JSONResponse:
    """Return what leaves next."""
    after = int(request.query_params.get("after", "480"))
    return JSONResponse(next_departures(f"stop {request.path_params['stop']}", after, 5))


async def home(_request: Request) -> JSONResponse:
    """Say how many departures there are."""
    return JSONResponse({"departures": len(DEPARTURES)})


app = Starlette(routes=[Route("/", home), Route("/stops/{stop:int}/departures", departures)])
