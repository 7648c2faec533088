"""Route templates: what the framework matched, whatever the view does with it."""

import asyncio
from typing import Any

import flask.ctx
import pytest
from django.core.handlers import base
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import create_environ

from pinchpoint.monitoring.probe import frameworks
from pinchpoint.monitoring.probe.frameworks import readable
from pinchpoint.monitoring.probe.runtime import Hook
from support.wsgi_flask import app as flask_app

KEY = "pinchpoint.route"


@pytest.fixture(autouse=True)
def _hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hook both frameworks for the length of one test."""
    monkeypatch.setattr(frameworks, "HOOK", Hook("frameworks", frameworks._no_fields, frameworks._no_reset))
    context: Any = flask.ctx.RequestContext
    monkeypatch.setattr(context, "match_request", context.match_request)
    monkeypatch.setattr(base.BaseHandler, "resolve_request", base.BaseHandler.resolve_request)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "support.wsgi_django")
    frameworks.hook_flask(flask.ctx)
    frameworks.hook_django(base)


def _status(app: Any, environ: dict[str, Any]) -> int:
    """Serve one request, in this very environment; return the status."""
    statuses: list[str] = []
    body = app(environ, lambda status, headers, error=None: statuses.append(status))
    assert list(body)
    body.close()
    return int(statuses[-1].split()[0])


@pytest.mark.parametrize(
    ("path", "status", "route"),
    [
        ("/", 200, "/"),
        ("/shop/hold/0", 200, "/shop/hold/<int:milliseconds>"),
        ("/shop/fail/7", 500, "/shop/fail/<int:number>"),
        ("/shop/hold/0?refuse=1", 403, "/shop/hold/<int:milliseconds>"),
        ("/nowhere", 404, None),
    ],
)
def test_flask_leaves_the_rule(path: str, status: int, route: str | None) -> None:
    """With the blueprint's prefix; also when the view raises or is not reached."""
    environ = create_environ(path)
    assert (_status(flask_app, environ), environ.get(KEY)) == (status, route)


def test_a_mounted_app_has_its_place_in_front() -> None:
    """Two mounted apps with one rule are two routes."""
    environ = create_environ("/", "http://localhost/mounted")
    assert _status(flask_app, environ) == 200
    assert environ[KEY] == "/mounted/"


DJANGO = [
    ("/", 200, "/"),
    ("/shop/hold/0", 200, "/shop/hold/<int:milliseconds>"),
    ("/shop/stream/0", 200, "/shop/stream/<milliseconds>"),
    ("/shop/fail/7", 500, "/shop/fail/<int:number>"),
    ("/nowhere", 404, None),
]


@pytest.mark.parametrize(("path", "status", "route"), DJANGO)
def test_django_leaves_the_pattern_under_wsgi(path: str, status: int, route: str | None) -> None:
    """With the prefix of `include`; a regular expression in the words of a path."""
    environ = create_environ(path)
    assert (_status(WSGIHandler(), environ), environ.get(KEY)) == (status, route)


@pytest.mark.parametrize(("path", "status", "route"), [case for case in DJANGO if "stream" not in case[0]])
def test_django_leaves_the_pattern_under_asgi(path: str, status: int, route: str | None) -> None:
    """In the scope that the server gave."""
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def serve() -> None:
        first = asyncio.Event()

        async def receive_once() -> dict[str, Any]:
            if first.is_set():
                await asyncio.Event().wait()
            first.set()
            return {"type": "http.request", "body": b"", "more_body": False}

        await ASGIHandler()(scope, receive_once, send)

    asyncio.run(serve())
    assert (sent[0]["status"], scope.get(KEY)) == (status, route)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("items/<int:pk>/", "items/<int:pk>/"),
        (r"^items/(?P<pk>[^/.]+)/$", "items/<pk>/"),
        (r"^items\.(?P<format>[a-z0-9]+)/?\Z", "items.<format>/?"),
        (r"api/^v(?P<version>(v1|v2))/(\d+)/$", "api/v<version>/<var>/"),
        (r"^a/(?:b|c)/(?P<x>[()]+)$", "a/<var>/<x>"),
        (r"^(?=x)a$", "a"),
        ("^broken/(", "broken/<var>"),
    ],
)
def test_regular_expressions_become_readable(pattern: str, text: str) -> None:
    """As Django's own documentation shows them."""
    assert readable(pattern) == text


@given(st.text(alphabet=r"ab/(?P<x>)[]\^$|+*", max_size=30))
def test_any_pattern_becomes_something(pattern: str) -> None:
    """The framework accepted it; the hook must not fail on it."""
    assert isinstance(readable(pattern), str)


def test_a_framework_that_changed_costs_its_routes_only(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the view answers."""
    frameworks.HOOK.safely(frameworks._note_flask, object())
    environ = create_environ("/")
    assert (_status(flask_app, environ), environ.get(KEY)) == (200, None)
    assert capsys.readouterr().err.count("\n") == 1
