"""Which route an ASGI request took, from what the framework left in its scope.

Starlette 1.x and FastAPI leave `route`; older Starlette `endpoint`; both change `root_path` below a Mount; FastAPI with
routers included lazily leaves the route as included under `fastapi`; Litestar leaves `path_template`. Anything else can
leave `pinchpoint.route`, which wins (Django does, through our own hook).
"""

from __future__ import annotations

import functools
import re
import sys
from typing import Any, Iterator

from .routes import NOT_FOUND, ROUTES_SEEN, RouteRow, normalised

SCOPE_KEY = "pinchpoint.route"
CALL_KEY = "pinchpoint.call"
_ROWS_KEPT = 1024
_DEPTH = 8
"""Mounts within mounts that are looked into."""

ROWS: dict[tuple[int, str, str], RouteRow] = {}
_alive: list[Any] = []
"""The routes in `ROWS`: as long as they are here, no other object gets their id."""


def row_of(scope: Any, status: int) -> RouteRow:
    """Return the row of a request of this scope that ended with `status` (0.3 us for a route seen before)."""
    try:
        if SCOPE_KEY not in scope:
            route = scope["route"]
            if "fastapi" in scope:
                included = scope["fastapi"].get("effective_route_context")
                if included is not None and included.original_route is route:
                    route = included
            return ROWS[id(route), scope["method"], scope["root_path"]]
    except (KeyError, AttributeError):
        pass
    return _find(scope, status)


class Copies:
    """A middleware may pass a copy of the scope on: the framework then leaves the route where we do not see it.

    From the first such request on, each request's call goes into its scope, and Starlette's router notes in it which
    copy it got. Costs 0.3 us a request, in such apps only.
    """

    def __init__(self) -> None:
        self.followed = False

    def follow(self) -> None:
        """Hook Starlette's router, once, if there is one."""
        router = getattr(sys.modules.get("starlette.routing"), "Router", None)
        if self.followed or router is None:
            return
        self.followed = True
        original = router.__call__

        @functools.wraps(original)
        async def noted(router: Any, scope: Any, receive: Any, send: Any) -> None:
            call = scope.get(CALL_KEY)
            if call is not None:
                call.scope = scope
            await original(router, scope, receive, send)

        router.__call__ = noted


COPIES = Copies()


def _find(scope: Any, status: int) -> RouteRow:
    method, path = scope.get("method", ""), scope.get("path", "")
    template = scope.get(SCOPE_KEY)
    if template is None:
        route = _included(scope) or scope.get("route") or scope.get("endpoint")
        template, certain = _template(scope, route) if route is not None else (scope.get("path_template"), False)
        row = ROUTES_SEEN.row(method, template, path, status)
        if route is None and template is None and status != NOT_FOUND:
            COPIES.follow()
        if certain:
            if len(ROWS) >= _ROWS_KEPT:
                ROWS.clear()
                _alive.clear()
            ROWS[id(route), method, scope.get("root_path", "")] = row
            _alive.append(route)
        return row
    return ROUTES_SEEN.row(method, template, path, status)


def _included(scope: Any) -> Any:
    """Return FastAPI's route as included under a prefix; None when it was not included."""
    included = (scope.get("fastapi") or {}).get("effective_route_context")
    return included if getattr(included, "original_route", None) is scope.get("route") else None


def _template(scope: Any, route: Any) -> tuple[str | None, bool]:
    """Return the whole template of a route or endpoint, and whether all its requests below this root path have it."""
    top = scope.get("router") or getattr(scope.get("app"), "router", None)
    found = list(_paths(top, route, "", _DEPTH)) if top is not None else []
    if len(found) == 1:
        return found[0], True
    for template in found:
        if _matches(template, scope.get("path", "")):
            return template, False
    own = _own_path(route)
    return (None, False) if own is None else (_prefix(scope) + own, True)


def _own_path(route: Any) -> str | None:
    path = getattr(route, "path", None)
    if not isinstance(path, str):
        return None
    return path + "/{path}" if hasattr(route, "routes") else path


def _paths(node: Any, wanted: Any, prefix: str, depth: int) -> Iterator[str]:
    """Yield the templates under which `wanted` can be reached from a router, app or Mount."""
    for route in getattr(node, "routes", None) or ():
        own = _own_path(route)
        if own is not None and _is(route, wanted):
            yield prefix + own
        elif hasattr(route, "effective_route_contexts"):  # FastAPI's included router
            for context in route.effective_route_contexts():
                if context is wanted:
                    yield prefix + context.path
        elif depth and getattr(route, "routes", None):
            yield from _paths(route, wanted, prefix + (getattr(route, "path", None) or ""), depth - 1)


def _is(route: Any, wanted: Any) -> bool:
    """Compare by identity: routes compare by value. A Mount leaves its app as the endpoint."""
    return any(face is wanted for face in (route, getattr(route, "endpoint", None), getattr(route, "app", None)))


def _matches(template: str, path: str) -> bool:
    """Say whether a path can have been made from this template."""
    pieces = re.split(r"\{[^{}]*\}", template)
    return re.search(".+".join(re.escape(piece) for piece in pieces) + r"\Z", path) is not None


def _prefix(scope: Any) -> str:
    """Return the mounts' part of the path, as well as it can be told without them."""
    root, app_root = scope.get("root_path") or "", scope.get("app_root_path")
    return normalised(root[len(app_root) :]) if app_root is not None and root.startswith(app_root) else ""
