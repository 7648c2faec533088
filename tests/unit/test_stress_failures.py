"""Failed requests are named by what went wrong, whichever client hid it however deep."""

import socket

import pytest

from pinchpoint.stress.failures import kind_of


class CatchResponseError(Exception):
    """Stands for Locust's: the file called `failure`."""


class ReadTimeoutError(Exception):
    """Stands for urllib3's."""


class NewConnectionError(Exception):
    """Stands for urllib3's."""


class RetriesExceeded(Exception):  # noqa: N818 - the client's own name
    """Stands for geventhttpclient's, which keeps what happened in `original`."""

    def __init__(self, original: BaseException) -> None:
        super().__init__("URL", 0)
        self.original = original


def wrapped(inner: BaseException) -> BaseException:
    """Return an exception that hides another in its arguments, as requests does."""
    return OSError(ValueError(inner))


@pytest.mark.parametrize(
    ("exception", "status", "expected"),
    [
        (CatchResponseError("wrong body"), 200, "failed"),
        (CatchResponseError("wrong body"), 500, "failed"),
        (ValueError("500 Server Error"), 500, "500"),
        (ValueError("404"), 404, "404"),
        (TimeoutError(), 0, "timeout"),
        (ReadTimeoutError(), 0, "timeout"),
        (wrapped(ReadTimeoutError()), 0, "timeout"),
        (RetriesExceeded(TimeoutError("timed out")), 0, "timeout"),
        (RetriesExceeded(ConnectionRefusedError(111, "refused")), 0, "connection"),
        (ConnectionResetError(104, "reset"), 0, "connection"),
        (BrokenPipeError(32, "pipe"), 0, "connection"),
        (wrapped(NewConnectionError()), 0, "connection"),
        (socket.gaierror(-2, "unknown"), 0, "gaierror"),
        (OSError(24, "Too many open files"), 0, "out of descriptors"),
        (wrapped(OSError(23, "Too many open files in system")), 0, "out of descriptors"),
        (RetriesExceeded(OSError(99, "Cannot assign requested address")), 0, "out of ports"),
        (KeyError("token"), 0, "KeyError"),
        (KeyError("token"), 200, "KeyError"),
    ],
)
def test_a_failure_has_a_kind(exception: BaseException, status: int, expected: str) -> None:
    """A table of exceptions and statuses."""
    assert kind_of(exception, status) == expected


def test_causes_that_point_at_each_other_end() -> None:
    """A cycle of causes is followed once."""
    first, second = ValueError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert kind_of(first, 0) == "ValueError"
