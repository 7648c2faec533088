"""What the app's interpreter is asked, and how its answer is told."""

import os
import re
import sys
from pathlib import Path

import pytest

from pinchpoint.commands.describe import Description, Inquiry, describe
from pinchpoint.errors import PinchpointError, TargetError, UsageError

DEADLINE_S = 20.0
SHOP = """
import functools, threading

class Wrapped:
    def __init__(self, app):
        self.app = app
    def __call__(self, *args, **kwargs):
        return self.app(*args, **kwargs)

async def asgi(scope, receive, send): ...
def asgi2(scope): ...
def wsgi(environ, start_response): ...
class Asgi2:
    def __init__(self, scope): ...
class Framework:
    async def __call__(self, scope, receive, send): ...
framework = Framework()
def make(debug=False):
    return framework if not debug else wsgi
def broken():
    raise ValueError("no database")
def nothing(): ...
partial = functools.partial(asgi)
wrapped = Wrapped(Wrapped(wsgi))
opaque = Wrapped(None)
number = 3
class api:
    app = framework
threading.Thread(target=threading.Event().wait).start()  # must not keep the interpreter
print("noise on stdout")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an app in every style."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "config.py").write_text("mine = True\n")
    (tmp_path / "run.py").write_text("import config\nassert config.mine\nasync def app(scope, receive, send): ...\n")
    (tmp_path / "broken.py").write_text("import shop\nimport nowhere.at_all\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit('set DATABASE_URL first')\n")
    (tmp_path / "typo.py").write_text("def app(:\n")
    return tmp_path


def asked(folder: Path, target: str, deadline_s: float = DEADLINE_S, **inquiry: bool | str | None) -> Description:
    """Ask this very interpreter."""
    question = Inquiry(sys.executable, dict(os.environ), folder, folder / "import.log", target, **inquiry)  # type: ignore[arg-type]
    return describe(question, deadline_s)


@pytest.mark.parametrize(
    ("target", "interface", "factory"),
    [
        ("shop:asgi", "asgi", False),
        ("shop:asgi2", "asgi2", False),
        ("shop:Asgi2", "asgi2", False),
        ("shop:wsgi", "wsgi", False),
        ("shop:framework", "asgi", False),
        ("shop:make", "asgi", True),
        ("shop:make()", "asgi", True),
        ("shop:make(debug=True)", "wsgi", True),
        ("shop:partial", "asgi", False),
        ("shop:wrapped", "wsgi", False),
        ("shop:opaque", "unknown", False),
        ("shop:api.app", "asgi", False),
        ("run:app", "asgi", False),
    ],
)
def test_the_interface_of_an_app_is_found_without_calling_it(
    folder: Path, target: str, interface: str, factory: bool
) -> None:
    """In every style; modules called `run` or `config` are the app's own, not pinchpoint's."""
    found = asked(folder, target)

    assert (found.interface, found.factory) == (interface, factory)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.servers["gunicorn"] == found.versions["gunicorn"]


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        ("nowhere:app", UsageError, "there is no module nowhere in"),
        ("shop.sub:app", UsageError, "there is no module"),
        ("shop:framewrk", UsageError, "shop has no framewrk; did you mean shop:framework or"),
        ("shop:number", UsageError, "number is of type int, not an app; did you mean shop:asgi"),
        ("shop:nothing", UsageError, "nothing returned nothing, not an app"),
        ("shop:no-name", UsageError, "shop has no no-name"),
        ("shop:broken", TargetError, "calling shop:broken failed with ValueError: no database (shop.py:"),
        (
            "broken:app",
            TargetError,
            "importing broken:app failed with ModuleNotFoundError: No module named 'nowhere' (broken.py:2)",
        ),
        ("leaves:app", TargetError, "SystemExit: set DATABASE_URL first (leaves.py:2)"),
        ("typo:app", TargetError, "SyntaxError: invalid syntax (typo.py:1)"),
    ],
)
def test_what_is_wrong_with_an_app_is_one_sentence(
    folder: Path, target: str, error: type[PinchpointError], words: str
) -> None:
    """A name that is not there is the command line's fault (2); an app that raises is the target's (4)."""
    with pytest.raises(error, match=re.escape(words)) as caught:
        asked(folder, target)

    assert "\n" not in str(caught.value)
    if error is TargetError:
        assert "Error" in (folder / "import.log").read_text() or "SystemExit" in (folder / "import.log").read_text()


def test_an_environment_that_was_not_used_is_pointed_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual reason for an import error is the wrong interpreter."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.chdir(folder)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)

    with pytest.raises(TargetError, match=r"there is another environment: try --python \.venv/bin/python"):
        asked(folder, "broken:app")


def test_an_import_that_hangs_is_given_up(folder: Path) -> None:
    """With the time it was given; nothing of it stays behind."""
    (folder / "slow.py").write_text("import time\ntime.sleep(60)\n")

    with pytest.raises(TargetError, match="importing slow:app was not done after 1 s"):
        asked(folder, "slow:app", 1.0)


def test_a_worker_class_that_cannot_be_loaded_is_refused(folder: Path) -> None:
    """In gunicorn's own words."""
    with pytest.raises(UsageError, match=r"--worker-class gthrea cannot be used with .*gthrea"):
        asked(folder, "shop:wsgi", worker_class="gthrea")

    assert asked(folder, "shop:wsgi", worker_class="gthread").interface == "wsgi"
