"""Ranking of search hits: Starlette, `async def`. Each hit is scored against the words of the query in plain Python."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, severity

HITS = 20 if cured() else round(4_000 * severity())
TOP = 10

_WORDS = ("lamp", "table", "chair", "oak", "steel", "garden", "kitchen", "lamp shade", "desk", "shelf")


def titles(count: int) -> list[str]:
    """Return the titles of the catalogue."""
    return [f"{_WORDS[i % 10]} {_WORDS[i * 7 % 10]} model {i % 89} {_WORDS[i * 3 % 10]}" for i in range(count)]


TITLES = titles(HITS)


def score(title: str, words: list[str]) -> float:
    """Rate one title: matching words, earlier ones more."""
    total = 0.0
    for place, word in enumerate(title.split()):
        for wanted in words:
            if word == wanted:
                total += 3.0 / (1 + place)
            elif word.startswith(wanted[:3]):
                total += 1.0 / (1 + place)
    return total


async def search(request: Request) -> JSONResponse:
    """Return the best hits."""
    words = request.query_params.get("q", "lamp").lower().split()
    ranked = sorted(((score(title, words), title) for title in TITLES), reverse=True)
    return JSONResponse({"hits": [{"title": title, "score": round(value, 3)} for value, title in ranked[:TOP]]})


async def home(_request: Request) -> JSONResponse:
    """Say how many titles there are."""
    return JSONResponse({"titles": len(TITLES)})


app = Starlette(routes=[Route("/", home), Route("/search", search)])
