"""The wheel holds what the checkout holds: setuptools cannot find mapped packages by itself, so they are listed."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def settings(checkout: Path) -> dict[str, Any]:
    """Return `[tool.setuptools]`."""
    document = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    table: dict[str, Any] = document["tool"]["setuptools"]
    return table


def _packages(root: Path, mapping: dict[str, str]) -> set[str]:
    """Name every folder with an `__init__.py` below the mapped folders."""
    return {
        ".".join([package, *marker.parent.relative_to(root / folder).parts])
        for package, folder in mapping.items()
        for marker in (root / folder).rglob("__init__.py")
    }


def _folder(root: Path, mapping: dict[str, str], package: str) -> Path:
    known = max((name for name in mapping if package == name or package.startswith(f"{name}.")), key=len)
    return root / mapping[known] / Path(*package.removeprefix(known).split("."))


def test_every_package_is_listed(checkout: Path, settings: dict[str, Any]) -> None:
    """An unlisted package works in the checkout and is missing from the wheel."""
    actual = set(settings["packages"])

    assert actual == _packages(checkout, settings["package-dir"])


def test_an_unlisted_package_is_noticed(tmp_path: Path) -> None:
    """The check above can fail: a new folder shows up."""
    for folder in ("src/pinchpoint", "app/extra"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()

    found = _packages(tmp_path, {"pinchpoint": "src/pinchpoint", "pinchpoint.app": "app"})

    assert found == {"pinchpoint", "pinchpoint.app.extra"}


def test_every_folder_of_modules_is_a_package(checkout: Path, settings: dict[str, Any]) -> None:
    """A folder with modules but without `__init__.py` would be left out of the wheel, unless it is data on purpose."""
    folders = {
        module.parent for folder in settings["package-dir"].values() for module in (checkout / folder).rglob("*.py")
    }

    bare = {folder.relative_to(checkout).as_posix() for folder in folders if not (folder / "__init__.py").exists()}

    # `sitecustomize.py` is found by being on the path of somebody else's interpreter; it belongs to no package.
    assert bare == {"monitoring/probe/inject"}


def test_every_data_file_is_listed(checkout: Path, settings: dict[str, Any]) -> None:
    """Templates, schemas and bundled data beside the modules reach the wheel."""
    shipped = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in _folder(checkout, settings["package-dir"], package).glob(pattern)
    }
    present = {
        path
        for folder in settings["package-dir"].values()
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".db", ".db-shm", ".db-wal"}
    }

    missing = {path.relative_to(checkout).as_posix() for path in present - shipped}

    assert missing == set()


def test_the_package_is_marked_as_typed() -> None:
    """Without py.typed type checkers ignore our annotations."""
    assert (files("pinchpoint") / "py.typed").is_file()
