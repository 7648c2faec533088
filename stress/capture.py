"""Keep the first answers of the target while a run warms up: a listener of Locust's `request` event. See `answers`."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pinchpoint.stress.answers import ANSWERS_VARIABLE, Answer, AnswerFile, kept_headers
from pinchpoint.stress.failures import CLIENT_ERROR


class Capture:
    """Takes what Locust reports of a request; knows responses of `requests` and of geventhttpclient by their looks."""

    def __init__(self, file: AnswerFile) -> None:
        """Keep answers in `file`."""
        self._file = file

    @property
    def over(self) -> bool:
        """True when nothing more is kept."""
        return self._file.full

    def on_request(
        self, request_type: str, url: str | None = None, response: Any = None, exception: object = None, **_: Any
    ) -> None:
        """Keep the answer, if it is the first to this request and a success."""
        if response is None or exception is not None or not isinstance(url, str):
            return
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not self._file.wants(request_type, path):
            return
        status, body = getattr(response, "status_code", 0), _body(response)
        if not isinstance(status, int) or not 0 < status < CLIENT_ERROR or body is None:
            return
        self._file.keep(Answer(request_type, path, status, body, kept_headers(_headers(response))))

    def close(self) -> None:
        """Keep nothing more."""
        self._file.close()


def capture_of(process: int, environ: Mapping[str, str]) -> Capture | None:
    """Return what the first load process keeps answers with, when the engine asks for them and the file can be made."""
    path = environ.get(ANSWERS_VARIABLE)
    if process or not path:
        return None
    try:
        return Capture(AnswerFile(Path(path)))
    except OSError:
        return None


def _body(response: Any) -> bytes | None:
    """Return the body where the client has read it already; a stream is left to the Locust file."""
    body = getattr(response, "_cached_content", None)  # geventhttpclient: missing while unread
    if body is None:
        body = getattr(response, "_content", None)  # requests: False while unread
    return body if isinstance(body, bytes) else None


def _headers(response: Any) -> Iterable[tuple[str, str]]:
    """Yield all headers, those of redirects on the way included when they set cookies."""
    history = getattr(response, "history", None)
    for passed in history if isinstance(history, (list, tuple)) else ():
        yield from ((name, value) for name, value in _own_headers(passed) if name.lower() == "set-cookie")
    yield from _own_headers(response)


def _own_headers(response: Any) -> list[tuple[str, str]]:
    raw = getattr(getattr(response, "raw", None), "headers", None)  # requests joins repeated headers, urllib3 does not
    headers = raw if raw is not None else getattr(response, "headers", None)
    pairs: list[tuple[str, str]] = []
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        pairs = [(str(name), str(value)) for name, value in headers.items()]  # type: ignore[union-attr]
    return pairs
