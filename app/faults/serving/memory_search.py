"""Search in a product range: FastAPI, `async def`. Pages of results are kept, by what was asked and when."""

import time

from fastapi import FastAPI

from .settings import cured, severity

LINES = round(400 * severity())
RANGE = 25_000
"""Products that are looked through for a query."""
KEPT = 50 if cured() else None
"""Pages to keep; None: all."""

app = FastAPI(title="Search")
pages: dict[tuple[str, int], list[str]] = {}


def matching(query: str) -> int:
    """Return how many products a query finds."""
    wanted = len(query)
    return sum(1 for number in range(RANGE) if number * 7919 % 101 < wanted)


def render(query: str, asked_ns: int) -> list[str]:
    """Return the lines of a page: about 80 bytes each."""
    stamp = asked_ns % 1_000_000
    return [f"{query} {number:05} {stamp:06} in stock" for number in range(LINES)]


def page_of(query: str) -> list[str]:
    """Return the page for a query, from the cache if it is there."""
    key = (query, time.time_ns())
    if key not in pages:
        pages[key] = render(*key)
        if KEPT is not None and len(pages) > KEPT:
            del pages[next(iter(pages))]
    return pages[key]


@app.get("/")
async def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "search"}


@app.get("/search")
async def search(q: str = "lamp") -> dict[str, object]:
    """Return the first lines of the results."""
    page = page_of(q)
    return {"query": q, "found": matching(q), "first": page[:5]}
