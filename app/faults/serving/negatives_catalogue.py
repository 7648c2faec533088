"""A catalogue whose pages are put together once, on first demand, and kept."""

import asyncio
import secrets
from contextvars import ContextVar

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from .settings import severity

ARTICLES = 150
ORIGIN_S = 0.12 * severity()

app = FastAPI(title="Catalogue")
kept: dict[int, str] = {}
language: ContextVar[str] = ContextVar("language", default="en")


async def assembled(article: int) -> str:
    """Fetch an article's parts from where they are kept, and put them together."""
    await asyncio.sleep(ORIGIN_S)
    rows = "".join(f"<tr><td>{part}</td><td>{part * article % 97}</td></tr>" for part in range(300))
    return f'<!doctype html><html lang="{language.get()}"><h1>Article {article}</h1><table>{rows}</table></html>'


async def page_of(article: int) -> str:
    """Return an article's page."""
    if article not in kept:
        kept[article] = await assembled(article)
    return kept[article]


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "catalogue"}


@app.get("/surprise", response_class=HTMLResponse)
async def surprise() -> str:
    """Show any article."""
    return await page_of(secrets.randbelow(ARTICLES))
