"""The exporter beside real servers, scraped by a real Prometheus."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinchpoint.monitoring.exporter import dashboard
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.probe.layout import FIELDS, TABLES
from pinchpoint.monitoring.probe.page import PageFile

SUPPORT = Path(__file__).resolve().parent.parent / "support"
DEADLINE_S = 20.0
SCRAPE_INTERVAL_S = 0.2
NOT_HERE = frozenset(
    {
        "pinchpoint_cgroup_cpu_limit_cores",  # without a limit there is none
        "pinchpoint_cgroup_memory_limit_bytes",
        "pinchpoint_process_thread_looks_total",  # not every kernel says where threads wait
        *(() if Path("/proc/pressure/cpu").exists() else ("pinchpoint_host_pressure_seconds_total",)),
    }
)
"""Documented, and measured only where the machine has them."""


def wait_for(look: Callable[[], Any]) -> Any:
    """Return what `look` finds, or fail at the deadline; refused connections count as nothing."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        try:
            found = look()
        except (OSError, http.client.HTTPException):
            found = None
        if found:
            return found
        time.sleep(0.02)
    pytest.fail("nothing came before the deadline")


def get(port: int, path: str, timeout_s: float = 5.0) -> str:
    """Return the text of one answer.

    Raises:
        OSError: nobody answers in time.

    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], log: Path, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the end of the block; it must end on SIGTERM."""
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, **options) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def exporting(folder: Path, *arguments: str) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Run `pinchpoint exporter` on a free port; yield the port it printed."""
    log = folder / "exporter.log"
    command = [sys.executable, "-m", "pinchpoint", "exporter", "--port", "0", *arguments]
    with running(command, log) as process:
        found = wait_for(lambda: re.search(r"http://127\.0\.0\.1:(\d+)/metrics", log.read_text()))
        yield int(found[1]), process


@contextmanager
def serving(folder: Path, *flags: str, pages: Path | None = None) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """Serve the support app with uvicorn, under the probe when `pages` are wanted; yield its port."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(SUPPORT), "PROBE_APP_DATABASE": f"sqlite+aiosqlite:///{folder}/a.db"}
    environment = probe_environment(pages, environment) if pages is not None else environment
    command = [sys.executable, "-m", "uvicorn", "probe_app:app", "--log-level", "warning", "--port", str(port)]
    with running([*command, "--loop", "asyncio", *flags], folder / "server.log", env=environment) as process:
        wait_for(lambda: get(port, "/"))
        yield port, process


class Prometheus:
    """A Prometheus that scrapes two exporters: that of a server (`app`), and that of a page with everything on it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query at this moment; a refused one fails the test."""
        answer = json.loads(get(self.port, f"/api/v1/query?query={urllib.parse.quote(expression)}"))
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Return the only number a query has about the server; None without one."""
        result = [one for one in self.query(expression) if one["metric"]["job"] == "app"]
        return float(result[0]["value"][1]) if len(result) == 1 else None

    def names(self) -> set[str]:
        """Return every metric it has seen."""
        return set(json.loads(get(self.port, "/api/v1/label/__name__/values"))["data"])


@contextmanager
def prometheus(folder: Path, **targets: int) -> Iterator[Prometheus]:
    """Run Prometheus against exporters: jobs by name, with their ports. It begins to scrape after five seconds."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    configuration = {
        "global": {"scrape_interval": f"{int(SCRAPE_INTERVAL_S * 1000)}ms", "scrape_timeout": "200ms"},
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
            for name, target_port in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    port = free_port()
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with running([*command, f"--web.listen-address=127.0.0.1:{port}"], folder / "prometheus.log"):
        wait_for(lambda: "Ready" in get(port, "/-/ready"))
        yield Prometheus(port)


@contextmanager
def _exporting_everything(folder: Path) -> Iterator[int]:
    """Export this very process, which listens and has a page on which nothing is unavailable; yield the port."""
    pages = folder / "full"
    pages.mkdir()
    names = (b"GET /items/{id}", b"db-pool main", b"db postgresql 127.0.0.1:5432/shop", b"requests")
    tables = [table.row.pack(name, *[1.0] * len(table.columns)) for table, name in zip(TABLES, names, strict=True)]
    PageFile(str(pages), os.getpid()).write(dict.fromkeys(FIELDS, 1.0), time.monotonic(), tables)
    with (
        socket.create_server(("127.0.0.1", 0)),
        exporting(pages, "--pages", str(pages), "--pid", str(os.getpid())) as (port, _),
    ):
        yield port


