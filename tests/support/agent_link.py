"""Both ends of a real link on loopback, and a server that an agent may watch without there being one."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pinchpoint.links import Link, Listener, connect
from pinchpoint.rows import HostRow, ProcessRow, SampleRow

TOKEN = "one that nobody guesses"
DEADLINE_S = 10.0


@contextmanager
def linked() -> Iterator[tuple[Link, Link]]:
    """Return the run's end and the agent's."""
    with Listener("127.0.0.1", 0, TOKEN) as listener:
        made: list[Link] = []
        caller = threading.Thread(target=lambda: made.append(connect("127.0.0.1", listener.port, TOKEN)))
        caller.start()
        theirs = listener.accept(DEADLINE_S)
        caller.join(DEADLINE_S)
    assert theirs is not None
    with made[0] as ours, theirs:
        yield ours, theirs


def until(look: Any, what: str = "it") -> Any:
    """Return what `look` finds, or fail at the deadline."""
    late_s = time.monotonic() + DEADLINE_S
    while not (found := look()):
        assert time.monotonic() < late_s, f"{what} did not come"
        time.sleep(0.005)
    return found


def heard(link: Link, kind: str) -> dict[str, Any]:
    """Return the next message of a kind, passing over others."""
    late_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < late_s:
        messages = link.take(0.1)
        for place, message in enumerate(messages):
            if message.get("kind") == kind:
                link.put_back(messages[place + 1 :])
                return message
        assert not link.closed, f"no {kind} came: {link.why}"
    raise AssertionError(f"no {kind} came")


class Standing:
    """A server as an agent knows it."""

    ours = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: dict[str, Any] | None = None
        self.refusal: Exception | None = None
        self.pressed: list[int | None] = []

    @property
    def roots(self) -> list[int]:
        """None: nothing is looked at."""
        return []

    def ending(self) -> dict[str, Any] | None:
        """Return what the test says."""
        return self.ended

    def begin(self, port: int | None) -> dict[str, Any]:
        """Return a few facts."""
        if self.refusal is not None:
            raise self.refusal
        self.pressed.append(port)
        return {"port": port, "attached": None, "server": "made up", "notes": ["a note"]}

    def why_no_page(self, pids: list[int]) -> str:
        """Say something about them."""
        return f"none of {pids} has a page"


def sample(t_s: float) -> SampleRow:
    """Return a row with a figure of every kind in it."""
    host: HostRow = {
        "cpu_busy_s": 100.5,
        "cpu_iowait_s": 0.25,
        "cpu_steal_s": None,
        "per_cpu_busy_s": [50.0, 50.5],
        "psi_us": {"cpu_some": 7},
        "memory_total_bytes": 8,
        "memory_available_bytes": 4,
        "swap_in_pages": 0,
        "net_rx_bytes": 1,
        "net_tx_bytes": 1,
        "retransmits": 0,
        "listen_overflows": 0,
        "listen_drops": 0,
        "listen_queue": None,
        "listen_limit": 128,
    }
    process: ProcessRow = {
        "pid": 4242,
        "role": "worker",
        "cpu_s": 3.5,
        "runq_s": 0.5,
        "loop_cpu_s": 3.0,
        "loop_runq_s": 0.25,
        "loop_states": {"running": 3},
        "threads": 2,
        "fds": 9,
        "rss_bytes": 100,
        "pss_bytes": None,
        "ctx_voluntary": 1,
        "ctx_involuntary": 2,
        "major_faults": 0,
        "read_bytes": 0,
        "write_bytes": 0,
        "probe": {"requests_done": 17.0, "service_s": 1.5},
        "probe_age_s": 0.03,
        "tables": {"routes": {"GET /": {"done": 17.0, "service_s": 1.5}}},
    }
    return {
        "t_s": t_s,
        "host": host,
        "cgroup": None,
        "processes": [process],
        "collector_cpu_s": 0.125,
        "late_s": 0.001,
    }
