"""The text of a written Locust file: what stands in it, and that it is clean."""

import ast
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from pinchpoint.commands.init.words import plain
from support.fake_locust import method_text
from support.made_load import document, everything, operation, shop, text_of, with_login

RULES = ["check", "--isolated", "--select", "ALL", "--ignore", "D203,D213,COM812,CPY001,INP001", "--line-length", "120"]
"""All but two that contradict others, commas for the formatter, and what is about the file's folder."""


@pytest.mark.parametrize(
    ("content", "user"), [(shop(), None), (with_login(), None), (with_login(), "me"), (everything(), None)]
)
def test_a_written_file_is_clean(content: dict[str, Any], user: str | None) -> None:
    """It compiles, and every rule of ruff holds that does not contradict another one."""
    text = text_of(content, user, user)

    done = subprocess.run(
        [sys.executable, "-m", "ruff", *RULES, "--target-version", "py311", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    ast.parse(text)
    assert (done.stdout, done.returncode) == ("All checks passed!\n", 0)


def test_the_first_lines_say_how_to_run_it() -> None:
    """And nothing else where nothing was left out."""
    assert text_of(shop()).startswith(
        '"""Load for Shop 1, written by `pinchpoint init`; yours to edit.\n\nRun it by one of:\n\n'
        "    pinchpoint run -f locustfile.py shop:app\n"
        "    locust -f locustfile.py --host http://127.0.0.1:8000\n"
        '"""\n\n# ruff: noqa: ANN401, S311\n\nimport random\nimport re\nimport string\n'
        "from collections import defaultdict\nfrom typing import Any\nfrom urllib.parse import quote, urlencode\n\n"
        "from locust import FastHttpUser, between, task\n"
        "from locust.contrib.fasthttp import ResponseContextManager\n\n"
        'BASE = ""  # before every path\n'
    )


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "get_items",
            '''
            @task(READ)
            def get_items(self) -> None:
                """GET /items: List Items."""
                self.send("GET /items")
            ''',
        ),
        (
            "create_item",
            '''
            @task(WRITE)
            def create_item(self) -> None:
                """POST /items."""
                body = {
                    "name": text(8, 16),
                }
                response = self.send("POST /items", json=body)
                self.keep("/items", (), response, "id")
            ''',
        ),
        (
            "get_items_item_id",
            '''
            @task(READ)
            def get_items_item_id(self) -> None:
                """GET /items/{item_id}: Read Item."""
                if not self.records["/items"]:
                    self.create_item()  # none is known yet
                    return
                record = self.pick("/items")
                response = self.send("GET /items/[item_id]", *record)
                if response.status_code == NOT_FOUND:
                    self.forget("/items", record)
            ''',
        ),
        (
            "delete_items_item_id",
            '''
            @task(REMOVE)
            def delete_items_item_id(self) -> None:
                """DELETE /items/{item_id}."""
                if not self.records["/items"]:
                    self.create_item()  # none is known yet
                    return
                record = self.pick("/items")
                self.forget("/items", record)
                self.send("DELETE /items/[item_id]", *record)
            ''',
        ),
    ],
)
def test_an_operation_is_written_like_this(name: str, lines: str) -> None:
    """One task each; a record of its own that is gone is forgotten."""
    assert method_text(text_of(shop()), name) == textwrap.dedent(lines).strip()


def test_what_a_query_may_have_besides_is_in_the_docstring() -> None:
    """It is not sent."""
    text = text_of(everything())

    assert (
        method_text(text, "get_find")
        == textwrap.dedent(
            '''
        @task(READ)
        def get_find(self) -> None:
            """GET /find.

            Its query may have limit besides.
            """
            query = {
                "q": text(8, 16),
                "deep": random.choice(["true", "false"]),
                "tags": [text(8, 16) for _ in range(random.randint(1, 3))],
            }
            self.send(
                "GET /find",
                query=query,
                headers={"X-Trace": str(random.randint(1, 1000)), "x-token": X_TOKEN, "Cookie": "seen=" + text(8, 16)},
            )
        '''
        ).strip()
    )


def test_what_is_not_in_it_stands_at_the_top() -> None:
    """And what should be looked at."""
    docstring = ast.get_docstring(ast.parse(text_of(everything()))) or ""

    assert docstring.split("\n\n", 3)[3] == textwrap.dedent(
        """
        It reads LOAD_API_KEY, LOAD_SID and LOAD_X_TOKEN from the environment and refuses to start without.

        What is not in it:

        - POST /xml: its body is application/xml, which is not written here
        - GET /old: it is deprecated
        - POST /login: it is the login, sent once when a user starts

        What to look at:

        - POST /upload: as a file, 1000 letters are sent for `file`
        - GET /by/{kind}/{size}: nothing here tells which `size` there are: 1 is a guess, and 404 right; name a real one
        """
    ).strip("\n")


def test_only_what_is_used_is_defined() -> None:
    """A file with one operation has no more than the request itself."""
    names = {
        node.name
        for node in ast.walk(ast.parse(text_of(document({"/a": {"get": operation()}}))))
        if isinstance(node, ast.FunctionDef)
    }

    assert names == {"filled", "on_start", "get_a", "send"}


@pytest.mark.parametrize(
    ("text", "shown"), [('a "b"\n\\c\u200b', "a 'b' /c"), ("é ", "é"), ('"""', "'''"), ("\x00", "")]
)
def test_a_text_of_the_document_cannot_break_out_of_a_docstring(text: str, shown: str) -> None:
    """No quotes, no escapes, nothing invisible."""
    assert plain(text) == shown
