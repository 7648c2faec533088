"""Servers to be measured, each in fresh processes, with or without everything pinchpoint adds to them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pinchpoint.monitoring.awaits import AwaitRecorder
from pinchpoint.monitoring.exporter import Exporter, Source
from pinchpoint.monitoring.injection import new_page_folder, probe_environment
from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.processes import Child, Command, start
from pinchpoint.readiness import free_port, wait_http_ready
from pinchpoint.recording import AWAITS_FILE, SERVER_FILE, LineWriter
from pinchpoint.rows import SampleRow

HERE = Path(__file__).resolve().parent
READY_S = 20.0
SCRAPE_S = 1.0


@dataclass(frozen=True)
class App:
    """What is served: `MODULE:APP`, the path to press, and extra environment."""

    name: str
    target: str
    path: str
    env: dict[str, str] = field(default_factory=dict)
    config: str | None = None
    """gunicorn's configuration file."""


BARE = App("one route", "bench_app:app", "/items/42")


def split() -> tuple[frozenset[int] | None, frozenset[int] | None]:
    """Return one core for the server and one for everything else; None on a single core."""
    cores = sorted(os.sched_getaffinity(0))
    return (frozenset(cores[:1]), frozenset(cores[1:2])) if len(cores) > 1 else (None, None)


def command(app: App, workers: int, port: int) -> list[str]:
    """Return gunicorn's command line."""
    worker_class = ["--worker-class", "uvicorn_worker.UvicornWorker"]
    base = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
    return [*base, *worker_class, "--log-level", "warning", app.target]


@contextlib.contextmanager
def serving(
    app: App, *, workers: int = 1, pages: Path | None = None, cpus: frozenset[int] | None = None
) -> Iterator[tuple[Child, int]]:
    """Serve until the end of the block; with `pages`, the probe is inside."""
    port = free_port()
    env = {**os.environ, "PYTHONPATH": str(HERE), **app.env}
    if pages is not None:
        env = probe_environment(pages, env)
    with tempfile.TemporaryDirectory() as folder:
        child = start(
            Command("server", tuple(command(app, workers, port)), Path(folder) / "server.log", env=env, cpus=cpus)
        )
        try:
            wait_http_ready(f"http://127.0.0.1:{port}{app.path}", child, READY_S)
            yield child, port
        finally:
            child.stop()


@contextlib.contextmanager
def page_folder() -> Iterator[Path]:
    """Return a folder for pages that is gone afterwards."""
    folder = new_page_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def observed(pid: int, port: int, pages: Path) -> Iterator[Sampler]:
    """Run what `pinchpoint run --metrics-port` runs beside a server, and scrape it once a second."""
    reader, source = PageReader(pages), Source(lambda: pages)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = stack.enter_context(contextlib.closing(LineWriter(folder / SERVER_FILE)))
        awaited = stack.enter_context(contextlib.closing(LineWriter(folder / AWAITS_FILE)))
        stack.callback(reader.close)

        def sink(row: SampleRow) -> None:
            rows.write(row)
            source.observe(row)

        sampler = Sampler(root_pids=[pid], port=port, pages=reader.read, tables=reader.tables, sink=sink)
        awaits = AwaitRecorder(pages, awaited.write)
        exporter = Exporter(source.families, "127.0.0.1", 0)
        for thread in (sampler, awaits, exporter):
            thread.start()
            stack.callback(thread.stop)
        over = threading.Event()
        scraper = threading.Thread(target=_scrape, args=(exporter.url, over), daemon=True)
        scraper.start()
        stack.callback(scraper.join)
        stack.callback(over.set)
        yield sampler


def _scrape(url: str, over: threading.Event) -> None:
    while not over.wait(SCRAPE_S):
        with urllib.request.urlopen(url, timeout=5.0) as answer:  # noqa: S310 - our own exporter
            answer.read()


def press(port: int, path: str, connections: int, seconds: float, cpus: frozenset[int] | None) -> dict[str, float]:
    """Run the closed loop in a process of its own; a second of warm-up is not counted."""
    pinned = ["taskset", "-c", ",".join(map(str, sorted(cpus)))] if cpus and shutil.which("taskset") else []
    words = [str(HERE / "closed_loop.py"), "127.0.0.1", str(port), path, str(connections), "1", str(seconds)]
    done = subprocess.run([*pinned, sys.executable, *words], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    if found["errors"]:
        raise SystemExit(f"{found['errors']:.0f} of {found['requests']:.0f} answers were errors: nothing is measured")
    return found
