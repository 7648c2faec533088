"""`pinchpoint init` without an app: what it refuses, what it reads, what it says."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.init import source as init_source
from pinchpoint.commands.init.command import check, init, make, read, tell, usage
from pinchpoint.commands.init.source import Document, from_file, parsed
from pinchpoint.errors import TargetError, UsageError
from support.made_load import document, operation, parameter, shop, with_login

OUT = Path("locustfile.py")
APP = RunConfig(target="shop:app")
URL = RunConfig(url="http://127.0.0.1:8000")
YAML = """
openapi: 3.0.3
info: {title: Shop, version: 2020-01-01}
paths:
  /a:
    get:
      responses:
        200: {description: fine}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> None:
    """Run the command as the command line does."""
    app = typer.Typer(add_completion=False)
    app.command()(init)
    app(args=list(words), standalone_mode=False)


@pytest.mark.parametrize(
    ("config", "openapi", "path", "words"),
    [
        (APP, Path("a.json"), None, "--openapi is a document that is read as it is"),
        (URL, Path("a.json"), None, "--openapi is a document that is read as it is"),
        (RunConfig(), Path("a.json"), "/b.json", "--path is a place on a server"),
        (replace(APP, command=("serve",)), None, None, "give MODULE:APP or a command after `--`, not both"),
        (replace(APP, url="http://127.0.0.1:1"), None, None, "--url asks a server that runs already"),
    ],
)
def test_two_sources_are_one_too_many(config: RunConfig, openapi: Path | None, path: str | None, words: str) -> None:
    """Refused before anything is started."""
    with pytest.raises(UsageError, match=words):
        check(config, openapi, path, OUT, force=False)


def test_a_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    """Unless --force says so; it may be edited already."""
    (folder / OUT).write_text("mine")

    with pytest.raises(UsageError, match=r"locustfile\.py is there already; --force overwrites it"):
        check(APP, None, None, OUT, force=False)
    check(APP, None, None, OUT, force=True)


def test_a_folder_must_be_there() -> None:
    """It is not made."""
    with pytest.raises(UsageError, match="there is no folder nowhere"):
        check(APP, None, None, Path("nowhere/load.py"), force=False)


def test_a_document_is_read_from_json_or_yaml(folder: Path) -> None:
    """Dates of YAML stay texts, for JSON has none; numbers of statuses are understood."""
    (folder / "a.json").write_text(json.dumps(shop()))
    (folder / "a.yaml").write_text(YAML)

    found = from_file(Path("a.yaml"))
    plan, _ = make(found, RunConfig(), "load.py")

    assert from_file(Path("a.json")).content == shop()
    assert found.content["info"]["version"] == "2020-01-01"
    assert [one.operation.statuses for one in plan.tasks] == [{200}]


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "a.txt is not JSON"), ("<html>", "a.txt is not JSON"), ("a: [", "a.txt is neither JSON nor YAML")],
)
def test_what_is_neither_is_refused(folder: Path, text: str, words: str) -> None:
    """A page of HTML is what a wrong address gives."""
    with pytest.raises(UsageError, match=words):
        parsed(text, "a.txt")


def test_a_file_that_cannot_be_read_is_told(folder: Path) -> None:
    """By its name, and why."""
    (folder / "a.bin").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match=r"--openapi gone\.json: No such file"):
        from_file(Path("gone.json"))
    with pytest.raises(UsageError, match="it is no text in UTF-8"):
        from_file(Path("a.bin"))


def test_only_this_machine_is_asked() -> None:
    """Unless another host is named."""
    with pytest.raises(UsageError, match=r"example\.com is not this machine"):
        read(RunConfig(url="http://example.com/openapi.json"), None, None)


