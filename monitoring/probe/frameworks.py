"""Route templates of Flask, Quart and Django, left in the request for the request hooks, as `pinchpoint.route`.

They are noted when the framework has matched the path, so they stand whatever the view does; a path that matches
nothing leaves none. Read: Flask 2.0 to 3.1, Quart 0.19 and 0.20, Django 3.2 to 5.2.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from .runtime import RUNTIME, Hook

ROUTE = "pinchpoint.route"
_NAMED_GROUP = re.compile(r"\(\?P(<\w+>)")
_ANCHORS = re.compile(r"(?<!\\)[\^$]|\\[AbBZ]")
_ESCAPED = re.compile(r"\\([/.\-_~@:+])")
_REGEX = re.compile(r"[\^$\\(]")


def _no_fields(_fields: dict[str, float], _at: float) -> None:
    """A template is part of its route's name."""


def _no_reset() -> None:
    """Nothing is kept."""


HOOK = Hook("frameworks", _no_fields, _no_reset)
RUNTIME.add(HOOK)


def hook_flask(module: Any) -> None:
    """Note the rule that Flask's request context matched."""
    # Flask 3.2 has one context for app and request; before, the request has its own.
    context = module.__dict__.get("RequestContext")
    if context is None or not hasattr(context, "match_request"):
        context = module.AppContext
    _hook_match(context, _note_flask)


def hook_quart(module: Any) -> None:
    """Note the rule that Quart's request context matched."""
    _hook_match(module._BaseRequestWebsocketContext, _note_quart)  # noqa: SLF001 - requests and websockets both


def _hook_match(context_class: Any, note: Any) -> None:
    original = context_class.match_request

    @functools.wraps(original)
    def match_request(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        HOOK.safely(note, self)
        return result

    context_class.match_request = match_request


def _note_flask(context: Any) -> None:
    request = context.request
    if request.url_rule is not None:
        environ = request.environ
        environ[ROUTE] = environ.get("SCRIPT_NAME", "") + request.url_rule.rule


def _note_quart(context: Any) -> None:
    request = context.request_websocket
    if request.url_rule is not None:
        request.scope[ROUTE] = request.url_rule.rule


def hook_django(module: Any) -> None:
    """Note the pattern that Django's handler resolved, under WSGI and under ASGI."""
    handler = module.BaseHandler
    original = handler.resolve_request

    @functools.wraps(original)
    def resolve_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        match = original(self, request, *args, **kwargs)
        HOOK.safely(_note_django, request, match)
        return match

    handler.resolve_request = resolve_request


def _note_django(request: Any, match: Any) -> None:
    where = getattr(request, "scope", None)
    if where is None:
        where = getattr(request, "environ", None)
    if where is not None and match.route is not None:
        prefix = where.get("SCRIPT_NAME") or where.get("root_path") or ""
        where[ROUTE] = prefix.rstrip("/") + "/" + readable(str(match.route))


@functools.lru_cache(maxsize=1024)
def readable(route: str) -> str:
    """Return a regular expression as Django's own paths are written: `^a/(?P<pk>[0-9]+)/$` becomes `a/<pk>/`.

    Groups without a name become `<var>`, as in Django's documentation of URLs; a path stays as it is.
    """
    if _REGEX.search(route) is None:
        return route
    text, kept, at = _NAMED_GROUP.sub(r"(\1", route), [], 0
    while at < len(text):
        if text[at] == "\\":
            kept.append(text[at : at + 2])
            at += 2
        elif text[at] != "(":
            kept.append(text[at])
            at += 1
        else:
            end = _closing(text, at)
            kept.append(_group(text[at + 1 : end - 1]))
            at = end
    return _ESCAPED.sub(r"\1", _ANCHORS.sub("", "".join(kept)))


def _closing(text: str, at: int) -> int:
    """Return where the group that opens at `at` is over; brackets in a set are no groups."""
    depth, in_set = 0, False
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            at += 1
        elif in_set:
            in_set = letter != "]"
        elif letter == "[":
            in_set = True
        else:
            depth += (letter == "(") - (letter == ")")
            if depth == 0:
                return at + 1
        at += 1
    return at


def _group(inner: str) -> str:
    if inner.startswith("<"):
        return inner.partition(">")[0] + ">"
    return "" if inner.startswith("?") and not inner.startswith("?:") else "<var>"
