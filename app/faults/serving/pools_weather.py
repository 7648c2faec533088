"""Weather for a shop's home page: `def` endpoints of FastAPI, and `requests` with few connections to one service."""

import requests
from fastapi import FastAPI
from requests.adapters import HTTPAdapter

from .settings import companion_url, cured

SERVICE = companion_url("WEATHER_URL")

http = requests.Session()
http.mount("http://", HTTPAdapter(pool_connections=2, pool_maxsize=40 if cured() else 4, pool_block=True))
http.headers["User-Agent"] = "shop/2.1"

app = FastAPI(title="Weather")


def forecast(town: str) -> dict[str, object]:
    """Return tomorrow's weather there."""
    with http.get(f"{SERVICE}/forecast/{town}", timeout=(5, 30)) as answer:
        answer.raise_for_status()
        return {"town": town, "degrees": 8 * answer.json()["rate"]}


@app.get("/")
def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "weather"}


@app.get("/weather/{town}")
def weather(town: str) -> dict[str, object]:
    """Return what a visitor sees."""
    return {"forecast": forecast(town), "advice": "umbrella"}
