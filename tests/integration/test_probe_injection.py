"""The injection in bare interpreters: it gets in, keeps out of the way, and works in every Python an app may run on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.pages import PageReader

OLD_SERVER = """
import asyncio, os, sys, time
from uvicorn.config import Config

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 404})
    await asyncio.sleep(0)
    await send({"type": "http.response.body"})

async def send(message):
    pass

async def main():
    config = Config(app)
    config.load()
    for _ in range(3):
        await config.loaded_app({"type": "http"}, None, send)
    deadline = time.monotonic() + 10
    page = os.path.join(os.environ["PINCHPOINT_PROBE_DIR"], "%d.page" % os.getpid())
    while time.monotonic() < deadline and not os.path.exists(page):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)

asyncio.run(main())
"""
STUB = """
class Config:
    def __init__(self, app):
        self.app = app
    def load(self):
        self.loaded_app = self.app
"""


def _run(python: str, code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False)


def _interpreters() -> list[str]:
    roots = Path.home() / ".pyenv" / "versions"
    return [str(next(roots.glob(f"3.{minor}.*/bin/python"), f"python3.{minor}")) for minor in range(9, 15)]


def _starts(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import asyncio"], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def test_a_process_that_serves_nothing_is_left_alone(tmp_path: Path) -> None:
    """No page, no thread, no word, nothing on sys.path."""
    pages = tmp_path / "pages"
    code = "import sys, threading; print(threading.active_count(), any('inject' in entry for entry in sys.path))"
    result = _run(sys.executable, code, probe_environment(pages, os.environ))
    assert (result.stdout, result.stderr, result.returncode) == ("1 False\n", "", 0)
    assert list(pages.iterdir()) == []


def test_a_sitecustomize_that_was_there_still_runs(tmp_path: Path) -> None:
    """The user's own comes after ours."""
    (tmp_path / "sitecustomize.py").write_text("print('the user was here')\n")
    environ = probe_environment(tmp_path / "pages", {**os.environ, "PYTHONPATH": str(tmp_path)})
    result = _run(sys.executable, "import sys, sitecustomize; print(sitecustomize.__file__)", environ)
    assert result.stdout == f"the user was here\n{tmp_path}/sitecustomize.py\n"
    assert result.stderr == ""


def test_a_childs_interpreter_is_probed_as_well(tmp_path: Path) -> None:
    """Servers that spawn their workers start new interpreters."""
    code = (
        "import subprocess, sys; child = 'import sys; print(\"_pinchpoint_probe\" in sys.modules)';"
        "print(subprocess.run([sys.executable, '-c', child], capture_output=True, text=True).stdout, end='')"
    )
    assert _run(sys.executable, code, probe_environment(tmp_path, os.environ)).stdout == "True\n"


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path: Path) -> None:
    """The app serves on without a page."""
    (tmp_path / "uvicorn").mkdir()
    (tmp_path / "uvicorn" / "__init__.py").touch()
    (tmp_path / "uvicorn" / "config.py").write_text(STUB)
    environ = probe_environment(tmp_path / "pages", {**os.environ, "PYTHONPATH": str(tmp_path)})
    (tmp_path / "pages").rmdir()
    result = _run(sys.executable, OLD_SERVER.replace("+ 10", "+ 0"), environ)
    assert result.returncode == 0
    assert result.stderr.count("\n") == 1
    assert "pinchpoint probe: no page" in result.stderr


@pytest.mark.parametrize("python", _interpreters())
def test_the_probe_runs_on_every_python_an_app_may_use(tmp_path: Path, python: str) -> None:
    """A server of one class, no package installed, the page of a finished process."""
    if not _starts(python):
        pytest.skip(f"{python} is not installed")
    (tmp_path / "uvicorn").mkdir()
    (tmp_path / "uvicorn" / "__init__.py").touch()
    (tmp_path / "uvicorn" / "config.py").write_text(STUB)
    environ = probe_environment(tmp_path / "pages", {**os.environ, "PYTHONPATH": str(tmp_path)})
    result = _run(python, OLD_SERVER, environ)
    assert (result.stderr, result.returncode) == ("", 0)
    reader = PageReader(tmp_path / "pages")
    (page,) = reader.read().values()
    reader.close()
    assert (page.fields["requests_done"], page.fields["responses_4xx"], page.fields["loop_kind"]) == (3, 3, 1)
