"""The end of a WSGI response.

A response is any iterable. Servers ask what it is: gunicorn, waitress and wsgiref send their own file wrapper with
sendfile, waitress and wsgiref take the length of a list for a Content-Length, granian joins lists. So an object that
takes attributes gets a `close` of its own and stays itself, a list becomes a list that can be closed, and only what is
neither (generators) is wrapped. Read: gunicorn 20 to 27, waitress 2 and 3, wsgiref of CPython 3.9 to 3.14, werkzeug 2
and 3, hypercorn 0.13 to 0.18, granian 1 and 2.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any


class Closing:
    """In place of a response's `close`, or as one where it has none."""

    __slots__ = ("_body", "_own", "_request", "close")

    def __init__(self, body: Any, close: Any, request: Any) -> None:
        self._body = body
        self.close = close
        self._own = "close" in body.__dict__
        self._request = request

    def __call__(self) -> Any:
        """End the request, leave the response as it was found, and close it."""
        body, self._body = self._body, None
        if body is not None:
            ended(self._request, sys.exc_info()[1])
            with contextlib.suppress(Exception):
                if self._own:
                    body.close = self.close
                else:
                    body.__dict__.pop("close", None)
        return self.close() if self.close is not None else None


class ClosingList(list):  # type: ignore[type-arg]
    """A list that tells when the server is done with it."""

    __slots__ = ("_request",)

    def __init__(self, chunks: Any, request: Any) -> None:
        super().__init__(chunks)
        self._request = request

    def close(self) -> None:
        """End the request."""
        ended(self._request, sys.exc_info()[1])


class Draining:
    """An iterable whose request ends with the last chunk, or when it is closed."""

    def __init__(self, body: Any, request: Any) -> None:
        self._body = body
        self._request = request
        self._next = iter(body).__next__

    def __iter__(self) -> Draining:
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        try:
            return self._next()
        except StopIteration:
            self._request.finish()
            raise
        except BaseException as error:
            self._request.broke(error)
            raise

    def close(self) -> None:
        """End the request, and close the response."""
        ended(self._request, sys.exc_info()[1])
        close = getattr(self._body, "close", None)
        if type(close) is Closing:
            close = close.close  # the other's end is not ours
        if close is not None:
            close()


def ended(request: Any, error: BaseException | None) -> None:
    """End the request; `error` is what the server closes the response for, if anything.

    A client that went away is no error of the app's.
    """
    if error is None or isinstance(error, OSError) or type(error).__name__ == "ClientDisconnected":
        request.finish()
    else:
        request.broke(error)


def follow(body: Any, request: Any) -> Any:
    """Return `body`, or what stands for it, for servers that close responses. Never raises."""
    try:
        kind = type(body)
        if kind is list or kind is tuple:
            return ClosingList(body, request)
        if isinstance(body, (str, bytes)) or not hasattr(kind, "__iter__") or kind.__module__.startswith("eventlet"):
            request.finish()  # for the server to complain of, or its own mark that it has answered already
            return body
        if hasattr(body, "__dict__") and type(body.__dict__.get("close")) is not Closing:
            body.close = Closing(body, getattr(body, "close", None), request)
            return body
    except Exception:
        return drain(body, request)  # it takes no attributes after all
    return drain(body, request)


def drain(body: Any, request: Any) -> Any:
    """Return what stands for `body`, for servers that do not look at it, or close it late or never. Never raises."""
    try:
        return Draining(body, request)
    except Exception:
        request.finish()
        return body


def joined(body: Any, request: Any) -> Any:
    """Do the same for a server that joins lists at once."""
    if isinstance(body, list):
        request.finish()
        return body
    return drain(body, request)