def test_the_usual_places_are_looked_at_and_then_the_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may name another place on the same server; one elsewhere is not asked."""
    pages = {
        "http://127.0.0.1:1/openapi.json": '{"detail": "a page of the app"}',
        "http://127.0.0.1:1/docs": "SwaggerUIBundle({url: '/inside/spec.json', dom_id: 1})",
        "http://127.0.0.1:1/inside/spec.json": json.dumps(shop()),
    }
    asked: list[str] = []

    def fetched(url: str) -> str | None:
        asked.append(url)
        return pages.get(url)

    monkeypatch.setattr(init_source, "fetched", fetched)

    found = init_source.from_url("http://127.0.0.1:1/", None, ())
    pages["http://127.0.0.1:1/docs"] = "url: 'http://example.com/spec.json'"

    assert found.place == "http://127.0.0.1:1/inside/spec.json"
    with pytest.raises(TargetError, match=r"no OpenAPI document was found at http://127\.0\.0\.1:1"):
        init_source.from_url("http://127.0.0.1:1", None, ())
    assert not any("example.com" in url for url in asked)


def test_an_address_may_be_that_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or of the server, with the path beside it."""
    monkeypatch.setattr(init_source, "fetched", lambda url: json.dumps(shop()) if url.endswith("/x/y.json") else None)

    assert init_source.from_url("http://localhost:1/x/y.json", None, ()).place == "http://localhost:1/x/y.json"
    assert init_source.from_url("http://localhost:1", "x/y.json", ()).place == "http://localhost:1/x/y.json"
    with pytest.raises(TargetError, match=r"http://localhost:1/z\.json has no document"):
        init_source.from_url("http://localhost:1/z.json", None, ())
    with pytest.raises(TargetError, match="leave --path out"):
        init_source.from_url("http://localhost:1", "/z.json", ())


@pytest.mark.parametrize(
    ("config", "reference", "target"),
    [
        (APP, False, "shop:app"),
        (replace(APP, python=".venv/bin/python", factory=True), False, "--python .venv/bin/python --factory shop:app"),
        (RunConfig(command=("serve", "--port", "{port}")), False, "-- serve --port {port}"),
        (replace(URL, url="http://127.0.0.1:8000/openapi.json"), False, "--url http://127.0.0.1:8000 --pid PID"),
        (RunConfig(), True, ""),
        (RunConfig(), False, "MODULE:APP"),
    ],
)
def test_the_file_says_how_it_is_run(config: RunConfig, reference: bool, target: str) -> None:
    """Against what it was made from."""
    assert usage(config, "load.py", reference=reference).target == target


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"paths": {}}, "a.json: this is no OpenAPI document"),
        (document({"/a": {"get": operation(deprecated=True)}}), "a.json has no operation that a load could be made of"),
    ],
)
def test_a_document_without_anything_to_send_is_refused(content: dict[str, Any], words: str) -> None:
    """With the first reason."""
    with pytest.raises(UsageError, match=words):
        make(Document(content=content, place="a.json"), RunConfig(), "load.py")


def said(content: dict[str, Any], user: str | None = None, password: str | None = None) -> str:
    """Return what is said about a document's file."""
    plan, _ = make(Document(content=content, place="a.json"), RunConfig(), "load.py", user, password)
    talk = Console(file=io.StringIO(), width=200)
    tell(plan, Path("load.py"), talk, password=password is not None)
    assert isinstance(talk.file, io.StringIO)
    return talk.file.getvalue()


def test_what_was_not_done_is_said() -> None:
    """A line for each, the rest by number; what the environment must have; and that a password is in the file."""
    many = {f"/{number}": {"get": operation(deprecated=True)} for number in range(14)}
    guess = {"/items/{item_id}": {"put": operation(parameters=[parameter("item_id")])}}

    assert said(shop()) == "Wrote load.py: 5 tasks\n"
    assert said(document(guess)).splitlines()[0].startswith("look at: PUT /items/{item_id}: nothing here tells which")
    assert said(document({**many, "/fine": {"get": operation()}})).splitlines()[-2:] == [
        "and 2 more, at the top of load.py",
        "Wrote load.py: 1 task",
    ]
    assert said(with_login()).splitlines()[1:] == [
        "before you run it: set LOAD_USERNAME, LOAD_PASSWORD in the environment",
        "Wrote load.py: 1 task",
    ]
    assert "load.py holds the password that you gave" in said(with_login(), "jo", "secret")


def test_the_command_writes_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says so on stderr; stdout stays empty."""
    (folder / "a.json").write_text(json.dumps(shop()))

    run("--openapi", "a.json", "-o", "load.py")

    compile((folder / "load.py").read_text(), "load.py", "exec")
    assert capsys.readouterr() == ("", "Wrote load.py: 5 tasks\n")
    with pytest.raises(UsageError, match="--auth-password needs --auth-user"):
        run("--openapi", "a.json", "--auth-password", "secret")
