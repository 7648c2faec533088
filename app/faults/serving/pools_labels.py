"""Shipping labels: `def` endpoints of FastAPI that wait for a label printer."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from .settings import cured, severity

PRINT_S = 0.1 * severity()
ROOMY = 160

router = APIRouter(prefix="/labels")


class Label(BaseModel):
    """A printed label."""

    order: int
    zone: str
    pages: int = 1


def printed(order: int) -> Label:
    """Hand the label to the printer and wait for its nod."""
    time.sleep(PRINT_S)
    return Label(order=order, zone="AB"[order % 2])


@router.get("/{order}")
def label(order: int) -> Label:
    """Print the label of an order."""
    return printed(order)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Give `def` endpoints more threads where the deployment wants it."""
    if cured():
        anyio.to_thread.current_default_thread_limiter().total_tokens = ROOMY
    yield


app = FastAPI(title="Labels", lifespan=lifespan)
app.include_router(router)


@app.get("/")
async def root() -> dict[str, str]:
    """Say that the service is up."""
    return {"service": "labels"}
