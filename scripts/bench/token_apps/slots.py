"""12 threads of gunicorn's gthread worker, each held 30 ms by a request: 400 requests per second."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from tokens import Tokens

TOKENS = Tokens(12, 0.030)


def app(_: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer any request after its hold."""
    end_s = TOKENS.take()
    time.sleep(max(0.0, end_s - time.monotonic()))
    TOKENS.give(end_s)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"ok\n"]
