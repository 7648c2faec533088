"""What the text of a Locust file says about the methods of its request names."""

from pathlib import Path

import pytest

from pinchpoint.stress.request_names import methods_of, named_requests
from pinchpoint.stress.scenarios import SCENARIOS

LOCUSTFILE = """
class Shopper(FastHttpUser):
    @task
    def shop(self):
        self.client.get("/products")
        self.client.post("/products", json={})
        self.client.get(f"/users/{self.id}/posts")
        self.client.delete("/orders/" + str(self.order), name="/orders/[id]")
        self.client.request("PUT", f"/orders/{self.order}", name=f"/orders/{self.kind}")
        with self.rest("PATCH", "/cart") as response:
            self.total = response.js.get("total")
        self.client.get(self.somewhere())
        self.client.post(url="/login")
        self.client.get("/static/" + self.asset + ".js")
        self.client.request(self.method, "/any")
"""


def read(tmp_path: Path, text: str, *names: str) -> dict[str, set[str]]:
    """Return the methods of these names by a file with this text."""
    path = tmp_path / "locustfile.py"
    path.write_text(text)
    return {name: set(methods) for name, methods in methods_of(names, named_requests(path)).items()}


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("/products", {"GET", "POST"}),
        ("/users/7/posts", {"GET"}),
        ("/orders/[id]", {"DELETE"}),
        ("/orders/paid", {"PUT"}),
        ("/cart", {"PATCH"}),
        ("/login", {"POST"}),
        ("/static/app.js", {"GET"}),
    ],
)
def test_a_name_stands_for_the_methods_that_are_sent_under_it(tmp_path: Path, name: str, methods: set[str]) -> None:
    """Written down, put together, or given as `name`; what is written down stands above a pattern."""
    assert read(tmp_path, LOCUSTFILE, name) == {name: methods}


def test_what_the_text_does_not_show_is_not_guessed(tmp_path: Path) -> None:
    """A computed path, a computed method, a dictionary's `get`."""
    assert read(tmp_path, LOCUSTFILE, "/any", "total", "/nowhere") == {}


@pytest.mark.parametrize("text", ["def broken(:", "x = '\0'"])
def test_a_file_that_is_no_python_says_nothing(tmp_path: Path, text: str) -> None:
    """Locust will say what is wrong with it."""
    assert read(tmp_path, text, "/") == {}
    assert named_requests(tmp_path / "missing.py") == []


def test_the_bundled_items_are_understood() -> None:
    """As every plain Locust file."""
    requests = named_requests(SCENARIOS["items"].path)

    assert methods_of(["/", "/items/[id]", "/items/create", "/login"], requests) == {
        "/": {"GET"},
        "/items/[id]": {"GET"},
        "/items/create": {"POST"},
        "/login": {"POST"},
    }
