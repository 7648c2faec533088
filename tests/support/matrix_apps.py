"""One app in every framework, built when a server asks: `/` answers at once, `/work/{item_id}` takes `WORK_S`."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

WORK_S = 0.1


def fastapi_async() -> Any:
    """FastAPI with coroutines."""
    from fastapi import FastAPI  # noqa: PLC0415 - only the framework that is served

    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, int]:
        return {}

    @app.get("/work/{item_id}")
    async def work(item_id: int) -> dict[str, int]:
        await asyncio.sleep(WORK_S)
        return {"id": item_id}

    return app


def fastapi_sync() -> Any:
    """FastAPI with functions, which run in the threadpool."""
    from fastapi import FastAPI  # noqa: PLC0415

    app = FastAPI()

    @app.get("/")
    def root() -> dict[str, int]:
        return {}

    @app.get("/work/{item_id}")
    def work(item_id: int) -> dict[str, int]:
        time.sleep(WORK_S)
        return {"id": item_id}

    return app


def starlette() -> Any:
    """Starlette, the route below a mount."""
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import PlainTextResponse, Response  # noqa: PLC0415
    from starlette.routing import Mount, Route  # noqa: PLC0415

    async def root(_: Request) -> Response:
        return PlainTextResponse("")

    async def work(request: Request) -> Response:
        await asyncio.sleep(WORK_S)
        return PlainTextResponse(request.path_params["item_id"])

    return Starlette(routes=[Route("/", root), Mount("/work", routes=[Route("/{item_id}", work)])])


def flask() -> Any:
    """Flask."""
    from flask import Flask  # noqa: PLC0415

    app = Flask(__name__)

    @app.get("/")
    def root() -> str:
        return ""

    @app.get("/work/<int:item_id>")
    def work(item_id: int) -> str:
        time.sleep(WORK_S)
        return str(item_id)

    return app


def _django() -> None:
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.http import HttpRequest, HttpResponse  # noqa: PLC0415
    from django.urls import include, path  # noqa: PLC0415

    def root(_: HttpRequest) -> HttpResponse:
        return HttpResponse("")

    def work(_: HttpRequest, item_id: int) -> HttpResponse:
        time.sleep(WORK_S)
        return HttpResponse(str(item_id))

    async def awaited(_: HttpRequest, item_id: int) -> HttpResponse:
        await asyncio.sleep(WORK_S)
        return HttpResponse(str(item_id))

    below = [path("<int:item_id>", work)]
    urls = type("urls", (), {"urlpatterns": [
        path("", root), path("work/", include(below)), path("awaited/<int:item_id>", awaited),
    ]})  # fmt: skip
    # It adds Content-Length; without, the last chunk may wait for TCP's acknowledgement of the one before.
    common = ["django.middleware.common.CommonMiddleware"]
    settings.configure(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"], SECRET_KEY="test", MIDDLEWARE=common)
    django.setup()


def django_wsgi() -> Any:
    """Django as WSGI, the route below an include."""
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415

    _django()
    return get_wsgi_application()


def django_asgi() -> Any:
    """Django as ASGI."""
    from django.core.asgi import get_asgi_application  # noqa: PLC0415

    _django()
    return get_asgi_application()


_BUILDERS: dict[str, Callable[[], Any]] = {
    f"{build.__name__}_app": build
    for build in (fastapi_async, fastapi_sync, starlette, flask, django_wsgi, django_asgi)
}


def __getattr__(name: str) -> Any:
    """Build the app that a server imports."""
    if name not in _BUILDERS:
        raise AttributeError(name)
    globals()[name] = app = _BUILDERS[name]()
    return app
