"""Vouchers: `async def` endpoints of Starlette that hand a partner's blocking kit to the loop's default executor."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from .settings import cured, severity

ANSWER_S = 0.02 * severity()
ROOMY = 48


class PartnerKit:
    """The partner's client; its calls block."""

    def __init__(self, answer_s: float) -> None:
        self.answer_s = answer_s

    def redeem(self, code: str) -> dict[str, object]:
        """Redeem a voucher."""
        time.sleep(self.answer_s)
        return {"code": code, "worth": 10 + len(code)}


kit = PartnerKit(ANSWER_S)


async def voucher(request: Request) -> JSONResponse:
    """Redeem a voucher without holding up the loop."""
    loop = asyncio.get_running_loop()
    redeemed = await loop.run_in_executor(None, kit.redeem, request.path_params["code"])
    return JSONResponse(redeemed)


async def root(_request: Request) -> JSONResponse:
    """Say that the service is up."""
    return JSONResponse({"service": "vouchers"})


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Give the loop a larger executor where the deployment wants it."""
    if cured():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(ROOMY))
    yield


app = Starlette(routes=[Route("/", root), Route("/vouchers/{code}", voucher)], lifespan=lifespan)
