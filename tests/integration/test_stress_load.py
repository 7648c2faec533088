"""Load processes against a real server: schedule, latency, models, failures, and how they end."""

import json
import os
import signal
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.errors import MeasurementError
from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from pinchpoint.recording import read_lines
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator, GeneratorSpec
from pinchpoint.stress.load_worker import LocalWorker

SERVER = """
import asyncio, time

ports = set()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    status, body = 200, b"{}"
    ports.add(scope["client"][1])
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    elif scope["path"] == "/stall":
        time.sleep(1.0)
    elif scope["path"] == "/fail":
        status = 500
    elif scope["path"] == "/login":
        body = b'{"access_token": "secret"}'
    elif scope["path"] == "/ports":
        body = str(len(ports)).encode()
    elif scope["path"].startswith("/items") and (b"authorization", b"Bearer secret") not in scope["headers"]:
        status = 401
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""

STOCK = """
from locust import HttpUser, LoadTestShape, SequentialTaskSet, between, constant, task

class Flow(SequentialTaskSet):
    wait_time = constant(0.2)

    @task
    def first(self):
        self.client.get("/first")

    @task
    def second(self):
        self.client.get("/second")

class Shopper(HttpUser):
    wait_time = between(0.1, 0.3)
    tasks = [Flow]

    def on_start(self):
        self.client.post("/login")

class Shape(LoadTestShape):
    def tick(self):
        return (500, 100)
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of a server that answers, stalls, fails and wants a token on request."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "server.py").write_text(SERVER)
    port = free_port()
    argv = (sys.executable, "-m", "uvicorn", "--no-access-log", "--port", str(port), "server:app")
    with start(Command(name="target", argv=argv, log=folder / "server.log", cwd=folder)) as child:
        url = f"http://127.0.0.1:{port}"
        wait_http_ready(f"{url}/", child)
        yield url


def locustfile(folder: Path, text: str) -> Path:
    """Write a Locust file."""
    file = folder / "load.py"
    file.write_text(textwrap.dedent(text))
    return file


def count_connections(host: str) -> int:
    """Return how many connections the server has ever seen."""
    with urllib.request.urlopen(f"{host}/ports", timeout=5) as response:  # noqa: S310 - our own server
        return int(response.read())


def offer(load: Generator, model: Any, seconds: float, **level: Any) -> ClientWindow:
    """Hold a load level until all its rows are there, drain, and return what it measured."""
    segment, t0_s = load.segment(model, seconds, **level)
    rows: list[DigestRow] = []
    deadline_s = time.monotonic() + seconds + 5
    while not any(row["segment"] == segment and row["t1_s"] >= t0_s + seconds for row in rows):
        assert time.monotonic() < deadline_s, "the segment's last row never came"
        time.sleep(0.02)
        rows += load.rows()
    load.idle()
    assert load.wait_drained(5.0)
    rows += load.rows()
    return client_figures(rows, t0_s, time.monotonic())


@pytest.mark.alone
def test_arrivals_start_on_schedule_and_latency_is_sane(host: str, tmp_path: Path) -> None:
    """200/s for 3 s from two processes: within 2 % of the schedule, none unsent, milliseconds."""
    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",), processes=2), start) as load:
        load.start()
        window = offer(load, "rate", 3.0, rate_rps=200.0, spacing="even")
        redials = load.redials
    figures = window.figures
    assert redials > 0
    assert count_connections(host) >= 16 + redials
    assert (figures.scheduled, figures.unsent) == (600, 0)
    assert figures.started == pytest.approx(600, rel=0.02)
    assert (figures.ok, figures.failed) == (figures.started, 0)
    assert window.latency is not None
    assert 0.05 < window.latency.p50 < 100
    assert figures.send_lag_ms_p99 is not None
    assert figures.cpu_share is not None
    assert 0 < figures.cpu_share < 1


@pytest.mark.alone
def test_a_stall_shows_in_the_latency_of_all_who_arrived_during_it(host: str, tmp_path: Path) -> None:
    """The server stands for 1 s of 3: a closed client would see one slow request, the schedule sees a third of them."""
    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",), max_users=24), start) as load:
        load.start()
        stall = threading.Timer(0.5, lambda: wait_http_ready(f"{host}/stall", None))
        stall.start()
        window = offer(load, "rate", 3.0, rate_rps=100.0, spacing="even")
        stall.join()
    assert window.figures.unsent == 0
    assert window.latency is not None
    assert window.latency.p50 < 200
    assert window.latency.p90 > 600
    assert window.latency.p99 > 900


def test_the_bundled_scenario_logs_in_and_sends_its_token(host: str, tmp_path: Path) -> None:
    """Items answer 401 without the token; the login is set apart from the load."""
    with Generator(GeneratorSpec(host, tmp_path, scenario="items"), start) as load:
        load.start()
        logins = client_figures(load.rows(), 0.0, time.monotonic())
        window = offer(load, "rate", 1.0, rate_rps=100.0)
        end = client_figures(read_digests(tmp_path), 0.0, time.monotonic())
    assert logins.figures.ok == 0
    assert window.figures.failed == 0
    assert {entry.name for entry in window.figures.endpoints} >= {"/", "/items/[id]", "/items/create"}
    assert next(entry.ok for entry in end.figures.endpoints if entry.name == "setup: /login") >= 16


def read_digests(folder: Path) -> list[DigestRow]:
    """Return every row on disk."""
    rows: list[Any] = [row for file in folder.glob("client-*.jsonl") for row in read_lines(file)]
    return rows


