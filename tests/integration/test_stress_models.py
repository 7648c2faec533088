"""The open and the closed model: Locust's own files unchanged, its pauses kept, a stall told truly, raw values kept."""

import csv
import os
import signal
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.clientstats import ClientWindow, client_figures, overdue
from pinchpoint.processes import Child, start
from pinchpoint.rows import DigestRow
from pinchpoint.stress import curves
from pinchpoint.stress.generator import Generator, GeneratorSpec
from support.load_target import serving

pytestmark = pytest.mark.alone

QUICKSTART = """
import time
from locust import HttpUser, task, between

class QuickstartUser(HttpUser):
    wait_time = between(1, 5)

    @task
    def hello_world(self):
        self.client.get("/hello")
        self.client.get("/world")

    @task(3)
    def view_items(self):
        for item_id in range(10):
            self.client.get(f"/item?id={item_id}", name="/item")
            time.sleep(0.001)

    def on_start(self):
        self.client.post("/login", json={"username": "foo", "password": "bar"})
"""

MIXED = """
from locust import FastHttpUser, HttpUser, SequentialTaskSet, constant_pacing, constant_throughput, task

class Checkout(SequentialTaskSet):
    @task
    def basket(self):
        self.client.get("/sleep/0.05", name="basket")

    @task
    def pay(self):
        self.client.get("/pay", name="pay")

class Shopper(HttpUser):
    wait_time = constant_throughput(4)
    tasks = [Checkout]

class Reader(FastHttpUser):
    wait_time = constant_pacing(0.25)

    @task
    def read(self):
        self.client.get("/sleep/0.1", name="read")
"""

STALL_S = 2.0
RATE_RPS = 100.0
SECONDS = 5.0
USERS = 8


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, str]]:
    """Yield the server's process and its URL."""
    with serving(tmp_path_factory.mktemp("server")) as served:
        yield served


def offer(load: Generator, model: Any, seconds: float, **level: Any) -> tuple[ClientWindow, list[DigestRow]]:
    """Hold a load level, drain, and return what it measured, what was answered afterwards included."""
    segment, at_s = load.segment(model, seconds, **level)
    time.sleep(max(0.0, at_s + seconds - time.monotonic()))
    load.idle()
    assert load.wait_drained(10.0)
    ids = {segment, segment + 1}
    rows = [row for row in load.rows() if row["segment"] in ids]
    return client_figures(rows, at_s, time.monotonic()), rows


def file(folder: Path, text: str) -> Path:
    """Write a Locust file."""
    path = folder / "locustfile.py"
    path.write_text(textwrap.dedent(text))
    return path


def logged(folder: Path) -> list[dict[str, str]]:
    """Return the lines of the request log but for logins."""
    with (folder / "requests-0.csv").open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if not row["name"].startswith("setup: ")]


def test_the_quickstart_of_locust_runs_under_both_models(target: tuple[Child, str], tmp_path: Path) -> None:
    """A task per arrival in the open model, however many requests it makes; its own pauses in the closed one."""
    spec = GeneratorSpec(target[1], tmp_path, locustfile=file(tmp_path, QUICKSTART), processes=2)
    with Generator(spec, start) as load:
        load.start()
        closed, _ = offer(load, "users", 2.0, users=20)
        opened, _ = offer(load, "rate", 2.0, rate_rps=20.0, spacing="even")
    assert (opened.figures.started, opened.figures.unsent, opened.figures.failed) == (40, 0, 0)
    names = {entry.name: entry.ok for entry in opened.figures.endpoints if not entry.name.startswith("setup: ")}
    assert names["/hello"] == names["/world"]
    assert names["/hello"] + names["/item"] / 10 == 40
    # 20 users that start at once and pause 1 to 5 s start between 20 tasks and twice that within 2 s.
    assert 20 <= closed.figures.started <= 40
    assert (closed.figures.scheduled, closed.figures.failed) == (0, 0)


def test_throughput_and_pacing_keep_their_meaning_in_the_closed_model(
    target: tuple[Child, str], tmp_path: Path
) -> None:
    """Four tasks a second and user, whatever the response time; one per arrival in the open model."""
    spec = GeneratorSpec(target[1], tmp_path, locustfile=file(tmp_path, MIXED))
    with Generator(spec, start) as load:
        load.start()
        closed, _ = offer(load, "users", 3.0, users=10)
        opened, _ = offer(load, "rate", 1.0, rate_rps=50.0, spacing="even")
    # 10 users start at 0, 0.25, ..., 2.75 s: 12 tasks each; the last of them may be late by a timer's step.
    assert 110 <= closed.figures.started <= 120
    assert {entry.name for entry in closed.figures.endpoints} == {"basket", "pay", "read"}
    assert (opened.figures.scheduled, opened.figures.started, opened.figures.ok) == (50, 50, 50)


