"""Load processes that join through `pinchpoint worker`: one schedule, exact figures, clocks, and deaths."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pinchpoint import histograms
from pinchpoint.clientstats import client_figures
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.load_workers import Recruit, enlist, gathered
from pinchpoint.errors import MeasurementError
from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator, GeneratorSpec
from pinchpoint.stress.remote import RemoteWorker

TOKEN = "a token for tests only"
AHEAD_S = 5000
EDGE_S = 0.001
NAMES = ("here", "there", "elsewhere")
LOCUSTFILE = """
import os
from locust import FastHttpUser, task

class Visitor(FastHttpUser):
    @task
    def visit(self):
        self.client.get("/" + os.environ.get("WHO", "here"))
        if os.environ.get("STRAY"):
            self.client.get("http://192.0.2.1:9/stray", timeout=1)
"""


class Counting(ThreadingHTTPServer):
    """Counts requests by path."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        self.paths: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), Visits)

    def taken(self) -> Counter[str]:
        """Return the counts since the last call."""
        paths, self.paths = self.paths, Counter()
        return paths


class Visits(BaseHTTPRequestHandler):
    """Answers `ok`."""

    protocol_version = "HTTP/1.1"
    server: Counting

    def do_GET(self) -> None:
        """Count the path."""
        self.server.paths[self.path] += 1
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Counting]:
    """A server that counts, on a thread of its own."""
    one = Counting()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield one
    one.shutdown()
    one.server_close()
    thread.join()


@pytest.fixture
def spec(server: Counting, tmp_path: Path) -> GeneratorSpec:
    """A Locust file that visits the counting server."""
    file = tmp_path / "visits.py"
    file.write_text(LOCUSTFILE)
    folder = tmp_path / "run"
    folder.mkdir()
    return GeneratorSpec(host=f"http://127.0.0.1:{server.server_port}", folder=folder, locustfile=file, max_users=24)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Two load workers are expected on a free port."""
    return RunConfig(expect_workers=2, listen=f"127.0.0.1:{free_port()}", token=TOKEN, worker_wait_s=30)


Lend = Callable[..., Child]


@pytest.fixture
def lend(config: RunConfig, tmp_path: Path) -> Iterator[Lend]:
    """Return how to start a `pinchpoint worker`; with `ahead_s`, in a time namespace of its own."""
    with contextlib.ExitStack() as stack:

        def begin(who: str, ahead_s: int = 0, *options: str, **environ: str) -> Child:
            ahead = ("unshare", "-T", "--monotonic", str(ahead_s)) if ahead_s else ()
            words = (sys.executable, "-m", "pinchpoint", "worker", "--master", config.listen, *options)
            env = {**os.environ, "PINCHPOINT_TOKEN": TOKEN, "WHO": who, "TMPDIR": str(tmp_path), **environ}
            command = Command(name=who, argv=(*ahead, *words), log=tmp_path / f"{who}.log", env=env)
            return stack.enter_context(start(command))

        yield begin


def can_shift_clocks() -> bool:
    """Tell whether time namespaces work here."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "-T", "--monotonic", "1", "true"], check=False, capture_output=True)
    return done.returncode == 0


@contextlib.contextmanager
def generating(spec: GeneratorSpec, recruits: list[Recruit]) -> Iterator[Generator]:
    """Yield a generator with the recruits in it."""
    with Generator(spec, spawn=start) as load:
        load.start(30, partial(enlist, recruits, spec))
        yield load


def hold(load: Generator, rate_rps: float, seconds: float) -> tuple[list[DigestRow], float]:
    """Hold a level, drain; return its rows, those of draining included, and when it began."""
    segment, at_s = load.segment("rate", seconds, rate_rps=rate_rps, spacing="even")
    rows: list[DigestRow] = []
    while time.monotonic() < at_s + seconds:
        time.sleep(0.02)
        rows += load.rows()
    load.idle()
    assert load.wait_drained(10)
    deadline_s = time.monotonic() + 3
    while len([row for row in rows if row["segment"] > segment]) < load.parts and time.monotonic() < deadline_s:
        time.sleep(0.02)
        rows += load.rows()
    return [row for row in rows if row["segment"] in {segment, segment + 1}], at_s


def remote(load: Generator) -> list[RemoteWorker]:
    """Return the remote workers."""
    return [worker for worker in load.workers if isinstance(worker, RemoteWorker)]


def lose(load: Generator, within_s: float) -> float:
    """Hold a level until a worker is lost; return how long that took."""
    lost, began_s = len(load.lost), time.monotonic()
    load.segment("rate", within_s + 5, rate_rps=30)
    while len(load.lost) == lost:
        assert time.monotonic() < began_s + within_s, "nobody noticed"
        time.sleep(0.05)
        load.rows()
    return time.monotonic() - began_s


