"""The probe inside real servers: its figures against what the app and its clients know."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.monitoring.pages import Page
from support import servers

HOLD_S = 0.05
UVICORN = ("-m", "uvicorn", "probe_app:app", "--log-level", "warning", "--port", "{port}")
GUNICORN = ("-m", "gunicorn", "probe_app:app", "--bind", "127.0.0.1:{port}", "--log-level", "warning")
GRACE = ("--graceful-timeout", "1")
"""gunicorn 27's `asgi` worker misses a SIGTERM that comes while it starts, with the probe and without."""


class Server(servers.Server):
    """How it is asked."""

    async def get(self, path: str) -> tuple[int, dict[str, Any], float]:
        """Return status, body and seconds of one request on a connection of its own."""
        started = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        status = int(head.split()[1])
        return status, json.loads(body) if status == 200 else {}, time.monotonic() - started

    def get_all(self, *paths: str) -> list[tuple[int, dict[str, Any], float]]:
        """Request all paths at once."""

        async def together() -> list[tuple[int, dict[str, Any], float]]:
            return await asyncio.gather(*[self.get(path) for path in paths])

        return asyncio.run(together())

    def page(self, ready: Callable[[dict[str, float]], bool] = bool) -> Page:
        """Return the only page, once it was published after this call and fulfils `ready`."""
        called = time.monotonic()
        page: Page = self.wait_for(
            lambda: next(
                (p for p in self.reader.read().values() if p.published_s > called and ready(p.fields)),
                None,
            )
        )
        return page


def serving(folder: Path, arguments: tuple[str, ...]) -> AbstractContextManager[Server]:
    """Serve with a database of its own."""
    return servers.serving(
        Server, folder, arguments, environ={"PROBE_APP_DATABASE": f"sqlite+aiosqlite:///{folder}/app.db"}
    )


@pytest.fixture(scope="module")
def uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve with uvicorn on asyncio's own loop."""
    with serving(tmp_path_factory.mktemp("uvicorn"), (*UVICORN, "--loop", "asyncio")) as server:
        yield server


def _grown(before: Page, after: Page) -> Callable[[str], float]:
    return lambda name: after.fields[name] - before.fields[name]


@pytest.mark.alone
def test_pool_figures_are_those_the_requests_saw(uvicorn: Server) -> None:
    """Eight requests at once on two connections held 50 ms each."""
    paths = [f"/pool?hold_s={HOLD_S}"] * 8
    uvicorn.get_all(*paths)
    before = uvicorn.page(lambda fields: fields["inflight"] == 0)
    answers = uvicorn.get_all(*paths)
    grown = _grown(before, uvicorn.page(lambda fields: fields["inflight"] == 0))
    waits, holds = (sum(body[name] for _, body, _ in answers) for name in ("wait_s", "hold_s"))
    assert grown("pool_wait_s") == pytest.approx(waits, rel=0.05)
    assert grown("pool_waiting_s") == pytest.approx(waits, rel=0.05)
    assert grown("pool_hold_s") == pytest.approx(holds, rel=0.05)
    assert grown("pool_busy_s") == pytest.approx(holds, rel=0.05)
    assert (grown("pool_checkouts"), grown("pool_timeouts"), grown("db_calls")) == (8, 0, 8)
    # Two at a time: 0, 0, 1, 1, 2, 2, 3 and 3 holding times; the wait is real, whatever the app says of itself.
    assert waits == pytest.approx(12 * HOLD_S, rel=0.35)
    assert before.fields["pool_size"] == 2
    assert before.fields["db_embedded"] == 1


@pytest.mark.alone
def test_a_blocked_loop_is_seen_while_it_is_blocked(uvicorn: Server) -> None:
    """The page is fresh in the middle of it, and the busy share is the truth afterwards."""
    before = uvicorn.page(lambda fields: fields["inflight"] == 0)

    async def look_meanwhile() -> Page:
        request = asyncio.ensure_future(uvicorn.get("/block?seconds=1"))
        page = await asyncio.to_thread(uvicorn.page, lambda fields: fields["loop_lag_max_s"] > 0.5)
        assert not request.done()
        await request
        return page

    during = asyncio.run(look_meanwhile())
    assert during.fields["inflight"] == 1
    after = uvicorn.page(lambda fields: fields["inflight"] == 0 and fields["loop_lag_n"] > before.fields["loop_lag_n"])
    grown = _grown(before, after)
    assert grown("loop_busy_s") == pytest.approx(1, rel=0.05)
    assert grown("handler_wall_s") == pytest.approx(1, rel=0.05)
    assert grown("handler_cpu_s") < 0.1
    assert grown("loop_lag_s") == pytest.approx(1, rel=0.1)


@pytest.mark.alone
def test_threadpool_tokens_are_counted(uvicorn: Server) -> None:
    """42 requests want one of 40 tokens: two wait."""
    uvicorn.get_all("/thread?seconds=0")
    before = uvicorn.page(lambda fields: fields.get("tokens_total") == 40)
    uvicorn.get_all(*["/thread?seconds=0.3"] * 42)
    grown = _grown(before, uvicorn.page(lambda fields: fields["inflight"] == 0))
    assert grown("tokens_taken") == 42
    assert grown("tokens_busy_s") == pytest.approx(42 * 0.3, rel=0.15)
    assert grown("tokens_wait_s") == pytest.approx(grown("tokens_waiting_s"))
    assert grown("tokens_wait_s") == pytest.approx(2 * 0.3, rel=0.35)


@pytest.mark.parametrize(
    ("worker", "preload"),
    [("uvicorn_worker.UvicornWorker", ()), ("uvicorn_worker.UvicornWorker", ("--preload",)), ("asgi", ())],
)
def test_gunicorns_workers_have_pages_and_its_master_has_none(
    tmp_path: Path, worker: str, preload: tuple[str, ...]
) -> None:
    """Also when the app was loaded before the fork; each worker counts its own requests."""
    with serving(tmp_path, (*GUNICORN, "--workers", "2", "--worker-class", worker, *GRACE, *preload)) as server:
        pids = {server.get_all("/")[0][1]["pid"] for _ in range(20)}
        pages = server.wait_for(lambda: (pages := server.reader.read()) and pids <= set(pages) and pages)
        master = int(Path(f"/proc/{next(iter(pids))}/stat").read_text().rpartition(")")[2].split()[1])
        server.wait_for(lambda: sum(page.fields["requests_done"] for page in server.reader.read().values()) >= 21)
    assert master not in pages
    assert len(pages) <= 2
