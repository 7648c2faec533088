"""The exporter's HTTP server, and the shell commands that put the probe into a server."""

import http.client
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pinchpoint.commands import exporter as command
from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.exporter import default_pages, listening_port, pages_of, probe_exports, root_of, run_exporter
from pinchpoint.errors import UsageError
from pinchpoint.monitoring.exporter import Exporter, dashboard
from pinchpoint.monitoring.probe.exposition import Family


def families() -> list[Family]:
    """Return one metric."""
    family = Family("pinchpoint_requests_total", "Requests answered.")
    family.add(3, pid=7)
    return [family]


@contextmanager
def exporting() -> Iterator[http.client.HTTPConnection]:
    """Serve one metric; yield a connection."""
    exporter = Exporter(families, "127.0.0.1", 0)
    exporter.start()
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=5)
    try:
        yield connection
    finally:
        connection.close()
        exporter.stop()


def ask(connection: http.client.HTTPConnection, method: str, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Return status, content type and text of one request."""
    connection.request(method, path, headers={"Accept": accept})
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"], response.read().decode()


def test_each_scraper_gets_the_format_it_asks_for() -> None:
    """Text by default; OpenMetrics on demand; several requests on one connection."""
    head = "HELP pinchpoint_requests_total Requests answered.\n# TYPE pinchpoint_requests_total counter"
    sample = 'pinchpoint_requests_total{pid="7"} 3\n'
    with exporting() as connection:
        text = ask(connection, "GET", "/metrics?x=1")
        openmetrics = ask(connection, "GET", "/metrics", "application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert text == (200, "text/plain; version=0.0.4; charset=utf-8", f"# {head}\n{sample}")
    assert openmetrics[1] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert openmetrics[2] == f"# {head.replace('_total', '')}\n{sample}# EOF\n"


def test_other_requests_are_answered_too() -> None:
    """A front page with a link, HEAD without a body, and 404 with a hint."""
    with exporting() as connection:
        assert "/metrics" in ask(connection, "GET", "/")[2]
        assert ask(connection, "HEAD", "/metrics") == (200, "text/plain; version=0.0.4; charset=utf-8", "")
        assert ask(connection, "GET", "/nowhere")[::2] == (404, "the metrics are at /metrics\n")


def test_a_port_in_use_is_refused_in_one_sentence() -> None:
    """It says which, and the way out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            Exporter(families, "127.0.0.1", port)
    assert str(caught.value) == f"port {port} on 127.0.0.1 is in use; choose another one, or 0 for any that is free"


def test_an_address_that_is_not_ours_is_refused() -> None:
    """The kernel's reason stands in the sentence."""
    with pytest.raises(UsageError, match=r"^cannot listen on 192\.0\.2\.1 port 0: "):
        Exporter(families, "192.0.2.1", 0)


def test_the_shell_commands_put_the_probe_first_and_keep_the_users_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that evaluates them starts Pythons with the probe inside."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere else")
    folder = tmp_path / "with blank"
    script = f"{probe_exports(folder)}\n{sys.executable} -c 'import sys, os; print(*sys.modules); print(*sys.path)'"

    said = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout

    modules, path = said.splitlines()
    assert "_pinchpoint_probe" in modules.split()
    assert "/somewhere else" in path
    assert folder.is_dir()


def test_the_default_folder_is_private_and_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link planted in its place is refused: pages would be written where somebody else wants them."""
    monkeypatch.setattr(command, "_SHARED_MEMORY", tmp_path)
    folder = default_pages()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert default_pages() == folder
    folder.rmdir()
    folder.symlink_to(tmp_path)

    with pytest.raises(UsageError, match="belongs to somebody else"):
        default_pages()


def test_the_root_of_a_worker_is_its_master_and_not_the_shell(tmp_path: Path) -> None:
    """Whoever was started with the same folder belongs to the server."""
    parents = [parent.pid for parent in psutil.Process().parents()]
    family = {os.getpid(), parents[0]}

    assert root_of(os.getpid(), tmp_path, lambda pid: tmp_path if pid in family else None) == parents[0]
    assert root_of(os.getpid(), tmp_path, lambda _: None) == os.getpid()


def test_a_process_tells_its_page_folder_and_its_port(tmp_path: Path) -> None:
    """As far as it was started with one, and listens."""
    code = (
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print(server.getsockname()[1], flush=True)\n"
        "sys.stdin.read()"
    )
    environment = {**os.environ, "PINCHPOINT_PROBE_DIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        found = pages_of(child.pid), listening_port(child.pid)
        child.communicate()
    assert found == (tmp_path, port)
    assert (pages_of(child.pid), listening_port(child.pid)) == (None, None)


def test_a_pid_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    """Nothing is served for it."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(UsageError, match=rf"^--pid {child.pid}: there is no such process$"):
        run_exporter(child.pid, tmp_path, "127.0.0.1", 0, Console(file=io.StringIO()))


def test_a_metrics_port_in_use_is_refused_before_the_run() -> None:
    """Nothing is written or started for it; the sentence says who holds it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^--metrics-port {port}: port {port} is in use by .*; choose another"):
            validated(RunConfig(metrics_port=port))


def test_the_dashboard_has_a_query_in_every_panel() -> None:
    """An empty panel would pass the test that executes the queries."""
    panels = dashboard()["panels"]
    assert len(panels) > 10
    assert [panel["title"] for panel in panels if not all(target["expr"] for target in panel["targets"])] == []
