"""Outgoing calls, their pools and locks under the probe, against what the app measured itself."""

import json
import signal
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import DEADLINE_S, SUPPORT, Server, serving

pytestmark = pytest.mark.alone
HOLD_S = 0.05
CALLS = 8
Rows = dict[str, dict[str, float]]


class App(Server):
    """The app under the probe, and what it calls."""

    peer = ""
    _before: tuple[dict[str, float], dict[str, Rows]] | None = None

    def get(self, path: str) -> dict[str, float]:
        """Return the answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=DEADLINE_S) as response:
            answer: dict[str, float] = json.load(response)
        return answer

    def figures(self) -> tuple[dict[str, float], dict[str, Rows]]:
        """Return the fields and the tables as published after this call, both of the same moment."""
        called = time.monotonic()
        # Tables come with each fifth page: both are current once nothing happens for so long.
        page = self.wait_for(
            lambda: next((p for p in self.reader.read().values() if p.published_s > called + 0.35), None)
        )
        tables = self.wait_for(lambda: self.reader.tables(page.pid))
        return page.fields, tables

    def grown(self, path: str) -> tuple[dict[str, float], dict[str, float], dict[str, Rows]]:
        """Request a path; return its answer, the fields' growth and the tables' growth."""
        fields, tables = self._before or self.figures()
        answer = self.get(path)
        after, tables_after = self._before = self.figures()
        growth = {name: value - fields.get(name, 0) for name, value in after.items()}
        rows = {
            table: {
                row: {column: value - tables[table].get(row, {}).get(column, 0) for column, value in columns.items()}
                for row, columns in tables_after[table].items()
            }
            for table in tables_after
        }
        return answer, growth, rows


@contextmanager
def running(folder: Path, loop: str) -> Iterator[App]:
    """Start the downstream and the app, wait until it answers, and stop both."""
    downstream = [sys.executable, str(SUPPORT / "outgoing_app.py")]
    with subprocess.Popen(downstream, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        peer = f"127.0.0.1:{other.stdout.readline().strip()}"
        command = ("-m", "uvicorn", "outgoing_app:app", "--log-level", "warning", "--loop", loop, "--port", "{port}")
        try:
            with serving(
                App, folder, command, stop=signal.SIGKILL, environ={"DOWNSTREAM_URL": f"http://{peer}/"}
            ) as app:
                app.peer = peer
                yield app
        finally:
            other.kill()
    assert "pinchpoint probe" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Serve on asyncio's own loop."""
    with running(tmp_path_factory.mktemp("outgoing"), "asyncio") as served:
        yield served


def _only(rows: Rows, start: str) -> dict[str, float]:
    """Return the one row that starts so and grew."""
    found = [columns for name, columns in rows.items() if name.startswith(start) and columns["taken"]]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("path", "gate"),
    [
        ("/httpx", "http-pool httpx max 2 "),
        ("/httpx-sync", "http-pool httpx max 2 "),
        ("/requests", "http-pool urllib3 "),
        ("/aiohttp", "http-pool aiohttp max 2 "),
        ("/aiohttp-per-host", "http-pool aiohttp max 100, 2 a host "),
    ],
)
def test_waits_and_calls_are_those_the_app_measured(app: App, path: str, gate: str) -> None:
    """Eight calls at once on two connections."""
    answer, fields, tables = app.grown(path)
    pool, call = _only(tables["gates"], gate), tables["calls"][f"http {app.peer}"]
    assert (call["calls"], call["errors"], pool["taken"], pool["timeouts"]) == (CALLS, 0, CALLS, 0)
    assert pool["wait_s"] + call["seconds"] == pytest.approx(answer["total_s"], rel=0.05)
    assert pool["waiting_s"] == pytest.approx(pool["wait_s"], rel=0.05)
    assert pool["busy_s"] == pytest.approx(pool["hold_s"], rel=0.05)
    assert pool["hold_s"] == pytest.approx(call["seconds"], rel=0.05)
    # Two at a time: 0, 0, 1, 1, 2, 2, 3 and 3 holding times.
    assert pool["wait_s"] == pytest.approx(12 * HOLD_S, rel=0.35)
    assert fields["http_calls"] == call["calls"]
    assert fields["http_s"] == pytest.approx(call["seconds"])
    assert fields["http_pool_wait_s"] == pytest.approx(pool["wait_s"])