class Watched:
    """A server, its exporter and the Prometheus that scrapes it."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]", exporter: int, prometheus: Prometheus) -> None:
        self.port = port
        self.process = process
        self.exporter = exporter
        self.prometheus = prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Serve, export and scrape, with a few requests of every kind behind it."""
    folder = tmp_path_factory.mktemp("watched")
    with ExitStack() as stack:
        port, process = stack.enter_context(serving(folder, pages=folder / "pages"))
        exporter, _ = stack.enter_context(exporting(folder, "--pages", str(folder / "pages")))
        full = stack.enter_context(_exporting_everything(folder))
        scraping = stack.enter_context(prometheus(folder, app=exporter, full=full))
        for path in ("/", "/", "/pool?hold_s=0.05", "/thread?seconds=0.05", "/missing"):
            get(port, path)
        yield Watched(port, process, exporter, scraping)


def test_prometheus_sees_what_the_clients_did(watched: Watched) -> None:
    """Counts are exact, and every target is up."""
    pid = watched.process.pid
    wait_for(lambda: (watched.prometheus.value("pinchpoint_requests_total") or 0) >= 6)
    assert watched.prometheus.value("up") == 1
    assert watched.prometheus.value(f'pinchpoint_error_responses_total{{pid="{pid}",status="4xx"}}') == 1
    assert watched.prometheus.value('pinchpoint_gate_size{kind="threadpool"}') == 40
    assert watched.prometheus.value("pinchpoint_processes") == 1
    wait_for(lambda: (watched.prometheus.value(f'pinchpoint_process_cpu_seconds_total{{pid="{pid}"}}') or 0) > 0)
    assert watched.prometheus.value("pinchpoint_listen_queue_connections") == 0


def test_every_documented_metric_and_every_query_of_the_dashboard_works(watched: Watched, checkout: Path) -> None:
    """One that has no sample when everything is measured is a wrong name; a query without result draws nothing."""
    documented = set(re.findall(r"^\| `(pinchpoint_\w+)`", (checkout / "docs/metrics.md").read_text(), re.MULTILINE))
    queries = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    scraping = watched.prometheus
    wait_for(lambda: "pinchpoint_process_proportional_bytes" in scraping.names())
    wait_for(lambda: scraping.query('rate(pinchpoint_gate_size{job="full"}[10s])'))
    seen = {name for name in scraping.names() if name.startswith("pinchpoint_")}
    empty = [query for query in queries if not scraping.query(query.replace("$__rate_interval", "10s"))]

    assert documented - seen - NOT_HERE == set()
    assert seen - documented == set()
    assert [query for query in empty if not any(name in query for name in NOT_HERE)] == []


