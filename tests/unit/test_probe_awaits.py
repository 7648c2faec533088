"""What requests wait for, read from await chains that the test has built itself."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.probe import asgi, awaits_format
from pinchpoint.monitoring.probe.awaits import Profile, choose
from pinchpoint.monitoring.probe.chains import Chain, follow
from pinchpoint.monitoring.probe.runtime import RUNTIME, Hook
from pinchpoint.monitoring.probe.waits import Place, waits_for

Handler = Callable[[], Awaitable[Any]]
SCOPE = {"type": "http", "method": "GET", "path": "/items/42", "root_path": ""}


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count requests in figures of their own, and watch no loop."""
    fresh = asgi.Requests()
    fresh.seen = True
    monkeypatch.setattr(asgi, "REQUESTS", fresh)
    monkeypatch.setattr(asgi, "HOOK", Hook("requests", fresh.fill, fresh.reset))
    monkeypatch.setattr(RUNTIME, "active", True)


@pytest.fixture
def alone() -> None:
    """Drop the tasks that earlier tests left in reference cycles: asyncio knows them until they are collected."""
    gc.collect()


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def _request(handler: Handler) -> "asyncio.Task[None]":
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await handler()

    async def serve() -> None:
        await asgi.wrap(app)(dict(SCOPE), None, None)

    return asyncio.create_task(serve())


def _chain(handler: Handler, turns: Callable[[], Awaitable[None]] = _settle) -> Chain:
    async def main() -> Chain:
        task = _request(handler)
        await turns()
        found = follow(task)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert found is not None
        return found

    return asyncio.run(main())


def _kind(chain: Chain) -> str:
    return awaits_format.READY if chain.state == awaits_format.READY else waits_for(chain.places, chain.state)


def _names(chain: Chain) -> list[str]:
    return [place.function.rpartition(".")[2] for place in chain.places]


async def _locked() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    await lock.acquire()


async def _queued() -> None:
    await asyncio.Queue[None]().get()


async def _signalled() -> None:
    await asyncio.Event().wait()


async def _asleep() -> None:
    await asyncio.sleep(60)


async def _under_timeout() -> None:
    await asyncio.wait_for(_queued(), 60)


async def _gathered() -> None:
    await asyncio.gather(_queued(), _queued())


async def _shielded() -> None:
    inner = asyncio.ensure_future(_queued())
    try:
        await asyncio.shield(inner)
    finally:
        inner.cancel()


async def _waited() -> None:
    inner = asyncio.ensure_future(_queued())
    try:
        await asyncio.wait([inner])
    finally:
        inner.cancel()


async def _grouped() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_queued)


async def _generated() -> AsyncIterator[None]:
    await _queued()
    yield


async def _iterated() -> None:
    async for _ in _generated():
        pass


class _Awaited:
    def __await__(self) -> Any:
        return _queued().__await__()


async def _custom() -> None:
    await _Awaited()


async def _threadless() -> None:
    limiter = anyio.CapacityLimiter(1)
    await limiter.acquire_on_behalf_of(limiter)
    await anyio.to_thread.run_sync(str, limiter=limiter)


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (_locked, awaits_format.LOCK),
        (_queued, awaits_format.QUEUE),
        (_signalled, awaits_format.EVENT),
        (_asleep, awaits_format.SLEEP),
        (_under_timeout, awaits_format.QUEUE),
        (_gathered, awaits_format.QUEUE),
        (_shielded, awaits_format.QUEUE),
        (_waited, awaits_format.QUEUE),
        (_grouped, awaits_format.QUEUE),
        (_iterated, awaits_format.QUEUE),
        (_custom, awaits_format.QUEUE),
        (_threadless, awaits_format.THREAD_TOKEN),
    ],
)
def test_a_wait_is_known_through_whatever_lies_between(handler: Handler, kind: str) -> None:
    """Timeouts, child tasks and generators are followed to the innermost wait."""
    assert _kind(_chain(handler)) == kind


def test_a_chain_runs_from_the_server_to_the_wait_without_the_probe() -> None:
    """The child task's frames follow those of the request that waits for it."""
    names = _names(_chain(_grouped))
    assert names[:3] == ["serve", "app", "_grouped"]
    assert names[-2:] == ["_queued", "get"]


def test_a_request_whose_wait_is_over_waits_for_the_loop() -> None:
    """It is ready, and has not been stepped yet."""

    async def main() -> str:
        event = asyncio.Event()
        task = _request(event.wait)
        await _settle()
        event.set()
        found = follow(task)
        await task
        assert found is not None
        return _kind(found)

    assert asyncio.run(main()) == awaits_format.READY