def test_the_standard_librarys_calls_have_no_pool(app: App) -> None:
    """Nobody waits; the call is what the app saw."""
    answer, fields, tables = app.grown("/urllib")
    call = tables["calls"][f"http {app.peer}"]
    assert call["calls"] == CALLS
    assert fields["http_calls"] == CALLS
    assert call["seconds"] == pytest.approx(answer["total_s"], rel=0.05)


def test_no_level_is_left_by_what_was_cancelled(app: App) -> None:
    """Four calls cancelled while they run, two that wait, two that time out, and two bodies nobody read."""
    answer, fields, tables = app.grown("/cancelled")
    after, rows = app.figures()
    levels = {row: columns["busy"] + columns["waiting"] for row, columns in rows["gates"].items() if "http-pool" in row}
    assert (after["http_active"], set(levels.values())) == (0, {0})
    assert {row["active"] for row in rows["calls"].values()} == {0}
    assert answer["pool_timeouts"] == 2
    assert fields["http_pool_timeouts"] == 2
    assert tables["calls"][f"http {app.peer}"]["calls"] == 6
    assert tables["calls"][f"http {app.peer}"]["errors"] == 0


def test_errors_are_exceptions_and_answers_of_class_5xx(app: App) -> None:
    """Each at its peer."""
    _, fields, tables = app.grown("/errors")
    assert fields["http_errors"] == 2
    assert tables["calls"][f"http {app.peer}"]["errors"] == 1
    assert tables["calls"]["http 127.0.0.1:1"]["errors"] == 1


def test_a_semaphores_waits_are_those_the_tasks_saw(app: App) -> None:
    """Eight tasks, two places."""
    answer, fields, tables = app.grown("/semaphore")
    row = _only(tables["gates"], "lock asyncio.Semaphore ")
    assert row["wait_s"] == pytest.approx(answer["wait_s"], rel=0.05)
    assert row["waiting_s"] == pytest.approx(answer["wait_s"], rel=0.05)
    assert row["hold_s"] == pytest.approx(CALLS * HOLD_S, rel=0.15)
    assert row["taken"] == CALLS
    assert fields["lock_wait_s"] == pytest.approx(row["wait_s"])


def test_a_wait_for_a_file_lock_is_seen(app: App) -> None:
    """Its holders are unavailable."""
    answer, _, tables = app.grown("/file-lock")
    row = next(row for name, row in tables["gates"].items() if name.startswith("lock file ") and row["wait_s"])
    assert row["wait_s"] == pytest.approx(answer["wait_s"], rel=0.05)
    assert "busy" not in row


def test_on_uvloop_waits_are_the_same(tmp_path: Path) -> None:
    """Both asynchronous clients, a semaphore, and what is cancelled."""
    with running(tmp_path, "uvloop") as app:
        test_waits_and_calls_are_those_the_app_measured(app, "/httpx", "http-pool httpx max 2 ")
        test_waits_and_calls_are_those_the_app_measured(app, "/aiohttp", "http-pool aiohttp max 2 ")
        test_a_semaphores_waits_are_those_the_tasks_saw(app)
        test_no_level_is_left_by_what_was_cancelled(app)


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as one mail needs, with a slow acceptance."""

    def handle(self) -> None:
        """Answer every command; after DATA, wait for the end of the mail."""
        self.wfile.write(b"220 x\r\n")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() != b".\r\n":
                    pass
                time.sleep(HOLD_S)
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def test_a_mail_is_a_call_of_its_own_kind(app: App) -> None:
    """One mail; connecting and leaving take time but are no calls."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as mailbox:
        threading.Thread(target=mailbox.serve_forever, daemon=True).start()
        port = mailbox.server_address[1]
        _, _, tables = app.grown(f"/mail?port={port}")
        mailbox.shutdown()
    row = tables["calls"][f"smtp 127.0.0.1:{port}"]
    assert (row["calls"], row["errors"], row["active"]) == (1, 0, 0)
    assert HOLD_S <= row["seconds"] <= 3 * HOLD_S


def test_a_client_for_each_call_eats_no_rows(app: App) -> None:
    """Fifty clients made at one place share one gate."""
    app.get("/many-clients")
    _, tables = app.figures()
    gates = [row for name, row in tables["gates"].items() if name.startswith("http-pool httpx max 100 ")]
    assert [(row["busy"], row["size"]) for row in gates if row["taken"] == 50] == [(0, 100)]
    assert len(gates) <= 2