def test_promtool_finds_nothing_to_complain_about(watched: Watched) -> None:
    """Names, units, help and types are as Prometheus likes them."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    text = get(watched.exporter, "/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_blocked_loop_is_scraped_as_ever(watched: Watched) -> None:
    """Nothing in the server answers for a while; Prometheus misses no scrape and sees it."""
    seconds = 5
    connection = http.client.HTTPConnection("127.0.0.1", watched.port, timeout=DEADLINE_S)
    connection.request("GET", f"/block?seconds={seconds}")
    began = time.monotonic()
    wait_for(lambda: (watched.prometheus.value("pinchpoint_loop_lag_max_seconds") or 0) > seconds - 2)
    assert watched.prometheus.value("pinchpoint_requests_inflight") == 1
    with pytest.raises(TimeoutError):
        get(watched.port, "/", timeout_s=0.2)
    scrapes = watched.prometheus.value("count_over_time(up[2s])") or 0
    assert time.monotonic() - began < seconds
    assert scrapes >= 0.95 * 2 / SCRAPE_INTERVAL_S
    assert watched.prometheus.value("min_over_time(up[3s])") == 1
    assert (watched.prometheus.value("pinchpoint_page_age_seconds") or 9) < 1
    connection.getresponse().read()
    connection.close()


def test_a_stopped_worker_shows_by_the_age_of_its_page(watched: Watched) -> None:
    """It publishes nothing, and is still reported."""
    watched.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: (watched.prometheus.value("pinchpoint_page_age_seconds") or 0) > 1.5)
        assert watched.prometheus.value("pinchpoint_processes") == 1
    finally:
        watched.process.send_signal(signal.SIGCONT)
    wait_for(lambda: (watched.prometheus.value("pinchpoint_page_age_seconds") or 9) < 0.5)


def test_sums_do_not_fall_when_a_worker_dies(tmp_path: Path) -> None:
    """Two workers of gunicorn, one of them killed: its counters stay, its gauges go, another takes its place."""
    port, pages = free_port(), tmp_path / "pages"
    environment = {
        **os.environ,
        "PYTHONPATH": str(SUPPORT),
        "PROBE_APP_DATABASE": f"sqlite+aiosqlite:///{tmp_path}/a.db",
    }
    command = [sys.executable, "-m", "gunicorn", "probe_app:app", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    command += ["--worker-class", "uvicorn_worker.UvicornWorker", "--log-level", "warning"]
    with (
        running(command, tmp_path / "server.log", env=probe_environment(pages, environment)) as process,
        exporting(tmp_path, "--pid", str(process.pid)) as (exporter, export),
    ):

        def sum_of(name: str) -> float:
            found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", get(exporter, "/metrics"), re.MULTILINE)
            return sum(map(float, found))

        wait_for(lambda: get(port, "/"))
        for _ in range(9):
            get(port, "/")
        wait_for(lambda: sum_of("pinchpoint_requests_total") == 10 and sum_of("pinchpoint_processes") == 2)
        os.kill(psutil.Process(process.pid).children()[0].pid, signal.SIGKILL)
        wait_for(lambda: sum_of("pinchpoint_processes") == 2 and len(list(pages.glob("*.page"))) == 3)
        assert sum_of("pinchpoint_requests_total") == 10
        assert 'role="master"' in wait_for(lambda: get(exporter, "/metrics"))
        process.terminate()
        assert export.wait(DEADLINE_S) == 0
    assert f"process {process.pid} has ended" in (tmp_path / "exporter.log").read_text()


def test_a_server_without_the_probe_is_seen_from_outside(tmp_path: Path) -> None:
    """The exporter says what is missing, and how to get it; it leaves in peace on a signal."""
    with serving(tmp_path) as (_, process), exporting(tmp_path, "--pid", str(process.pid)) as (port, exporter):
        text = wait_for(lambda: "pinchpoint_process_cpu" in (found := get(port, "/metrics")) and found)
        assert "pinchpoint_requests_total" not in text
        assert "pinchpoint_listen_queue_connections 0" in text
        exporter.send_signal(signal.SIGINT)
        assert exporter.wait(DEADLINE_S) == 0
        assert process.poll() is None
    assert "probe-env" in (tmp_path / "exporter.log").read_text()


def test_a_port_in_use_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    """No traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "pinchpoint", "exporter", "--port", str(port), "--pages", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"pinchpoint: port {port} on 127.0.0.1 is in use; choose another one, or 0 for any that is free\n"
    )


def test_the_reference_apps_own_metrics_show_the_probe_of_all_its_workers(tmp_path: Path) -> None:
    """Any worker answers for both, beside the instrumentator's figures."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PINCHPOINT_", "PROMETHEUS_", "DATABASE_"))}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:pinchpoint.app.gunicorn_conf", "--workers", "2"]
    command += ["-b", f"127.0.0.1:{port}", "pinchpoint.app.main:app"]
    environment = probe_environment(tmp_path / "pages", {**clean, "TMPDIR": str(tmp_path)})
    with running(command, tmp_path / "log", env=environment, cwd=tmp_path):
        wait_for(lambda: "ok" in get(port, "/health"))
        text = wait_for(lambda: "pinchpoint_processes 2" in (found := get(port, "/metrics")) and found)
    pids = set(re.findall(r'pinchpoint_requests_started_total{pid="(\d+)"}', text))
    assert len(pids) == 2
    assert "http_request_duration_seconds_bucket" in text
    assert len(re.findall("^# TYPE ", text, re.MULTILINE)) == len(set(re.findall("^# TYPE .*$", text, re.MULTILINE)))
