"""Thumbnails: FastAPI, `async def`. A picture is held in memory while the archive takes it."""

import asyncio

from fastapi import FastAPI

from .settings import cured, severity

PICTURE_BYTES = round(8e6 * severity())
TILE_BYTES = 64 * 1024
ARCHIVE_S = 0.2

app = FastAPI(title="Thumbnails")


def decoded(size: int, shade: int) -> bytearray:
    """Return a picture, all of its pixels written."""
    return bytearray([shade % 256]) * size


async def archive(picture: bytearray) -> int:
    """Hand a picture over; the archive answers when it is written."""
    await asyncio.sleep(ARCHIVE_S)
    return len(picture)


@app.get("/")
async def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "thumbnails"}


@app.get("/pictures/{picture_id}/thumbnail")
async def thumbnail(picture_id: int) -> dict[str, int]:
    """Return the size of what was archived."""
    picture = decoded(TILE_BYTES if cured() else PICTURE_BYTES, picture_id)
    return {"picture": picture_id, "bytes": await archive(picture)}
