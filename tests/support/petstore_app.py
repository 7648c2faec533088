"""The petstore alone, in process: its router on an engine of its own, asked over ASGI without a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from pinchpoint.app import petstore
from pinchpoint.app.database import make_engine, metadata
from pinchpoint.app.settings import async_database_url


class Store:
    """Asks one or several copies of the app, in turn, as a load balancer would."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self._clients = clients
        self._asked = 0

    async def post(self, path: str, body: Any) -> httpx.Response:
        """Send a POST with a JSON body to the next copy."""
        return await self._next().post(f"/petstore{path}", json=body)

    async def get(self, path: str) -> httpx.Response:
        """Send a GET to the next copy."""
        return await self._next().get(f"/petstore{path}")

    async def post_all(self, path: str, bodies: list[Any]) -> list[httpx.Response]:
        """Send POSTs at once, spread over the copies."""
        return list(await asyncio.gather(*(self.post(path, body) for body in bodies)))

    def _next(self) -> httpx.AsyncClient:
        self._asked += 1
        return self._clients[self._asked % len(self._clients)]


@asynccontextmanager
async def petstore_on(url: str, *, copies: int = 1, pool: int = 5) -> AsyncIterator[Store]:
    """Serve the petstore from copies with a pool of connections each, on one database whose tables are made first."""
    engines = [
        make_engine(async_database_url(url), pool_size=pool, max_overflow=0, pool_timeout_s=30) for _ in range(copies)
    ]
    clients = []
    for engine in engines:
        app = FastAPI(redirect_slashes=False)
        app.state.engine = engine
        app.include_router(petstore.router)
        clients.append(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://petstore"))
    try:
        async with engines[0].begin() as connection:
            await connection.run_sync(metadata.create_all)
        yield Store(clients)
    finally:
        for client in clients:
            await client.aclose()
        for engine in engines:
            await engine.dispose()
