"""`pinchpoint init` for apps that are not ours: the file that it writes runs under plain Locust, without a failure."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.init.command import init
from pinchpoint.commands.init.source import started
from pinchpoint.errors import TargetError

APPS = Path(__file__).resolve().parent.parent / "support" / "foreign_apps"
LOAD_S = 5
CALM = "wait_time = between(1, 3)"
BUSY = "wait_time = between(0, 0.05)"
"""Users that rest for seconds would not try every task in so short a time."""
LOGINS = {"POST /token", "GET /users/me/", "GET /users/me/items/"}
HEROES = {
    *("POST /teams/", "GET /teams/[team_id]", "POST /missions", "POST /heroes/", "GET /heroes/"),
    *("GET /heroes/[hero_id]", "PATCH /heroes/[hero_id]", "DELETE /heroes/[hero_id]"),
}
BIGGER = {
    *("GET /", "GET /users/", "GET /users/me", "GET /users/[username]", "GET /items/", "GET /items/[item_id]"),
    *("PUT /items/[item_id]", "POST /admin/"),
}


def run_init(*words: str) -> None:
    """Run the command as the command line does."""
    app = typer.Typer(add_completion=False)
    app.command()(init)
    app(args=list(words), standalone_mode=False)


def pressed(file: Path, host: str, environ: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Run a file under plain Locust; return {name: (requests, failures)}."""
    result = file.with_suffix("")
    words = ["--headless", "--users", "3", "--spawn-rate", "3", "--run-time", f"{LOAD_S}s", "--host", host]
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", str(file), *words, "--json-file", str(result)],
        env={**os.environ, **environ},
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(result.with_suffix(".json").read_text())
    return {row["name"]: (row["num_requests"], row["num_failures"]) for row in rows}


@pytest.mark.parametrize(
    ("target", "environ", "names"),
    [
        ("logins:app", {"LOAD_USERNAME": "johndoe", "LOAD_PASSWORD": "secret"}, LOGINS),
        ("heroes:app", {}, HEROES),
        ("bigger.main:app", {"LOAD_TOKEN": "jessica", "LOAD_X_TOKEN": "fake-super-secret-token"}, BIGGER),
    ],
)
def test_a_file_for_an_app_of_somebody_else_runs_without_a_failure(
    tmp_path: Path, target: str, environ: dict[str, str], names: set[str]
) -> None:
    """Every operation that is not deprecated is sent, with ids that exist and bodies that are taken."""
    file = tmp_path / "load.py"
    own = {"HEROES_FILE": str(tmp_path / "heroes.db")}
    options = [word for name, value in own.items() for word in ("--env", f"{name}={value}")]

    run_init(target, "--cwd", str(APPS), *options, "-o", str(file))
    text = file.read_text()
    file.write_text(text.replace(CALM, BUSY))
    with started(RunConfig(target=target, cwd=APPS, env=own)) as host:
        found = pressed(file, host, environ)

    assert CALM in text
    assert found.keys() == names
    assert {name: failures for name, (_, failures) in found.items() if failures} == {}
    assert min(requests for requests, _ in found.values()) > 0


def test_a_server_that_runs_is_asked_and_left_running(tmp_path: Path) -> None:
    """The same file as from the app itself, but for how it is run."""
    own = {"HEROES_FILE": str(tmp_path / "heroes.db")}
    with started(RunConfig(target="heroes:app", cwd=APPS, env=own)) as host:
        run_init("--url", host, "-o", str(tmp_path / "first.py"))
        run_init("--url", f"{host}/openapi.json", "-o", str(tmp_path / "second.py"))

    first, second = ((tmp_path / name).read_text() for name in ("first.py", "second.py"))
    assert f"--url {host} --pid PID" in first
    assert first.replace("first.py", "") == second.replace("second.py", "")


def test_an_app_without_a_document_is_told_so(tmp_path: Path) -> None:
    """With the ways out; no file is written, and the app is ended."""
    (tmp_path / "bare.py").write_text("from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n")

    with pytest.raises(TargetError, match="name its place with --path, or give it as a file with --openapi"):
        run_init("bare:app", "--cwd", str(tmp_path), "-o", str(tmp_path / "load.py"))
    assert not (tmp_path / "load.py").exists()


def test_an_app_that_does_not_start_is_told_so(tmp_path: Path) -> None:
    """With what it said."""
    (tmp_path / "broken.py").write_text("raise RuntimeError('no database')\n")

    with pytest.raises(TargetError, match="RuntimeError: no database"):
        run_init("broken:app", "--cwd", str(tmp_path), "-o", str(tmp_path / "load.py"))