def test_three_workers_share_one_schedule_until_two_die(
    server: Counting, spec: GeneratorSpec, config: RunConfig, lend: Lend, tmp_path: Path
) -> None:
    """Two through the command line, one of them with a clock 5000 s ahead; exact counts, and each loss is noticed."""
    shifted = can_shift_clocks()
    there, elsewhere = lend("there"), lend("elsewhere", AHEAD_S if shifted else 0)
    with gathered(config, lambda _: None) as recruits, generating(spec, recruits) as load:
        assert load.parts == 3
        server.taken()
        rows, at_s = hold(load, 60, 2)
        seen = server.taken()

        # One schedule, split equally, and nothing lost or counted twice on the way.
        assert sum(seen.values()) == 120
        assert {path: abs(count - 40) <= 1 for path, count in seen.items()} == {f"/{name}": True for name in NAMES}
        figures = client_figures(rows, at_s, at_s + 3).figures
        assert (figures.scheduled, figures.ok, figures.failed, figures.processes) == (120, 120, 0, 3)
        merged = histograms.merge(entry["latency_ok"] for row in rows for entry in row["names"].values())
        assert merged is not None
        assert merged.get_total_count() == 120
        assert {row.get("host") for row in rows} == {None, recruits[0].hello.host}

        # Their clocks: known within the error, and a level starts at the same instant on all.
        truths = sorted(worker.offset.seconds for worker in remote(load))
        errors = {worker.process: worker.offset.error_s for worker in remote(load)}
        assert truths == pytest.approx([0, AHEAD_S if shifted else 0], abs=max(errors.values()))
        late_s = dict.fromkeys(errors, 1.0)
        for _ in range(4):
            rows, at_s = hold(load, 30, 0.2)
            for process in late_s:
                began_s = min(row["t0_s"] for row in rows if row["process"] == process)
                late_s[process] = min(late_s[process], abs(began_s - at_s))
        assert {process: late < errors[process] + EDGE_S for process, late in late_s.items()} == dict.fromkeys(
            late_s, True
        )

        # One is killed: noticed, and the others have its share.
        os.kill(there.pid, signal.SIGKILL)
        assert lose(load, 5) < 5
        assert len(load.lost) == 1
        hold(load, 10, 0.2)
        server.taken()
        rows, at_s = hold(load, 60, 1)
        seen = server.taken()
        assert (load.parts, sum(seen.values()), set(seen)) == (2, 60, {"/here", "/elsewhere"})

        # One hangs without ending its connection.
        os.kill(elsewhere.pid, signal.SIGSTOP)
        try:
            assert lose(load, 6) < 5
        finally:
            os.kill(elsewhere.pid, signal.SIGCONT)
        assert "has answered nothing for" in load.lost[1].message or "has sent no figures" in load.lost[1].message
        rows, _ = hold(load, 60, 0.5)
        assert sum(row["scheduled"] for row in rows) == 30
    assert (tmp_path / "run" / "client-1.jsonl").is_file()


def test_a_run_without_a_worker_left_ends(spec: GeneratorSpec, config: RunConfig, lend: Lend) -> None:
    """This machine makes no load itself; the only worker is killed. Its load process does not outlive it."""
    child = lend("there")
    alone = replace(config, expect_workers=1)
    with gathered(alone, lambda _: None) as recruits, generating(replace(spec, processes=0), recruits) as load:
        hold(load, 20, 0.2)
        os.kill(child.pid, signal.SIGKILL)

        with pytest.raises(MeasurementError, match="no load worker is left"):
            lose(load, 5)


def test_a_worker_ends_with_the_run_and_presses_nothing_else(
    server: Counting, spec: GeneratorSpec, config: RunConfig, lend: Lend, tmp_path: Path
) -> None:
    """Its Locust file also names a host that was not allowed there: that request fails, nothing goes out."""
    child = lend("there", STRAY="1")
    alone = replace(config, expect_workers=1)
    with gathered(alone, lambda _: None) as recruits, generating(replace(spec, processes=0), recruits) as load:
        rows, _ = hold(load, 10, 1)

    assert child.wait(10) == 0
    assert "the run is over" in (tmp_path / "there.log").read_text()
    failed = [entry for row in rows for name, entry in row["names"].items() if "192.0.2.1" in name or "stray" in name]
    assert sum(entry["failed"] for entry in failed) == 10
    assert {kind for entry in failed for kind in entry["errors"]} == {"PermissionError"}


def test_a_target_that_is_not_allowed_is_refused_by_the_worker(
    spec: GeneratorSpec, config: RunConfig, lend: Lend, tmp_path: Path
) -> None:
    """Whoever runs the master does not decide whom this host attacks; both sides are told."""
    child = lend("there")
    with (
        gathered(replace(config, expect_workers=1, url="http://192.0.2.1"), lambda _: None) as recruits,
        pytest.raises(MeasurementError, match="say so with --allow-host"),
        generating(replace(spec, processes=0, host="http://192.0.2.1"), recruits),
    ):
        pass

    assert child.wait(10) == 3
    assert "192.0.2.1 is not this machine" in (tmp_path / "there.log").read_text()


def test_too_few_workers_are_counted(config: RunConfig, lend: Lend) -> None:
    """One of two came in time; the run does not start without the other."""
    said: list[str] = []
    lend("there")
    with (
        pytest.raises(MeasurementError, match="1 of 2 load workers came within 4 s"),
        gathered(replace(config, worker_wait_s=4), said.append),
    ):
        pytest.fail("it must not begin")

    assert any(f"pinchpoint worker --master {config.listen}" in line for line in said)
    assert TOKEN not in "".join(said)
