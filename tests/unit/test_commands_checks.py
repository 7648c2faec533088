"""What is refused before anything starts, and what is filled in."""

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest

from pinchpoint.commands import scratch
from pinchpoint.commands.boot import Asker
from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.inside import interpreter_flags, why_interpreter
from pinchpoint.commands.target import check_target, interpreter
from pinchpoint.errors import UsageError

URL = "http://127.0.0.1:8000"


def test_a_port_left_open_is_the_same_everywhere() -> None:
    """In the address, the command and the environment; without an address in the command alone."""
    config = validated(RunConfig(command=("sh", "--port", "{port}", "-w{workers}"), env={"PORT": "{port}"}, workers=3))

    assert config.url is not None
    port = config.url.rpartition(":")[2]
    assert config.url == f"http://127.0.0.1:{port}"
    assert config.command == ("sh", "--port", port, "-w3")
    assert config.env == {"PORT": port}


def test_a_port_in_the_address_fills_the_command() -> None:
    """The user names it once."""
    assert validated(RunConfig(url=URL, command=("sh", "{port}"))).command == ("sh", "8000")


def test_braces_of_other_kinds_are_left_alone() -> None:
    """Only `{port}` and `{workers}` mean something."""
    command = ("sh", "-c", "echo ${PORT} {} {ports}")

    assert validated(RunConfig(url=URL, command=command)).command == command


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (RunConfig(url=URL), "--pid"),
        (RunConfig(command=("sh",)), "needs its address"),
        (RunConfig(target="a:b", url=URL, command=("sh",)), "not both"),
        (RunConfig(target="a:b", url=URL), "--url goes with a command"),
        (RunConfig(pid=4242), "needs the server's address"),
        (RunConfig(pid=4242, url=URL, command=("sh",)), "leave out"),
        (RunConfig(pid=4242, url=URL, target="a:b"), "leave out"),
        (RunConfig(pid=4242, url=URL, env={"A": "1"}), "--env changes nothing"),
        (RunConfig(pid=4242, url=URL, python="python"), "--python changes nothing"),
        (RunConfig(pid=4242, url=URL, worker_class="sync"), "--worker-class changes nothing"),
        (RunConfig(pid=4242, url=URL, fault="db-pool"), "--fault"),
        (RunConfig(pid=os.getpid(), url=URL), "pinchpoint itself"),
    ],
)
def test_what_does_not_go_together_is_refused(config: RunConfig, words: str) -> None:
    """In one sentence that names the option."""
    with pytest.raises(UsageError, match=re.escape(words)):
        validated(config)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shop", "is not MODULE:APP"),
        (":app", "is not MODULE:APP"),
        ("shop:", "is not MODULE:APP"),
        ("shop.py:app", "like shop:app"),
        ("./shop/main.py", "like shop.main:app"),
    ],
)
def test_a_target_is_a_module_and_an_app(target: str, words: str) -> None:
    """A file's name is told how to be written."""
    with pytest.raises(UsageError, match=re.escape(words)):
        check_target(RunConfig(target=target))


def test_an_interpreter_is_found_here_or_in_the_targets_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, because the target starts elsewhere; its link is kept: that is what makes an environment."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)  # a checkout has a .venv of its own
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)

    assert interpreter(RunConfig(python=".venv/bin/python", cwd=tmp_path)) == str(python)
    with pytest.raises(UsageError, match=r"is a folder; try --python .*bin/python"):
        interpreter(RunConfig(python=str(tmp_path / ".venv")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from locust import HttpUser\nraise ValueError('no such shop')\n", "ValueError: no such shop (line 2)"),
        ("x = 1\n", "defines no User class"),
    ],
)
def test_a_locust_file_that_cannot_be_used_is_refused_before_the_target_starts(
    tmp_path: Path, text: str, words: str
) -> None:
    """With the exception and its line."""
    file = tmp_path / "locustfile.py"
    file.write_text(text)

    with pytest.raises(UsageError, match=re.escape(words)):
        validated(RunConfig(locustfile=file))


@pytest.mark.parametrize(
    ("program", "line", "words"),
    [
        ("python3.12", "python app.py -I", None),
        ("python3.12", "python -m uvicorn -I", None),
        ("python3.12", "python -W error -X dev app.py", None),
        ("python3.13t", "python app.py", None),
        ("python3", "python -I app.py", "python -I ignores PYTHONPATH"),
        ("python3.12", "python -Es app.py", "python -E ignores PYTHONPATH"),
        ("python3.12", "python -W error -S app.py", "python -S runs no sitecustomize"),
        ("python3.8", "python app.py", "it runs on Python 3.8, and the probe needs 3.9"),
        ("pypy3.10", "pypy3 app.py", "PyPy"),
        ("node", "node server.js", "node is not a Python interpreter"),
    ],
)
def test_what_keeps_the_probe_out_is_read_off_the_command_line(program: str, line: str, words: str | None) -> None:
    """Options of the program that the interpreter runs are none of the interpreter's."""
    reason = why_interpreter(program, line.split())

    assert (reason is None) == (words is None)
    assert words is None or words in str(reason)


def test_options_end_where_the_program_begins() -> None:
    """What follows -c or -m belongs to it."""
    assert interpreter_flags(["python", "-uB", "-Wdefault", "-X", "dev", "-m", "x", "-I"]) == set("uBWXm")


def test_folders_of_dead_runs_go_and_those_of_living_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another program may have made is touched."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    dead, alive, foreign = "pinchpoint-app-4999999-abc", f"pinchpoint-app-{os.getppid()}-abc", "pinchpoint-app-abc12345"
    for name in (dead, alive, foreign):
        (tmp_path / name).mkdir()

    made = scratch.app_folder()

    assert made.name.startswith(f"pinchpoint-app-{os.getpid()}-")
    assert {path.name for path in tmp_path.iterdir()} == {alive, foreign, made.name}


def test_nobody_there_is_no_answer() -> None:
    """At once: a refused connection needs no patience."""
    asker = Asker(30.0, lambda: False, clock=lambda: 0.0)

    assert asker.status("http://127.0.0.1:1/") is None
