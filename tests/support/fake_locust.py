"""A stand-in for Locust, in which a written file runs without sending anything: the test is the server."""

import ast
import json
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import pytest


@dataclass
class Answer:
    """What the server of a test says."""

    status_code: int = 200
    told: Any = None
    succeeded: bool = False

    @property
    def content(self) -> bytes:
        """The body."""
        return b"" if self.told is None else json.dumps(self.told).encode()

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.content)

    def success(self) -> None:
        """Note that the load calls it a right answer."""
        self.succeeded = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


@dataclass
class Sent:
    """One request."""

    method: str
    path: str
    name: str
    headers: dict[str, str]
    more: dict[str, Any]


@dataclass
class Client:
    """Takes requests to the server of a test, and keeps them."""

    server: Callable[[Sent], Answer]
    sent: list[Sent] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def request(self, method: str, path: str, *, name: str, headers: dict[str, str], **more: Any) -> Answer:
        """Answer as the server does."""
        assert more.pop("catch_response") is True
        assert more.pop("allow_redirects") is False
        self.sent.append(Sent(method, path, name, headers, more))
        self.answers.append(self.server(self.sent[-1]))
        return self.answers[-1]

    @property
    def labels(self) -> list[str]:
        """What was sent, as `GET /items/7`."""
        return [f"{one.method} {one.path}" for one in self.sent]


def user_of(text: str, monkeypatch: pytest.MonkeyPatch, server: Callable[[Sent], Answer]) -> Any:
    """Load a written file and start one of its users; `user.client` is a `Client`."""
    locust, contrib, fast = (types.ModuleType(f"locust{rest}") for rest in ("", ".contrib", ".contrib.fasthttp"))
    made: dict[str, Any] = {
        "FastHttpUser": type("FastHttpUser", (), {}),
        "between": lambda *_: None,
        "task": lambda _: lambda function: function,
    }
    vars(locust).update(made)
    vars(fast).update({"ResponseContextManager": Answer})
    for module in (locust, contrib, fast):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {}
    exec(compile(text, "locustfile.py", "exec"), names)  # noqa: S102 - what we have written
    user = names["ApiUser"]()
    user.client = Client(server)
    user.on_start()
    return user


def method_text(text: str, name: str) -> str:
    """Return the source of one method of the user, its decorator included."""
    tree = ast.parse(text)
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    first = min([found.lineno, *(one.lineno for one in found.decorator_list)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : found.end_lineno]))
