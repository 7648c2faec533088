"""Exchange rates, of which every caller may have so many per second and no more."""

import math
import time

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .settings import severity

PER_S = 40 / severity()
BURST = 20.0


class FairUse:
    """Answers 429 to those who ask more often than agreed."""

    def __init__(self, app: ASGIApp, per_s: float, burst: float) -> None:
        self.app = app
        self.per_s = per_s
        self.burst = burst
        self.left = burst
        self.since_s = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say that it was too often."""
        if scope["type"] != "http" or self._granted(time.monotonic()):
            await self.app(scope, receive, send)
            return
        after = str(math.ceil(1 / self.per_s))
        await JSONResponse({"detail": "slow down"}, 429, {"Retry-After": after})(scope, receive, send)

    def _granted(self, now_s: float) -> bool:
        self.left = min(self.burst, self.left + (now_s - self.since_s) * self.per_s)
        self.since_s = now_s
        if self.left < 1:
            return False
        self.left -= 1
        return True


async def rate(request: Request) -> JSONResponse:
    """Return a rate."""
    code = request.path_params["code"]
    return JSONResponse({"code": code, "rate": 1 + sum(map(ord, code)) % 50 / 100})


async def root(_request: Request) -> JSONResponse:
    """Say that the service is up."""
    return JSONResponse({"service": "currency"})


app = Starlette(
    routes=[Route("/", root), Route("/rates/{code}", rate)],
    middleware=[Middleware(FairUse, per_s=PER_S, burst=BURST)],
)
