"""Modules are hooked as they are loaded, whoever else hooks imports; the environment that brings the probe in."""

import importlib
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.monitoring.injection import PAGE_FOLDER_VARIABLE, new_page_folder, probe_environment
from pinchpoint.monitoring.probe import asgi, hooks, runtime

NAME = "probed_victim"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """Hook a module that stands in a file, and list what the hook was given."""
    found: list[Any] = []
    (tmp_path / f"{NAME}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hooks, "HOOKS", {NAME: (("asgi", "hook_victim"),)})
    monkeypatch.setattr(asgi, "hook_victim", found.append, raising=False)
    monkeypatch.setattr(sys, "meta_path", [hooks.Finder(), *sys.meta_path])
    yield found
    sys.modules.pop(NAME, None)


def test_a_module_is_hooked_once_it_has_run(seen: list[Any]) -> None:
    """The hook sees the finished module, whose loader keeps its type."""
    module = importlib.import_module(NAME)
    assert seen == [module]
    assert isinstance(module.__loader__, importlib.machinery.SourceFileLoader)


def test_another_hook_that_asks_all_finders_gets_an_answer(seen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hooks that ask each other do not go round in circles."""

    class Asking:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            others = (finder for finder in sys.meta_path if finder is not self)
            return next((spec for finder in others if (spec := finder.find_spec(name, path, target))), None)

    monkeypatch.setattr(sys, "meta_path", [Asking(), *sys.meta_path])
    assert seen == [importlib.import_module(NAME)]


def test_a_module_that_slipped_past_is_hooked_later(seen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another finder answered first; the server's start makes up for it."""
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if not isinstance(finder, hooks.Finder)])
    module = importlib.import_module(NAME)
    assert seen == []
    hooks.hook_loaded()
    hooks.hook_loaded()
    assert seen == [module]


def test_a_hook_that_fails_leaves_the_module_usable(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and the import succeeds."""

    def fail(_: Any) -> None:
        raise AttributeError("changed in version 9")

    monkeypatch.setattr(asgi, "hook_victim", fail, raising=False)
    assert importlib.import_module(NAME).VALUE == 1
    assert capsys.readouterr().err == (
        "pinchpoint probe: probed_victim not hooked: AttributeError('changed in version 9')\n"
    )


def test_without_a_folder_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that calls install() outside a run pays nothing."""
    monkeypatch.setattr(runtime.RUNTIME, "folder", "")
    before = list(sys.meta_path)
    hooks.install()
    assert sys.meta_path == before


def test_the_probe_goes_in_front_of_the_users_pythonpath(tmp_path: Path) -> None:
    """Everything else of the environment stays; the given mapping is not changed."""
    environ = {"PYTHONPATH": "/a:/b", "HOME": "/h"}
    result = probe_environment(tmp_path / "pages", environ)
    first, *rest = result["PYTHONPATH"].split(os.pathsep)
    assert (Path(first) / "sitecustomize.py").is_file()
    assert rest == ["/a", "/b"]
    assert (result["HOME"], result[PAGE_FOLDER_VARIABLE]) == ("/h", str(tmp_path / "pages"))
    assert environ == {"PYTHONPATH": "/a:/b", "HOME": "/h"}


def test_an_empty_pythonpath_does_not_become_the_working_directory(tmp_path: Path) -> None:
    """An empty entry would put it on sys.path."""
    assert os.pathsep not in probe_environment(tmp_path, {"PYTHONPATH": ""})["PYTHONPATH"]


def test_injecting_twice_is_injecting_once(tmp_path: Path) -> None:
    """A probed process may start a probed process."""
    once = probe_environment(tmp_path, {"PYTHONPATH": "/a"})
    assert probe_environment(tmp_path, once) == once


def test_both_sides_agree_on_the_variable() -> None:
    """The probe cannot import the collector's name for it."""
    assert runtime.PAGE_FOLDER_VARIABLE == PAGE_FOLDER_VARIABLE


def test_a_new_page_folder_is_private() -> None:
    """Other users of the machine may not write pages."""
    folder = new_page_folder()
    assert folder.stat().st_mode & 0o077 == 0
    folder.rmdir()
