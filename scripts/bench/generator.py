"""What the load generator can do on one core, beside stock Locust and wrk, and what a second process adds."""

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from figures import Figure, median_figure
from servers import BARE, serving

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.processes import Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from pinchpoint.rows import DigestRow
from pinchpoint.stress.generator import Generator, GeneratorSpec

LOCUSTFILE = Path(__file__).resolve().parent / "generator_load.py"
USERS = 32
"""Of stock Locust's closed loop: more or fewer (8 to 64 were tried) serve no more."""

OVERLOAD = 1.3
"""Offered to ours, as a multiple of stock Locust's maximum: more than it can start."""

CALM = 0.7
SETTLE_S = 1.0
READY_S = 10.0
SECONDS = 5.0
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "ok"; }}
    }}
}}
"""


def generator(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Measure in turns: stock Locust, ours, ours at 70 %, wrk, ours from two processes; each in fresh processes."""
    repetitions = 2 if quick else 5
    server_cpus, one, two = _split()
    found: dict[str, list[float]] = {}
    for turn in range(repetitions):
        with lean_server(say if turn == 0 else (lambda _: None), server_cpus) as url:
            for name, value in _turn(url, one):
                found.setdefault(name, []).append(value)
        with lean_server(lambda _: None, server_cpus if two[1] else None) as url:
            found.setdefault("two", []).append(_two_over_one(url, two[0]))
        said = ", ".join(f"{name} {values[-1]:.4g}" for name, values in found.items())
        say(f"turn {turn + 1} of {repetitions}: {said}")
    if "wrk" not in found:
        say("no ratio to wrk: it is not installed (Debian's package wrk)")
    return _figures(found, repetitions)


def _figures(found: dict[str, list[float]], repetitions: int) -> list[Figure]:
    ratio = [ours / stock for ours, stock in zip(found["ours"], found["stock"], strict=True)]
    figures = [
        median_figure("stock Locust, FastHttpUser, closed loop", found["stock"], "/s", None, "higher"),
        median_figure("ours, open load, started", found["ours"], "/s", None, "higher"),
        median_figure("ours over stock Locust", ratio, "", 0.95, "higher"),
        median_figure("send lag p99 at 70 %", found["lag"], "ms", 2.0, "lower"),
        median_figure("CPU at 70 %", found["cpu"], "of a core", None, "lower"),
        median_figure("two load processes over one", found["two"], "", 1.8, "higher"),
    ]
    if len(found.get("wrk", ())) == repetitions:
        beside = [ours / wrk for ours, wrk in zip(found["ours"], found["wrk"], strict=True)]
        figures.append(median_figure("wrk, one thread", found["wrk"], "/s", None, "higher"))
        figures.append(median_figure("ours over wrk", beside, "", None, "higher"))
    return figures


def _split() -> tuple[frozenset[int] | None, frozenset[int] | None, tuple[frozenset[int] | None, bool]]:
    """Return the CPUs of the server, of one load process, and of two (with True when the server keeps its own)."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return None, None, (None, False)
    if len(cores) == 2:  # noqa: PLR2004 - two processes need both, and share them with the server
        return frozenset(cores[:1]), frozenset(cores[1:]), (None, False)
    return frozenset(cores[:1]), frozenset(cores[1:2]), (frozenset(cores[1:3]), True)


def _turn(url: str, cpus: frozenset[int] | None) -> Iterator[tuple[str, float]]:
    stock_rps = _stock(url, cpus)
    yield "stock", stock_rps
    yield "ours", _offer(url, OVERLOAD * stock_rps, cpus).started_rps
    calm = _offer(url, CALM * stock_rps, cpus).figures
    assert calm.send_lag_ms_p99 is not None  # noqa: S101 - something was started
    assert calm.cpu_share is not None  # noqa: S101 - and cost something
    yield "lag", calm.send_lag_ms_p99
    yield "cpu", calm.cpu_share
    if shutil.which("wrk"):
        yield "wrk", _wrk(url, cpus)


def _two_over_one(url: str, cpus: frozenset[int] | None) -> float:
    """Return how much more two processes start than one, where neither is kept to a core."""
    far_too_much_rps = 30_000.0
    one = _offer(url, far_too_much_rps, cpus, processes=1).started_rps
    return _offer(url, far_too_much_rps, cpus, processes=2).started_rps / one


def _offer(url: str, rate_rps: float, cpus: frozenset[int] | None, processes: int = 1) -> ClientWindow:
    """Offer a rate; return what was measured after a second of settling."""
    with tempfile.TemporaryDirectory() as folder:
        spec = GeneratorSpec(url, Path(folder), locustfile=LOCUSTFILE, processes=processes, cpus=cpus, max_users=USERS)
        with Generator(spec, start) as load:
            load.start()
            load.segment("rate", SETTLE_S, rate_rps=rate_rps)  # more users are logged in meanwhile
            _wait(time.monotonic() + SETTLE_S)
            segment, at_s = load.segment("rate", SECONDS, rate_rps=rate_rps)
            _wait(at_s + SECONDS)
            rows = _rows_until(load, segment, at_s + SECONDS)
    return client_figures([row for row in rows if row["segment"] == segment], at_s + SETTLE_S, at_s + SECONDS)


def _rows_until(load: Generator, segment: int, end_s: float) -> list[DigestRow]:
    rows: list[DigestRow] = []
    load.idle()
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        rows += load.rows()
        ended = {row["process"] for row in rows if row["segment"] == segment and row["t1_s"] >= end_s - SETTLE_S / 2}
        if len(ended) == load.parts:
            return rows
        time.sleep(0.05)
    raise SystemExit("the load generator did not report")


def _wait(until_s: float) -> None:
    time.sleep(max(0.0, until_s - time.monotonic()))


def _stock(url: str, cpus: frozenset[int] | None) -> float:
    """Return the requests per second that stock Locust reports of itself."""
    argv = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url, "--headless", "--json"]
    argv += ["--users", str(USERS), "--spawn-rate", str(USERS), "--reset-stats"]
    argv += ["--run-time", f"{math.ceil(SECONDS) + 1}s"]
    done = subprocess.run([*_pinned(cpus), *argv], check=True, capture_output=True, text=True)
    (entry,) = json.loads(done.stdout)
    if entry["num_failures"]:
        raise SystemExit(f"{entry['num_failures']} requests of stock Locust failed: nothing is measured")
    return float(entry["num_requests"] / (entry["last_request_timestamp"] - entry["start_time"]))


def _wrk(url: str, cpus: frozenset[int] | None) -> float:
    argv = [*_pinned(cpus), "wrk", "-t1", f"-c{USERS}", f"-d{SECONDS:g}s", f"{url}/"]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    match: Any = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return float(match[1])


def _pinned(cpus: frozenset[int] | None) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, sorted(cpus)))] if cpus and shutil.which("taskset") else []


@contextlib.contextmanager
def lean_server(say: Callable[[str], None], cpus: frozenset[int] | None) -> Iterator[str]:
    """Serve the same few bytes for ever from nginx, or, where there is none, from the benchmarks' own app."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        say("nginx is not installed (Debian's package nginx-light): our own app serves, and may be the limit")
        with serving(BARE, cpus=cpus) as (_, port):
            yield f"http://127.0.0.1:{port}"
        return
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        folder.chmod(0o755)
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port), encoding="utf-8")
        argv = (program, "-c", str(config), "-p", str(folder), "-e", str(folder / "early.log"))
        with start(Command("nginx", argv, folder / "nginx.log", cpus=cpus)) as child:
            url = f"http://127.0.0.1:{port}"
            wait_http_ready(url, child, READY_S)
            yield url
