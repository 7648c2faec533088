"""A members' area on Starlette: each request's session is looked up at the sign-on service."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import urllib3
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .settings import companion_url, cured

SIGN_ON = companion_url("SIGN_ON_URL")
http = urllib3.PoolManager(maxsize=40)

Look = Callable[[str], dict[str, Any]]


def look_up(token: str) -> dict[str, Any]:
    """Ask the sign-on service who the token belongs to."""
    answer = http.request("GET", f"{SIGN_ON}/sessions/{token}", timeout=5.0, retries=False)
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def member_of(request: Request) -> dict[str, Any]:
    """Return the member who asks."""
    token = request.cookies.get("session", "guest")
    if cured():
        return await asyncio.to_thread(look_up, token)
    return look_up(token)


async def profile(request: Request) -> Response:
    """Show the member's own page."""
    member = await member_of(request)
    if member.get("status") != "ok":
        return JSONResponse({"detail": "sign in first"}, status_code=401)
    return JSONResponse({"member": request.path_params["member"], "tier": "silver", "points": 1_250})


app = Starlette(routes=[Route("/members/{member:int}", profile)])
