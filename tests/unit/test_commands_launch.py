"""From what an interpreter says of an app to the command line that serves it."""

from dataclasses import replace
from pathlib import Path

import pytest

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.describe import Description
from pinchpoint.commands.launch import launch
from pinchpoint.commands.target import server_of
from pinchpoint.errors import TargetError

PYTHON = "/venv/bin/python"
ALL = {
    "gunicorn": "27.0.1",
    "uvicorn": "0.54.0",
    "uvicorn_worker": "0.4.0",
    "hypercorn": "0.18.0",
    "granian": "2.8.7",
    "waitress": "3.0.2",
}
WORKERS = ("uvicorn.workers", "gunicorn.workers.gasgi")


def described(interface: str = "asgi", without: str = "", workers: tuple[str, ...] = WORKERS) -> Description:
    """Return an interpreter with every server but some."""
    servers = {name: version for name, version in ALL.items() if name not in without.split()}
    return Description("3.12.1", "CPython", PYTHON, servers, workers, {}, interface)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Return a run of `shop:app` in an empty folder."""
    return RunConfig(target="shop:app", cwd=tmp_path)


@pytest.mark.parametrize(
    ("app", "threads", "worker_class"),
    [
        (described(), None, "uvicorn_worker.UvicornWorker"),
        (described(without="uvicorn_worker"), None, "uvicorn.workers.UvicornWorker"),
        (described(without="uvicorn_worker uvicorn", workers=("gunicorn.workers.gasgi",)), None, "asgi"),
        (described("asgi2"), None, "uvicorn_worker.UvicornWorker"),
        (described("wsgi"), None, "sync"),
        (described("wsgi"), 1, "sync"),
        (described("wsgi"), 8, "gthread"),
        (described("unknown"), None, "sync"),
    ],
)
def test_gunicorns_worker_class_follows_the_interface(
    config: RunConfig, app: Description, threads: int | None, worker_class: str
) -> None:
    """The worker of uvicorn for ASGI, gunicorn's own rule for WSGI."""
    chosen = launch(replace(config, threads=threads), app, PYTHON, 8000)

    assert (chosen.server, chosen.version, chosen.worker_class) == ("gunicorn", "27.0.1", worker_class)
    assert chosen.argv[:3] == (PYTHON, "-m", "gunicorn")
    assert chosen.argv[chosen.argv.index("--worker-class") + 1] == worker_class
    assert chosen.argv[-1] == "shop:app"


def test_a_worker_class_that_was_given_wins_and_a_mismatch_is_told(config: RunConfig) -> None:
    """The user may know better than our look at the app."""
    chosen = launch(replace(config, worker_class="gthread"), described("asgi"), PYTHON, 8000)

    assert chosen.worker_class == "gthread"
    assert "serves WSGI apps and shop:app is ASGI" in chosen.notes[0]
    assert launch(replace(config, worker_class="gthread"), described("wsgi"), PYTHON, 8000).notes == ()


def test_the_apps_own_gunicorn_conf_keeps_its_worker_class(config: RunConfig, tmp_path: Path) -> None:
    """It is loaded anyway; a flag of ours would override it."""
    (tmp_path / "gunicorn.conf.py").write_text("bind = ':1'\nworker_class = 'gevent'\n")

    chosen = launch(config, described("wsgi"), PYTHON, 8000)

    assert "--worker-class" not in chosen.argv
    assert chosen.worker_class == "set by gunicorn.conf.py"


