"""Parcels: plain `def` endpoints of FastAPI that ask a carrier over HTTP where a parcel is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import requests
from fastapi import FastAPI, HTTPException
from requests.adapters import HTTPAdapter

from .settings import companion_url, cured

ROOMY = 160
CARRIER = companion_url("CARRIER_URL")


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Give `def` endpoints more threads where the deployment wants it."""
    if cured():
        anyio.to_thread.current_default_thread_limiter().total_tokens = ROOMY
    yield


app = FastAPI(title="Parcels", lifespan=lifespan)
carrier = requests.Session()
carrier.mount("http://", HTTPAdapter(pool_maxsize=ROOMY))


def last_seen(parcel: int) -> str:
    """Ask the carrier for the parcel's last scan."""
    answer = carrier.get(f"{CARRIER}/scans/{parcel}", timeout=20)
    if not answer.ok:
        raise HTTPException(502, "the carrier does not know")
    return str(answer.json()["status"])


@app.get("/")
def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "parcels"}


@app.get("/parcels/{parcel}")
def track(parcel: int) -> dict[str, object]:
    """Return where a parcel is."""
    return {"id": parcel, "status": last_seen(parcel)}
