"""The agent's half of `run --agent`: the collector runs beside the server, and its rows go over a link as they come.

The collector's thread never waits for the link: rows go through a queue of bounded length. When the link is slow, the
oldest rows are dropped, counted and told; counters are cumulative, so that no quantity is lost with them.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from pinchpoint.errors import PinchpointError
from pinchpoint.links import LinkError, answer
from pinchpoint.monitoring.agent_words import PROTOCOL, kind_of
from pinchpoint.monitoring.awaits import AwaitRecorder
from pinchpoint.monitoring.facts import host_facts
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.procfs import read_once
from pinchpoint.monitoring.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pinchpoint.links import Link

QUEUE_ROWS = 300
"""Half a minute of samples; a link that stands still for longer is given up before (`links.SEND_S`)."""
TURN_S = 0.05
"""How long the conversation waits for the run's next word before it looks at rows and server again."""
HEALTH_S = 1.0
SILENT_S = 15.0
"""A run says something every few seconds (it measures the clock); after this long it is gone."""
_MACHINE = socket.gethostname()


class Outbox:
    """Rows on their way. Filled by the collector's threads, emptied by the conversation's; never waits."""

    def __init__(self, limit: int = QUEUE_ROWS) -> None:
        self._rows: deque[dict[str, Any]] = deque()
        self._limit = limit
        self._lock = threading.Lock()
        self.dropped = 0
        """Rows that were given up, oldest first, because the queue was full."""

    def put(self, kind: str, row: Mapping[str, Any]) -> None:
        """Append a row."""
        with self._lock:
            if len(self._rows) >= self._limit:
                self._rows.popleft()
                self.dropped += 1
            self._rows.append({"kind": kind, "row": row})

    def take(self) -> dict[str, Any] | None:
        """Return the oldest; None when there is none."""
        with self._lock:
            return self._rows.popleft() if self._rows else None

    def __len__(self) -> int:
        return len(self._rows)


class Server(Protocol):
    """The server that an agent watches, started by it or not; see `commands.agent`."""

    @property
    def roots(self) -> list[int]:
        """Pids below which all its processes are."""

    @property
    def folder(self) -> Path:
        """Where the probe's pages are."""

    @property
    def ours(self) -> bool:
        """True when nobody else reads the pages: those of the dead may be removed."""

    def ending(self) -> dict[str, Any] | None:
        """Return code, gone and message once it has ended; None while it runs."""

    def begin(self, port: int | None) -> dict[str, Any]:
        """Return the facts of a server that answers by now; `port` is the one that the run presses."""

    def why_no_page(self, pids: list[int]) -> str:
        """Say why none of these processes has a page."""


class Feed:
    """The collector of one run: samples and awaits of one server into an outbox."""

    def __init__(self, server: Server, port: int | None, outbox: Outbox) -> None:
        self._reader = PageReader(server.folder)
        self._sampler = Sampler(
            root_pids=server.roots,
            port=port,
            pages=self._reader.read,
            tables=self._reader.tables,
            forget=self._reader.forget if server.ours else None,
            sink=lambda row: outbox.put("sample", row),
        )
        self._awaits = AwaitRecorder(server.folder, lambda row: outbox.put("await", row))
        self._sampler.start()
        self._awaits.start()

    @property
    def error(self) -> str | None:
        """What ended the sampling, if anything did."""
        found = self._sampler.error or self._awaits.error
        return None if found is None else str(found) or type(found).__name__

    def stop(self) -> None:
        """End it; the last rows are in the outbox then."""
        self._sampler.stop()
        self._awaits.stop()
        self._reader.close()


def hello(server: Server) -> dict[str, Any]:
    """Return the first message: who speaks, and what machine this is."""
    root = next(iter(server.roots), None)
    return {
        "kind": "hello",
        "protocol": PROTOCOL,
        "machine": _MACHINE,
        "boot": boot_id(),
        "host": host_facts(root),
    }


def boot_id() -> str | None:
    """Return what tells one running kernel from all others; None where it says nothing."""
    return (read_once("/proc/sys/kernel/random/boot_id") or "").strip() or None


class Conversation:
    """One run's time with the agent, from hello to goodbye. Owns the link."""

    def __init__(
        self,
        link: Link,
        server: Server,
        *,
        feed: Callable[[Server, int | None, Outbox], Feed] = Feed,
        clock: Callable[[], float] = time.monotonic,
        outbox: Outbox | None = None,
    ) -> None:
        self._link = link
        self._server = server
        self._make_feed = feed
        self._clock = clock
        self._outbox = Outbox() if outbox is None else outbox
        self._feed: Feed | None = None
        self._over = False
        self._halt = threading.Event()
        self._health_due_s = 0.0
        self._exit_told = False

    def hold(self) -> str:
        """Talk until the run ends it, is gone, or `stop` is called; return why in a few words."""
        try:
            self._link.send(hello(self._server))
            while not (self._over or self._link.closed or self._halt.is_set()):
                self._turn()
                if self._link.silent_s > SILENT_S:
                    return f"it said nothing for {SILENT_S:g} s"
            if self._halt.is_set():
                self._link.send({"kind": "bye", "message": "the agent was stopped"})
        except LinkError:
            return self._link.why
        finally:
            if self._feed is not None:
                self._feed.stop()
            self._link.close()
        return "it is done" if self._over else self._link.why

    def stop(self) -> None:
        """End it from another thread."""
        self._halt.set()

    def _turn(self) -> None:
        for message in self._link.take(TURN_S):
            if not answer(message, self._link, self._clock):
                self._obey(message)
        self._send_rows()
        self._tell_exit()
        now_s = self._clock()
        if now_s >= self._health_due_s:
            self._health_due_s = now_s + HEALTH_S
            self._link.send(self._health())

    def _obey(self, message: dict[str, Any]) -> None:
        kind = kind_of(message)
        if kind == "begin" and self._feed is None:
            self._begin(message.get("port"))
        elif kind == "explain":
            pids = [pid for pid in message.get("pids", ()) if isinstance(pid, int)]
            self._link.send({"kind": "note", "message": self._server.why_no_page(pids)})
        elif kind == "end":
            self._end()

    def _begin(self, port: object) -> None:
        try:
            facts = self._server.begin(port if isinstance(port, int) else None)
        except PinchpointError as error:
            self._link.send({"kind": "refused", "message": str(error)})
            self._over = True
            return
        self._link.send({"kind": "target", "facts": facts})
        self._feed = self._make_feed(self._server, facts.get("port"), self._outbox)

    def _end(self) -> None:
        """Stop the collector and send what it still had."""
        if self._feed is not None:
            self._feed.stop()
        self._send_rows()
        self._link.send({"kind": "ended", "dropped": self._outbox.dropped})
        self._over = True

    def _send_rows(self) -> None:
        while (row := self._outbox.take()) is not None:
            self._link.send(row)

    def _tell_exit(self) -> None:
        ending = None if self._exit_told else self._server.ending()
        if ending is not None:
            self._exit_told = True
            self._link.send({"kind": "exit", **ending})

    def _health(self) -> dict[str, Any]:
        return {
            "kind": "health",
            "dropped": self._outbox.dropped,
            "queued": len(self._outbox),
            "cpu_s": time.process_time(),
            "error": self._feed.error if self._feed is not None else None,
            "pid": os.getpid(),
        }