@pytest.mark.alone
def test_a_stock_locust_file_runs_unchanged_under_both_models(host: str, tmp_path: Path) -> None:
    """HttpUser, its own pauses, nested tasks and a shape of its own: one task per arrival, or its own pace."""
    spec = GeneratorSpec(host, tmp_path, locustfile=locustfile(tmp_path, STOCK))
    with Generator(spec, start) as load:
        load.start()
        opened = offer(load, "rate", 1.0, rate_rps=60.0, spacing="even")
        closed = offer(load, "users", 1.5, users=10)
        grown = offer(load, "users", 1.0, users=20)
    assert (opened.figures.started, opened.figures.unsent, opened.figures.failed) == (60, 0, 0)
    assert opened.figures.ok == 60
    assert (closed.figures.users, grown.figures.users) == (10, 20)
    # 10 users that pause 0.2 s make 50 requests/s; the response itself takes a few milliseconds.
    assert 25 < closed.goodput_rps < 51
    assert closed.figures.scheduled == 0
    assert {entry.name for entry in closed.figures.endpoints} == {"/first", "/second"}


@pytest.mark.alone
def test_failures_are_named_and_timeouts_bounded(host: str, tmp_path: Path) -> None:
    """Status, timeout of either client, refused connection, verdict of the file, and a task that breaks."""
    text = """
    from locust import FastHttpUser, HttpUser, task

    class Fast(FastHttpUser):
        fixed_count = 8

        @task
        def slow(self):
            self.client.get("/slow", name="fast slow")

        @task
        def fail(self):
            self.client.get("/fail")

        @task
        def refused(self):
            self.client.get("http://127.0.0.1:1/", name="fast refused")

    class Plain(HttpUser):
        @task
        def slow(self):
            self.client.get("/slow", name="plain slow")

        @task
        def refused(self):
            self.client.get("http://127.0.0.1:1/", name="plain refused")

        @task
        def judge(self):
            with self.client.get("/", name="judged", catch_response=True) as response:
                response.failure("not good enough")

        @task
        def broken(self):
            raise KeyError("token")
    """
    spec = GeneratorSpec(host, tmp_path, locustfile=locustfile(tmp_path, text), timeout_s=0.3)
    with Generator(spec, start) as load:
        load.start()
        window = offer(load, "rate", 1.5, rate_rps=80.0)
    kinds = {entry.name: set(entry.errors) for entry in window.figures.endpoints}
    assert kinds == {
        "fast slow": {"timeout"},
        "plain slow": {"timeout"},
        "/fail": {"500"},
        "fast refused": {"connection"},
        "plain refused": {"connection"},
        "judged": {"failed"},
        "(task)": {"KeyError"},
    }
    assert (window.goodput_rps, window.error_rate, window.latency) == (0.0, 1.0, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "No User class found"),
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        (
            """
            from locust import FastHttpUser, task

            class Locked(FastHttpUser):
                def on_start(self):
                    raise RuntimeError("no way in")

                @task
                def read(self):
                    self.client.get("/")
            """,
            "no user got through on_start: RuntimeError: no way in",
        ),
    ],
)
def test_a_locust_file_that_cannot_work_is_one_sentence(host: str, tmp_path: Path, text: str, reason: str) -> None:
    """The reason comes from the load process, and nothing is left running."""
    spec = GeneratorSpec(host, tmp_path, locustfile=locustfile(tmp_path, text))
    with Generator(spec, start) as load:
        with pytest.raises(MeasurementError, match=reason):
            load.start()
        load.stop()
        assert load.alive() is False


def test_a_load_process_ends_at_once_when_the_engine_is_gone(host: str, tmp_path: Path) -> None:
    """End of file on the control socket: the rows are written, nothing keeps loading the server."""
    made: list[Child] = []

    def spawn(command: Command) -> Child:
        made.append(start(command))
        return made[0]

    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",)), spawn) as load:
        load.start()
        segment, _ = load.segment("rate", 60.0, rate_rps=50.0)
        deadline_s = time.monotonic() + 5
        while not any(row["segment"] == segment for row in load.rows()):
            assert time.monotonic() < deadline_s, "no row of the load level came"
            time.sleep(0.02)
        worker = load.workers[0]
        assert isinstance(worker, LocalWorker)
        worker.close()
        assert made[0].wait(5.0) == 0
    rows = read_digests(tmp_path)
    assert rows[-1]["segment"] == 1


def test_a_killed_load_process_is_a_measurement_error(host: str, tmp_path: Path) -> None:
    """Death is noticed at the next look."""
    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",)), start) as load:
        load.start()
        os.kill(load.pids[0], signal.SIGKILL)
        deadline_s = time.monotonic() + 5
        while load.alive():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        with pytest.raises(MeasurementError, match="generator 0 failed"):
            load.rows()


@pytest.mark.alone
def test_a_ramp_starts_as_many_as_its_integral(host: str, tmp_path: Path) -> None:
    """0 to 200/s in 1 s is 100 arrivals."""
    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",)), start) as load:
        load.start()
        window = offer(load, "rate", 1.0, rate_rps=0.0, end_rate_rps=200.0, spacing="even")
    assert (window.figures.scheduled, window.figures.ok) == (100, 100)


@pytest.mark.alone
def test_rows_never_span_two_levels_and_last_at_most_a_second(host: str, tmp_path: Path) -> None:
    """Rows are contiguous, change segment only at their edges, and are plain JSON."""
    with Generator(GeneratorSpec(host, tmp_path, get_paths=("/",)), start) as load:
        load.start()
        offer(load, "rate", 1.3, rate_rps=50.0)
        offer(load, "rate", 0.4, rate_rps=100.0)
    rows = read_digests(tmp_path)
    assert json.loads(json.dumps(rows)) == rows
    assert all(before["t1_s"] == after["t0_s"] for before, after in pairwise(rows))
    assert max(row["t1_s"] - row["t0_s"] for row in rows) < 1.2
    segments = [row["segment"] for row in rows]
    assert segments == sorted(segments)