def test_only_a_gunicorn_that_has_a_control_socket_is_told_to_open_none(config: RunConfig) -> None:
    """Older ones refuse the flag."""
    old = replace(described("wsgi"), servers={"gunicorn": "23.0.0"})

    assert "--no-control-socket" in launch(config, described("wsgi"), PYTHON, 8000).argv
    assert "--no-control-socket" not in launch(config, old, PYTHON, 8000).argv


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (
            described("asgi", "gunicorn"),
            "uvicorn --host 127.0.0.1 --port 8000 --workers 2 --no-access-log shop:app",
        ),
        (described("asgi", "gunicorn uvicorn"), "hypercorn --bind 127.0.0.1:8000 --workers 2 asgi:shop:app"),
        (
            described("asgi", "gunicorn uvicorn hypercorn"),
            "granian --interface asgi --host 127.0.0.1 --port 8000 --workers 2 shop:app",
        ),
        (described("wsgi", "gunicorn"), "waitress --listen=127.0.0.1:8000 shop:app"),
        (
            described("wsgi", "gunicorn waitress"),
            "granian --interface wsgi --host 127.0.0.1 --port 8000 --workers 2 shop:app",
        ),
        (
            described("wsgi", "gunicorn waitress granian"),
            "hypercorn --bind 127.0.0.1:8000 --workers 2 wsgi:shop:app",
        ),
    ],
)
def test_without_gunicorn_another_server_of_the_environment_serves(
    config: RunConfig, app: Description, words: str
) -> None:
    """And a note says so."""
    chosen = launch(replace(config, workers=2), app, PYTHON, 8000)

    assert chosen.argv == (PYTHON, "-m", *words.split())
    assert chosen.worker_class is None
    assert chosen.notes[0].startswith(f"Python 3.12.1 of the app has no gunicorn, so {chosen.server} {chosen.version}")


def test_waitress_says_that_it_has_one_process(config: RunConfig) -> None:
    """A worker count without effect must not pass in silence."""
    assert "one process" in launch(replace(config, workers=2), described("wsgi", "gunicorn"), PYTHON, 8000).notes[1]


def test_an_environment_without_a_server_is_refused_with_the_way_out(config: RunConfig) -> None:
    """Exit code 4: the target cannot start."""
    with pytest.raises(TargetError, match=r"--url http://127\.0\.0\.1:\{port\} -- COMMAND"):
        launch(config, described("wsgi", " ".join(ALL)), PYTHON, 8000)
    with pytest.raises(TargetError, match="--worker-class is gunicorn's"):
        launch(replace(config, worker_class="sync"), described("wsgi", "gunicorn"), PYTHON, 8000)


@pytest.mark.parametrize(
    ("target", "without", "last"),
    [
        ("shop:make", "", ["shop:make()"]),
        ("shop:make()", "", ["shop:make()"]),
        ("shop:make(debug=True)", "", ["shop:make(debug=True)"]),
        ("shop:make()", "gunicorn", ["--factory", "shop:make"]),
        ("shop:make()", "gunicorn uvicorn", ["asgi:shop:make()"]),
    ],
)
def test_a_factory_is_called_in_each_servers_own_way(
    config: RunConfig, target: str, without: str, last: list[str]
) -> None:
    """Two servers evaluate a call, others have a flag."""
    app = replace(described(without=without), factory=True, arguments="debug" in target)

    chosen = launch(replace(config, target=target), app, PYTHON, 8000)

    assert list(chosen.argv[-len(last) :]) == last


def test_a_factory_that_was_not_announced_is_told(config: RunConfig) -> None:
    """The assumption is visible, and so is the flag that makes it none."""
    app = replace(described(), factory=True)

    assert "--factory" in launch(config, app, PYTHON, 8000).notes[0]
    assert launch(replace(config, factory=True), app, PYTHON, 8000).notes == ()


def test_gunicorn_takes_no_dotted_name(config: RunConfig) -> None:
    """Other servers do."""
    chosen = launch(replace(config, target="shop:api.app"), replace(described(), simple=False), PYTHON, 8000)

    assert chosen.server == "uvicorn"


@pytest.mark.parametrize(
    ("command", "server"),
    [
        (("/venv/bin/uvicorn", "app:app"), "uvicorn"),
        (("python", "manage.py", "runserver"), "django"),
        (("flask", "--app", "x", "run"), "flask"),
        (("/venv/bin/waitress-serve", "x:app"), "waitress"),
        (("python", "-m", "hypercorn", "x:app"), "hypercorn"),
        (("sh", "serve.sh"), None),
    ],
)
def test_a_commands_words_name_its_server(command: tuple[str, ...], server: str | None) -> None:
    """As far as they do."""
    assert server_of(command) == server