def stall(child: Child, after_s: float) -> threading.Thread:
    """Stop the server for two seconds, in a while."""

    def hold() -> None:
        time.sleep(after_s)
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(STALL_S)
        os.kill(child.pid, signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    return thread


def test_a_stall_of_two_seconds_is_in_the_latency_of_all_who_arrived_during_it(
    target: tuple[Child, str], tmp_path: Path
) -> None:
    """The share of arrivals that waited longer than x is rate (stall - x) / arrivals; service times know of few."""
    child, url = target
    with Generator(GeneratorSpec(url, tmp_path, get_paths=("/",), max_users=USERS, requests=True), start) as load:
        load.start()
        thread = stall(child, 1.0)
        window, _ = offer(load, "rate", SECONDS, rate_rps=RATE_RPS, spacing="even")
        thread.join()
    rows = logged(tmp_path)
    arrivals = RATE_RPS * SECONDS
    latency_s = sorted(float(row["done_s"]) - float(row["due_s"]) for row in rows)
    service_s = sorted(float(row["done_s"]) - float(row["start_s"]) for row in rows)
    assert len(latency_s) == arrivals == window.figures.scheduled
    for least_s in (0.5, 1.0, 1.5):
        waited = sum(1 for one in latency_s if one > least_s)
        # A little more than the formula: what has queued is served one after the other.
        assert RATE_RPS * (STALL_S - least_s) - 3 <= waited <= RATE_RPS * (STALL_S - least_s) + 30
    assert latency_s[-1] == pytest.approx(STALL_S, abs=0.3)
    assert window.latency is not None
    assert window.latency.p99 > 1000 * (STALL_S - (0.01 * arrivals + 3) / RATE_RPS)
    assert window.latency.max == pytest.approx(1000 * latency_s[-1], rel=0.002)
    assert sum(1 for one in service_s if one > 0.5) <= USERS
    assert service_s[int(0.95 * arrivals)] < 0.2


def test_the_closed_model_sees_one_slow_request_per_user(target: tuple[Child, str], tmp_path: Path) -> None:
    """Its users wait as long as the server does: that is why it is called closed wherever it is shown."""
    child, url = target
    text = """
    from locust import FastHttpUser, constant, task

    class Visitor(FastHttpUser):
        wait_time = constant(0.05)

        @task
        def read(self):
            self.client.get("/")
    """
    spec = GeneratorSpec(url, tmp_path, locustfile=file(tmp_path, text), requests=True)
    with Generator(spec, start) as load:
        load.start()
        thread = stall(child, 0.5)
        window, _ = offer(load, "users", 3.5, users=USERS)
        thread.join()
    slow = [row for row in logged(tmp_path) if float(row["done_s"]) - float(row["start_s"]) > 0.5]
    assert len(slow) == USERS
    assert {row["due_s"] for row in slow} == {""}
    assert window.figures.scheduled == 0
    assert window.latency is not None
    assert window.latency.p90 < 200


def test_a_curve_is_followed_by_two_processes_together(target: tuple[Child, str], tmp_path: Path) -> None:
    """A spike: each second has the arrivals that the curve says, from its first second on; rows line up."""
    curve = curves.spike(20, 100, 1, 1, 1)
    with Generator(GeneratorSpec(target[1], tmp_path, get_paths=("/",), processes=2, requests=True), start) as load:
        load.start()
        begun_s = time.monotonic() + 0.2
        segment, at_s = load.segment("rate", 3.0, curve=curve.message(), spacing="even", at_s=begun_s)
        time.sleep(max(0.0, at_s + 3.0 - time.monotonic()))
        load.idle()
        assert load.wait_drained(5.0)
        rows = [row for row in load.rows() if row["segment"] == segment]
    assert at_s == begun_s
    level = [row for row in rows if round(row["t0_s"] - at_s) < curve.seconds]  # later: until our word came
    assert sorted(round(row["t0_s"] - at_s, 1) for row in level) == [0, 0, 1, 1, 2, 2]
    assert sum(row["scheduled"] for row in level) == 140
    for row in level:
        # A row that is cut some milliseconds late holds what became due in them.
        due = [begun_s + curve.reached_s(k + 0.5) for k in range(row["process"], 140, 2)]
        least, most = (sum(row["t0_s"] + 0.001 * k < at <= row["t1_s"] - 0.001 * k for at in due) for k in (1, -1))
        assert least <= row["scheduled"] <= most


def test_arrivals_nobody_is_free_for_are_logged_apart(target: tuple[Child, str], tmp_path: Path) -> None:
    """Unsent is no failure: it has no start, no end and no name."""
    spec = GeneratorSpec(target[1], tmp_path, get_paths=("/sleep/0.6",), max_users=1, requests=True)
    with Generator(spec, start) as load:
        load.start()
        window, _ = offer(load, "rate", 1.0, rate_rps=10.0, spacing="even")
    unsent = [row for row in logged(tmp_path) if row["outcome"] == "unsent"]
    assert len(unsent) == window.figures.unsent
    assert window.figures.unsent + window.figures.started == window.figures.scheduled == 10
    assert {(row["start_s"], row["done_s"], row["name"]) for row in unsent} == {("", "", "")}
    assert window.figures.failed == 0


def test_arrivals_without_an_answer_are_told_with_their_ages(target: tuple[Child, str], tmp_path: Path) -> None:
    """Due at 0.05, 0.15, ... 0.95 s and answered 0.6 s later: at 1 s six wait, three of them for more than 0.3 s."""
    with Generator(GeneratorSpec(target[1], tmp_path, get_paths=("/sleep/0.6",), max_users=USERS), start) as load:
        load.start()
        _, rows = offer(load, "rate", 1.0, rate_rps=10.0, spacing="even")
    first = min(row["segment"] for row in rows)
    kept = [row for row in rows if row["segment"] == first]
    assert (overdue(kept, 1.0), overdue(kept, 300.0), overdue(kept, 600.0)) == (6, 3, 0)
    assert overdue(rows, 1.0) == 0
