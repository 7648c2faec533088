"""What is done cheaper for Locust's client answers as the library does."""

import fcntl
import resource
import socket
import urllib.request
from collections.abc import Iterator
from http.cookiejar import Cookie, CookieJar

import pytest

from pinchpoint.stress.client_costs import is_quiet, only_with_cookies

HIGH = 1500
"""A descriptor that `select` cannot look at."""


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield two ends of one connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_connection_on_which_nothing_came_is_used_again(pair: tuple[socket.socket, socket.socket]) -> None:
    """Open and idle."""
    assert is_quiet(pair[0])


def test_a_connection_with_something_to_read_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    """What comes on an idle connection belongs to no request."""
    pair[1].send(b"x")

    assert not is_quiet(pair[0])


def test_a_connection_that_the_other_side_closed_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    """Its end is there to be read."""
    pair[1].close()

    assert not is_quiet(pair[0])


def test_what_is_closed_or_none_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    """As the library's own test says."""
    pair[0].close()

    assert not is_quiet(pair[0])
    assert not is_quiet(None)


def test_descriptors_above_1023_are_looked_at_too(pair: tuple[socket.socket, socket.socket]) -> None:
    """`select` refuses them, and a thousand users have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= HIGH:
        pytest.skip(f"the system allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, HIGH + 10), hard))
    try:
        with socket.socket(fileno=fcntl.fcntl(pair[0].fileno(), fcntl.F_DUPFD, HIGH)) as high:
            assert high.fileno() >= HIGH
            assert is_quiet(high)
            pair[1].send(b"x")
            assert not is_quiet(high)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def cookie() -> Cookie:
    """Return a session's cookie."""
    return Cookie(
        0, "session", "1", None, False, "127.0.0.1", True, False, "/", True, False, None, True, None, None, {}
    )


@pytest.mark.parametrize(("cookies", "header"), [([], None), ([cookie()], "session=1")])
def test_cookies_that_are_there_are_sent(cookies: list[Cookie], header: str | None) -> None:
    """An empty jar adds nothing, and is not asked."""
    jar, asked = CookieJar(), []
    for one in cookies:
        jar.set_cookie(one)
    request = urllib.request.Request("http://127.0.0.1/items")

    def original(jar: CookieJar, request: urllib.request.Request) -> None:
        asked.append(1)
        jar.add_cookie_header(request)

    only_with_cookies(original)(jar, request)

    assert request.get_header("Cookie") == header
    assert len(asked) == len(cookies)
