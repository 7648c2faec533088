"""Signed download links: Starlette, `async def`. The key of a link is derived from a secret in the loop's executor."""

import asyncio
import hashlib

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, severity

ROUNDS = 1 if cured() else round(36_000 * severity())
_SECRET = b"a secret of the shop"


def sign(file_id: str) -> str:
    """Return the signature of a file's link."""
    return hashlib.pbkdf2_hmac("sha256", _SECRET, file_id.encode(), ROUNDS).hex()


async def link(request: Request) -> JSONResponse:
    """Return a link to one file."""
    file_id = request.path_params["file_id"]
    signature = await asyncio.get_running_loop().run_in_executor(None, sign, file_id)
    return JSONResponse({"href": f"/download/{file_id}?signature={signature}"})


async def home(_request: Request) -> JSONResponse:
    """Say what this is."""
    return JSONResponse({"service": "links"})


app = Starlette(routes=[Route("/", home), Route("/files/{file_id}/link", link)])
