"""Read the counters of an app's caches from its own `/metrics` while it is under load; a thread, every two seconds."""

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from pinchpoint.diagnosis.checklist.caches import CacheLook, caches_in

METRICS_PATH = "/metrics"
EVERY_S = 2.0
PATIENCE_S = 2.0
LARGEST_BYTES = 4_000_000
"""A page of metrics that is larger is no answer to wait for while a load is on."""

OK = 200
NOT_ASKED = f"the app was not asked for {METRICS_PATH}"

Fetch = Callable[[str], "tuple[int, str] | None"]
"""URL -> (status, text); None when nobody answers (yet)."""


class CacheWatch:
    """Looks at a server from `with` to its end; then `looks` hold what was seen, and `why_none` says why there is none.

    A server that does not have the page is asked for it once only: every further 404 would stand in its figures.
    """

    def __init__(
        self,
        base_url: str,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
        every_s: float = EVERY_S,
    ) -> None:
        self.looks: list[CacheLook] = []
        self.why_none = NOT_ASKED
        self._url = base_url + METRICS_PATH
        self._fetch = fetch or fetch_text
        self._clock = clock
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pinchpoint-caches", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            if not self.look():
                return

    def look(self) -> bool:
        """Look once; False: the app has no such page, so that there is no sense in asking again."""
        at_s = self._clock()
        answer = self._fetch(self._url)
        if answer is None:
            return True
        status, text = answer
        if status != OK:
            self.why_none = f"the app answers {METRICS_PATH} with status {status}"
            return False
        counts = caches_in(text)
        if counts:
            self.looks.append(CacheLook(at_s, counts))
        else:
            self.why_none = f"the app's {METRICS_PATH} counts no cache hits or misses"
        return True


def fetch_text(url: str) -> tuple[int, str] | None:
    """GET a page; None when nobody speaks HTTP there. Certificates are not checked: it is the target's own page."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - as in `readiness`
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read(LARGEST_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
