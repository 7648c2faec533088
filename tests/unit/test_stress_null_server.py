"""The server that does nothing: what it answers, and where one request ends and the next begins."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.stress.answers import ANSWERS_VARIABLE, MOST_ANSWERS, Answer, AnswerFile, best_match, read_answers
from pinchpoint.stress.capture import Capture, capture_of
from pinchpoint.stress.early import HOLD_VARIABLE, await_start
from pinchpoint.stress.null_server import EMPTY_JSON, BadRequestError, Table, rendered, take_request

METHODS = st.sampled_from(["GET", "POST", "PUT"])
PATHS = st.sampled_from(["/", "/a", "/a/b?x=1", "/items/17"])


def request(method: str, path: str, body: bytes, chunks: list[int] | None, extra: str = "") -> bytes:
    """Return a request with its length, or in chunks."""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n{extra}"
    if chunks is None:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    parts, at = [], 0
    for size in chunks:
        part = body[at : at + size]
        at += len(part)
        if part:
            parts.append(f"{len(part):x};ext=1\r\n".encode() + part + b"\r\n")
    if body[at:]:
        parts.append(f"{len(body[at:]):X}\r\n".encode() + body[at:] + b"\r\n")
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"".join(parts) + b"0\r\n\r\n"


REQUESTS = st.tuples(METHODS, PATHS, st.binary(max_size=60), st.none() | st.lists(st.integers(1, 20), max_size=4))


@given(st.lists(REQUESTS, min_size=1, max_size=5))
def test_pipelined_requests_are_told_apart(asked: list[tuple[str, str, bytes, list[int] | None]]) -> None:
    """Whatever their bodies hold, each is found where it begins, and nothing is left over."""
    data = b"".join(request(*one) for one in asked)
    at, found = 0, []
    while at < len(data):
        taken = take_request(data, at)
        assert taken is not None
        key, at, keep = taken
        assert keep
        found.append(key.decode())
    assert found == [f"{method} {path}" for method, path, _, _ in asked]


@given(REQUESTS, st.data())
def test_a_request_cut_short_is_not_taken(asked: tuple[str, str, bytes, list[int] | None], data: Any) -> None:
    """At no place: the rest comes later."""
    whole = request(*asked)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert take_request(whole[:cut], 0) is None


def test_a_client_that_wants_to_close_is_closed() -> None:
    """After its answer."""
    taken = take_request(request("GET", "/", b"", None, "Connection: close\r\n"), 0)
    assert taken is not None
    assert taken[2] is False


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"x" * 70_000])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """Instead of waiting for more of it."""
    with pytest.raises(BadRequestError):
        take_request(data, 0)


def answer(path: str, method: str = "GET", status: int = 200) -> Answer:
    """Return an answer that names its path."""
    return Answer(method, path, status, path.encode())


KEPT = [answer("/items/1"), answer("/items/1?full=1"), answer("/users/7/cart"), answer("/items", "POST", 201)]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/items/1?full=1", "/items/1?full=1"),
        ("GET", "/items/1?other=2", "/items/1"),
        ("GET", "/items/99", "/items/1"),
        ("GET", "/users/8/cart", "/users/7/cart"),
        ("POST", "/items", "/items"),
        ("POST", "/items/", "/items"),
    ],
)
def test_the_most_similar_answer_is_given_again(method: str, path: str, expected: str) -> None:
    """Exact, then without the query, then by equal segments of the same method."""
    found = best_match(KEPT, method, path)
    assert found is not None
    assert (found.method, found.path) == (method, expected)


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/items/1"), ("GET", "/nothing/like/it")])
def test_an_unknown_request_gets_empty_json(method: str, path: str) -> None:
    """With status 200, so that a Locust file that only counts goes on."""
    assert best_match(KEPT, method, path) is None
    assert Table(KEPT).answer(f"{method} {path}".encode()) == rendered(EMPTY_JSON)


def test_an_answer_goes_over_the_wire_as_it_came() -> None:
    """Status, type, cookies and body; no body for HEAD and 204, and length always."""
    kept = Answer("POST", "/login", 201, b'{"t":1}', (("content-type", "application/json"), ("set-cookie", "a=b")))
    assert rendered(kept) == (
        b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nset-cookie: a=b\r\ncontent-length: 7\r\n\r\n{"t":1}'
    )
    assert rendered(kept, "HEAD").endswith(b"content-length: 7\r\n\r\n")
    assert rendered(Answer("GET", "/", 204, b"")) == b"HTTP/1.1 204 No Content\r\n\r\n"


@given(st.binary(max_size=50), st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3))
def test_an_answer_survives_its_file(body: bytes, headers: list[tuple[str, str]]) -> None:
    """Whatever is in it."""
    kept = Answer("GET", "/ü?q=1", 200, body, tuple(headers))
    assert Answer.from_line(kept.to_line()) == kept


def test_the_file_is_for_its_owner_and_bounded(tmp_path: Path) -> None:
    """Tokens may be in it; each request once, no large body, no end of paths."""
    path = tmp_path / "answers.json"
    file = AnswerFile(path)
    assert path.stat().st_mode & 0o777 == 0o600
    file.keep(answer("/a"))
    assert file.wants("GET", "/a") is False
    assert file.wants("POST", "/a") is True
    file.keep(Answer("GET", "/large", 200, b"x" * 1_000_000))
    for number in range(2 * MOST_ANSWERS):
        if file.wants("GET", f"/{number}"):
            file.keep(answer(f"/{number}"))
    assert len(read_answers(path)) == MOST_ANSWERS - 1
    assert file.full
    file.close()
    file.close()
    assert read_answers(tmp_path / "none") == []


class Headers:
    """Headers with repetitions, as both clients keep them."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self.pairs = pairs

    def items(self) -> list[tuple[str, str]]:
        """Return all of them."""
        return list(self.pairs)


