"""The inventory's routes in process on a SQLite file, and buyers who come at the same moment over the network."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from pinchpoint.app import stock
from pinchpoint.app.database import make_engine, metadata
from pinchpoint.app.faults import activate
from pinchpoint.app.inventory import router

RACE_S = 60.0


class Shop:
    """The routes without a server: each request is run to its end on one event loop."""

    def __init__(self, runner: asyncio.Runner, http: httpx.AsyncClient, url: str) -> None:
        self._runner, self._http = runner, http
        self.url = url

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send one request."""
        return self._runner.run(self._http.request(method, path, json=body))

    def order_at_once(self, bodies: Sequence[dict[str, Any]]) -> Counter[int]:
        """Send many orders together; return how often each status came."""

        async def all_of_them() -> list[httpx.Response]:
            return await asyncio.gather(*(self._http.post("/orders", json=body) for body in bodies))

        return Counter(response.status_code for response in self._runner.run(all_of_them()))

    def product(self, stock: int, price: float = 2.5) -> int:
        """Create a product and return its id."""
        response = self.ask("POST", "/products", {"name": "Lamp", "price": price, "stock": stock})
        assert response.status_code == 201, response.text
        return int(response.json()["id"])

    def order(self, *lines: tuple[int, int]) -> httpx.Response:
        """Order so many pieces of each product."""
        return self.ask("POST", "/orders", order_of(*lines))

    def stock(self, product_id: int) -> int:
        """Return the stock of a product."""
        return int(self.ask("GET", f"/products/{product_id}").json()["stock"])

    def audit(self) -> dict[str, Any]:
        """Return what the check of the database finds."""
        return self._runner.run(stock.audit(self.url)).as_json()


@contextlib.contextmanager
def open_shop(folder: Path, *faults: str, severity: float = 1.0) -> Iterator[Shop]:
    """Serve an empty shop."""
    url = f"sqlite+aiosqlite:///{folder}/shop.db"
    engine = make_engine(url, pool_size=5, max_overflow=0, pool_timeout_s=30.0)
    app = FastAPI()
    app.include_router(router)
    app.state.engine, app.state.faults = engine, activate(faults, severity)
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop")
        try:
            runner.run(_create_tables(engine))
            yield Shop(runner, http, url)
        finally:
            runner.run(http.aclose())
            runner.run(engine.dispose())


async def _create_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)


def order_of(*lines: tuple[int, int]) -> dict[str, Any]:
    """Return the body of an order of so many pieces of each product."""
    return {"lines": [{"product_id": product_id, "quantity": pieces} for product_id, pieces in lines]}


def race(port: int, product_id: int, buyers: int) -> Counter[int]:
    """Let many buyers order one piece each at the same moment; return how often each status came.

    All are connected before the first one sends.
    """

    async def all_of_them() -> list[int]:
        start = asyncio.Barrier(buyers)
        async with asyncio.timeout(RACE_S):
            return await asyncio.gather(*(_buy(port, product_id, start) for _ in range(buyers)))

    return Counter(asyncio.run(all_of_them()))


async def _buy(port: int, product_id: int, start: asyncio.Barrier) -> int:
    body = json.dumps(order_of((product_id, 1))).encode()
    head = (
        f"POST /orders HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await start.wait()
        writer.write(head.encode() + body)
        answer = await reader.read()
        return int(answer.split(b" ", 2)[1])
    finally:
        writer.close()
        await writer.wait_closed()