def test_a_task_that_serves_no_request_is_left_out() -> None:
    """Idle tasks of the server, and background tasks of the app."""

    async def main() -> Chain | None:
        task = asyncio.create_task(_asleep())
        await _settle()
        found = follow(task)
        task.cancel()
        return found

    assert asyncio.run(main()) is None


@pytest.mark.usefixtures("alone")
def test_a_request_is_counted_under_its_path_without_ids_before_it_has_a_route() -> None:
    """No row of the page is taken for it."""

    async def main() -> Profile:
        profile = Profile()
        task = _request(_asleep)
        await _settle()
        profile.look(asyncio.get_running_loop())
        task.cancel()
        return profile

    profile = asyncio.run(main())
    assert (profile.ticks, profile.walked) == (1, 1)
    assert [key[0] for key in profile.counts] == ["GET /items/{}"]


@pytest.mark.usefixtures("alone")
def test_every_task_has_the_same_chance_to_be_looked_at() -> None:
    """A quarter of 1,001 tasks, 400 times: none is met more than 5.7 standard deviations off the 100 it is due."""

    async def main() -> list[int]:
        before, _ = choose(asyncio.get_running_loop(), 1)
        tasks = [asyncio.create_task(_asleep()) for _ in range(1000)]
        met: dict[Any, int] = dict.fromkeys(tasks, 0)
        for _ in range(400):
            total, chosen = choose(asyncio.get_running_loop(), 250)
            assert total == before + 1000
            for task in chosen:
                met[task] = met.get(task, 0) + 1
        for task in tasks:
            task.cancel()
        return [met[task] for task in tasks]

    met = asyncio.run(main())
    assert min(met) > 50
    assert max(met) < 150


@pytest.mark.usefixtures("alone")
def test_stacks_beyond_the_limit_count_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays bounded."""
    monkeypatch.setattr(awaits_format, "MAX_STACKS", 1)

    async def main() -> Profile:
        profile = Profile()
        tasks = [_request(_asleep), _request(_queued)]
        await _settle()
        profile.look(asyncio.get_running_loop())
        for task in tasks:
            task.cancel()
        return profile

    profile = asyncio.run(main())
    assert sorted(profile.counts.values()) == [1, 1]
    assert (awaits_format.OTHER_STACK,) in profile.counts


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["sqlalchemy/pool/impl.py:_do_get", "sqlalchemy/util/queue.py:get", "asyncio/queues.py:Queue.get"], "POOL"),
        (["sqlalchemy/dialects/x.py:execute", "asyncpg/connection.py:fetch"], "DATABASE"),
        (["psycopg_pool/pool_async.py:getconn", "asyncio/locks.py:Event.wait"], "POOL"),
        (["httpcore/_async/connection_pool.py:AsyncPoolRequest.wait_for_connection",
          "httpcore/_synchronization.py:AsyncEvent.wait", "asyncio/locks.py:Event.wait"], "HTTP_POOL"),
        (["httpcore/_async/http11.py:_receive", "anyio/_backends/_asyncio.py:SocketStream.receive"], "HTTP"),
        (["aiohttp/connector.py:BaseConnector._wait_for_available_connection"], "HTTP_POOL"),
        (["uvicorn/protocols/http/flow_control.py:drain", "asyncio/locks.py:Event.wait"], "CLIENT"),
        (["tenacity/x.py:wait", "asyncio/tasks.py:sleep"], "SLEEP"),
    ],
)  # fmt: skip
def test_the_library_says_what_is_waited_for(files: list[str], kind: str) -> None:
    """The primitive below it only says how."""
    places = [_place("/srv/app/main.py", "handler"), *[_place(*_installed(file)) for file in files]]
    assert waits_for(places) == getattr(awaits_format, kind)


def _installed(text: str) -> tuple[str, str]:
    file, _, function = text.partition(":")
    stdlib = asyncio.__file__.rpartition("asyncio/")[0]
    return (stdlib if file.startswith("asyncio/") else "/venv/lib/python3.11/site-packages/") + file, function


def _place(file: str, function: str) -> Place:
    return Place(SimpleNamespace(co_filename=file), function, 1)


@given(
    stacks=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1), st.integers(0, 9)
    )
)
def test_a_file_reads_back_as_it_was_written(stacks: dict[str, int]) -> None:
    """Whatever the names."""
    read = awaits_format.parse(awaits_format.render(awaits_format.Awaits(7, 1, 2, 3, stacks)))
    assert read is not None
    assert (read.pid, read.ticks, read.tasks, read.walked, read.stacks) == (7, 1, 2, 3, stacks)


@given(text=st.text())
def test_a_foreign_file_is_no_profile_and_no_error(text: str) -> None:
    """Not even after our own first words."""
    assert awaits_format.parse(text) is None
    assert awaits_format.parse("pinchpoint-awaits 1 x" + text) is None