HEADERS = Headers(("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Date", "today"))


@pytest.mark.parametrize(
    "response",
    [
        SimpleNamespace(status_code=200, _content=b"hello", raw=SimpleNamespace(headers=HEADERS), headers={}),
        SimpleNamespace(status_code=200, _cached_content=b"hello", _content=lambda: b"", headers=HEADERS),
    ],
    ids=["requests", "geventhttpclient"],
)
def test_the_first_answer_of_either_client_is_kept(tmp_path: Path, response: Any) -> None:
    """With its cookies, once, and only what the replay needs."""
    path = tmp_path / "answers.json"
    capture = capture_of(0, {ANSWERS_VARIABLE: str(path)})
    assert capture is not None
    for _ in range(3):
        capture.on_request("GET", "http://host/a?b=1", response, None, name="a", response_time=1.0)
    headers = (("content-type", "text/plain"), ("set-cookie", "a=1"), ("set-cookie", "b=2"))
    assert read_answers(path) == [Answer("GET", "/a?b=1", 200, b"hello", headers)]
    capture.close()
    assert capture.over


@pytest.mark.parametrize(
    ("response", "exception"),
    [
        (None, None),
        (SimpleNamespace(status_code=500, _content=b"", headers={}), None),
        (SimpleNamespace(status_code=200, _content=b"", headers={}), ValueError("failed by the file")),
        (SimpleNamespace(status_code=200, _content=False, headers={}), None),
        (SimpleNamespace(status_code=0, headers={}), None),
    ],
)
def test_what_failed_or_was_not_read_is_not_kept(tmp_path: Path, response: Any, exception: Exception | None) -> None:
    """A replayed failure would break the Locust file; reading a stream would change it."""
    path = tmp_path / "answers.json"
    Capture(AnswerFile(path)).on_request("GET", "http://host/a", response, exception)
    assert read_answers(path) == []


def test_only_the_first_process_keeps_answers_and_only_when_asked(tmp_path: Path) -> None:
    """The others see the same."""
    assert capture_of(1, {ANSWERS_VARIABLE: str(tmp_path / "a")}) is None
    assert capture_of(0, {}) is None
    assert capture_of(0, {ANSWERS_VARIABLE: str(tmp_path / "no" / "folder")}) is None


def test_a_process_started_early_waits_for_its_file(tmp_path: Path) -> None:
    """Or for the end of its folder, which means that nobody waits for it any more."""
    go, looks = tmp_path / "hold" / "go", []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            go.touch()

    go.parent.mkdir()
    await_start({HOLD_VARIABLE: str(go)}, sleep)
    assert len(looks) == 3
    await_start({HOLD_VARIABLE: str(tmp_path / "gone" / "go")}, sleep)
    await_start({}, sleep)
    assert len(looks) == 3
