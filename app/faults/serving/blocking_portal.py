"""A customers' portal on Starlette, whose middleware slows clients down before any route is looked up."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .settings import cured, severity

PAUSE_S = 0.010 * severity()


async def pause_here() -> None:
    """Make the client wait."""
    time.sleep(PAUSE_S)  # noqa: ASYNC251 - as in the code this is modelled on


async def pause_client() -> None:
    """Make the client wait, and no other."""
    await asyncio.sleep(PAUSE_S)


class FairUse:
    """Counts requests by client and makes those without a plan wait a little."""

    def __init__(self, app: ASGIApp, pause: Callable[[], Awaitable[None]]) -> None:
        self.app = app
        self.pause = pause
        self.seen: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, wait, pass on."""
        if scope["type"] == "http":
            client = scope["client"][0] if scope.get("client") else "-"
            self.seen[client] = self.seen.get(client, 0) + 1
            await self.pause()
        await self.app(scope, receive, send)


async def account(request: Request) -> JSONResponse:
    """Return an account."""
    number = request.path_params["number"]
    return JSONResponse({"number": number, "plan": "free", "owner": f"customer {number}", "active": True})


app = Starlette(
    routes=[Route("/accounts/{number:int}", account)],
    middleware=[Middleware(FairUse, pause=pause_client if cured() else pause_here)],
)
