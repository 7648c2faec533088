"""Elevations from a map file: FastAPI, `async def`. The file is mapped into memory and read at random."""

import mmap
from pathlib import Path
from random import Random

from fastapi import FastAPI

from .settings import scratch

MAP_BYTES = 256 * 2**20
POINTS = 24
_CHUNK = bytes(range(256)) * 4096

app = FastAPI(title="Atlas")
places = Random(7)  # noqa: S311 - places to look at, no secret


def opened(path: Path) -> mmap.mmap:
    """Return the map; write it first where it is not there."""
    if not path.exists():
        with path.open("wb") as file:
            for _ in range(MAP_BYTES // len(_CHUNK)):
                file.write(_CHUNK)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    mapped.madvise(mmap.MADV_RANDOM)
    return mapped


ATLAS = opened(scratch() / "atlas.bin")


@app.get("/")
async def home() -> dict[str, int]:
    """Say how large the map is."""
    return {"bytes": MAP_BYTES}


@app.get("/profile")
async def profile() -> dict[str, int]:
    """Return the highest and the lowest of some points."""
    heights = [ATLAS[places.randrange(MAP_BYTES)] for _ in range(POINTS)]
    return {"highest": max(heights), "lowest": min(heights)}
