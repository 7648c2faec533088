"""Every Python an app may run on, with nothing but its standard library: all of the probe that applies works there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import PageReader

REQUESTS = 5
SERVER = """
import json, sys, threading, urllib.request
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from wsgiref.simple_server import WSGIRequestHandler, make_server

class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass

pool = ThreadPoolExecutor(2, thread_name_prefix="jobs")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/inner":
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no"]
    database = sqlite3.connect(":memory:")
    database.execute("select 1").fetchall()
    database.close()
    assert pool.submit(lambda: 7).result() == 7
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"yes"]

server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
for _ in range(REQUESTS):
    assert urllib.request.urlopen("http://127.0.0.1:%d/outer/17" % server.server_port).read() == b"yes"
server.shutdown()
standard = getattr(sys, "stdlib_module_names", None)
foreign = [name for name in sys.modules if standard and name.partition(".")[0] not in standard]
print(json.dumps(foreign))
"""


def _interpreters() -> list[str]:
    roots = Path.home() / ".pyenv" / "versions"
    return [str(next(roots.glob(f"3.{minor}.*/bin/python"), f"python3.{minor}")) for minor in range(9, 15)]


def _starts(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import sqlite3"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _foreign(python: str, environ: dict[str, str]) -> set[str]:
    """Return the packages in the server's process that are not of the standard library."""
    command = [python, "-c", f"REQUESTS = {REQUESTS}\n{SERVER}"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize("python", _interpreters())
def test_a_standard_library_server_is_seen_and_nothing_foreign_is_imported(tmp_path: Path, python: str) -> None:
    """Requests, route, database, thread pool and outgoing calls; the probe's own modules have a private name."""
    if not _starts(python):
        pytest.skip(f"{python} is not installed")
    environ = probe_environment(tmp_path / "pages", {"PATH": "/usr/bin:/bin"})

    # What the interpreter's own site-packages put into every process is there without the probe, too.
    foreign = _foreign(python, environ) - _foreign(python, {"PATH": environ["PATH"]})

    assert foreign - {"_pinchpoint_probe", "sitecustomize", *sys.stdlib_module_names} == set()
    reader = PageReader(tmp_path / "pages")
    ((pid, page),) = reader.read().items()
    tables = reader.tables(pid)
    reader.close()
    counted = ("requests_done", "db_calls", "executor_taken", "http_calls")
    assert {name: page.fields.get(name) for name in counted} == dict.fromkeys(counted, REQUESTS)
    assert tables is not None
    assert tables["routes"]["GET /outer/{}"]["done"] == REQUESTS
    assert tables["gates"].keys() == {"worker-slots wsgiref", "executor jobs"}
    assert {name for name, row in tables["hooks"].items() if row["state"] != 1} == set()
