"""Which HTTP methods the request names of a Locust file stand for, read from its text. Nothing is run or imported.

Locust names a request by its path or its `name=`, and the recorded figures know the name only. Found are calls such as
`self.client.post(f"/items/{id}", name="/items/[id]")` and `self.client.request("PUT", ...)`, wherever in the file; what
a helper or another module sends is not.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
CALLS_WITH_METHOD = frozenset({"request", "rest"})
"""Their first argument is the method: `client.request`, and `FastHttpUser.rest`."""


@dataclass(frozen=True)
class NamedRequest:
    """One call in the file: its method, and the names that it can have."""

    method: str
    pattern: re.Pattern[str]


def named_requests(path: Path) -> list[NamedRequest]:
    """Return the requests that the text of a Locust file shows; none where it cannot be read as Python."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):  # ValueError: not UTF-8, or NUL bytes
        return []
    return list(_found(tree))


def methods_of(names: Iterable[str], requests: Iterable[NamedRequest]) -> dict[str, frozenset[str]]:
    """Return the methods of each name that any request matches; an exact name stands above a pattern."""
    known = list(requests)
    found = {}
    for name in names:
        fitting = [one for one in known if one.pattern.fullmatch(name)]
        exact = [one for one in fitting if one.pattern.pattern == re.escape(name)]
        if fitting:
            found[name] = frozenset(one.method for one in exact or fitting)
    return found


def _found(tree: ast.AST) -> Iterator[NamedRequest]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        method, arguments = node.func.attr.upper(), list(node.args)
        if node.func.attr in CALLS_WITH_METHOD and arguments:
            first = arguments.pop(0)
            method = first.value.upper() if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
        if method not in METHODS:
            continue
        named = {word.arg: word.value for word in node.keywords}
        given = named.get("name") or named.get("url") or named.get("path") or (arguments[0] if arguments else None)
        pattern = _pattern(given) if given is not None else None
        # A name is a path, or it is given as one: `settings.get("key")` is no request.
        if pattern is not None and ("name" in named or pattern.startswith("/")):
            yield NamedRequest(method, re.compile(pattern))


def _pattern(node: ast.expr) -> str | None:
    """Return a regular expression for a text; anything that is not written down matches what it likes, but not all."""
    match node:
        case ast.Constant(value=str() as text):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(_piece(part) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            begin = _pattern(left)
            return None if begin is None else begin + _piece(right)
        case _:
            return None


def _piece(node: ast.expr) -> str:
    known = _pattern(node)
    return ".+" if known is None else known
