"""Imports run one way (docs/decisions.md): the rules, and proof that each of them can fail."""

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

MAPPED = {"app": "app", "stress": "stress", "monitoring": "monitoring", "profiles": "profiles", "src/pinchpoint": ""}

LEVEL_0 = {
    "pinchpoint",
    "pinchpoint.errors",
    "pinchpoint.units",
    "pinchpoint.statistics",
    "pinchpoint.measures",
    "pinchpoint.records",
}
LEVEL_0 |= {"pinchpoint.answer_records", "pinchpoint.soak_records", "pinchpoint.staged_records"}
LEVEL_0 |= {"pinchpoint.rows", "pinchpoint.scaling", "pinchpoint.packs"}
LEVEL_1 = {"pinchpoint.recording", "pinchpoint.processes", "pinchpoint.readiness", "pinchpoint.guard"}
LEVEL_1 |= {"pinchpoint.histograms", "pinchpoint.clientstats", "pinchpoint.seconds"}
LEVEL_0 |= {"pinchpoint.trials"}
LEVEL_1 |= {"pinchpoint.backlog", "pinchpoint.goals"}
LEVEL_1 |= {"pinchpoint.shapes", "pinchpoint.thinning"}
LEVEL_1 |= {"pinchpoint.accuracy", "pinchpoint.calibration"}
LEVEL_1 |= {"pinchpoint.links", "pinchpoint.wire", "pinchpoint.credentials", "pinchpoint.offsets"}
PARTS = {"stress", "monitoring", "profiles", "diagnosis", "report"}
LOCUST_USERS: tuple[str, ...] = (
    "pinchpoint.stress.plugin",
    "pinchpoint.stress.client_costs",
    "pinchpoint.stress.scenarios.",
)
LOCUST_USERS += tuple(f"pinchpoint.app.faults.serving.generators_{name}" for name in ("signed", "scanned", "checked"))
"""Importing locust replaces sockets, sleep and threads in the importing process."""

LOCUST = {"locust", "geventhttpclient"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name; `relative` if it was written with dots."""

    name: str
    relative: bool = False


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those for type checkers alone, which import nothing when the program runs."""
    for node in ast.iter_child_nodes(tree):
        if not _is_typing_only(node):
            yield node
            yield from _walk(node)


def imports(source: str, module: str, *, is_package: bool, modules: frozenset[str]) -> set[Import]:
    """Return what a module imports, wherever in it; `from a import b` is `a.b` if that is a module of ours."""
    found: set[Import] = set()
    for node in _walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {Import(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *filter(None, [node.module])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                found.add(Import(name if name in modules else base, relative=node.level > 0))
    return found


def part_of(module: str) -> str:
    """Return the second part of a dotted name: `stress` for `pinchpoint.stress.ramp`."""
    return [*module.split("."), ""][1]


def allowed(module: str, target: str) -> bool:
    """Tell whether a module of ours may import another one of ours."""
    part, other = part_of(module), part_of(target)
    if module in LEVEL_0:
        return target in LEVEL_0
    if module in LEVEL_1:
        return target in LEVEL_0 | LEVEL_1
    if part in PARTS:
        return other == part or target in LEVEL_0 | LEVEL_1
    # What is left is the composition root: the command line and its commands.
    return True


def broken_rules(module: str, found: set[Import]) -> Iterator[str]:
    """Say which rules a module breaks."""
    part = part_of(module)
    for item in sorted(found, key=lambda each: each.name):
        top = item.name.partition(".")[0]
        if top == "pinchpoint":
            if part == "app" and not (item.relative and part_of(item.name) == "app"):
                yield f"{module} imports {item.name}: the app knows nothing of pinchpoint and imports itself with dots"
            elif part != "app" and not allowed(module, item.name):
                yield f"{module} imports {item.name}: against the one-way stair"
        if module.startswith("pinchpoint.monitoring.probe"):
            of_probe = item.relative and item.name.startswith("pinchpoint.monitoring.probe")
            if top not in sys.stdlib_module_names and not of_probe:
                yield f"{module} imports {item.name}: the probe has the standard library only"
        if top in LOCUST and not module.startswith(LOCUST_USERS):
            yield f"{module} imports {item.name}: only the Locust plugin and locustfiles may"
        if top == "gevent" and part != "stress":
            yield f"{module} imports {item.name}: green threads stay in the load generator"
        if module == "pinchpoint.guard" and top not in sys.stdlib_module_names:
            yield f"{module} imports {item.name}: the guard runs alone"


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, or nothing."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if circle := visit(target, [*path, module]):
                return circle
        done.add(module)
        return []

    return next(filter(None, (visit(module, []) for module in sorted(graph))), [])


def sources(root: Path) -> dict[str, Path]:
    """Return every module of the package by its installed name."""
    found: dict[str, Path] = {}
    for folder, package in MAPPED.items():
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            names = [*filter(None, ["pinchpoint", package]), *parts]
            found[".".join(names).removesuffix(".__init__")] = path
    return found


@pytest.fixture
def graph(checkout: Path) -> dict[str, set[Import]]:
    """Return what every module imports."""
    known = sources(checkout)
    modules = frozenset(known)
    return {
        module: imports(
            path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py", modules=modules
        )
        for module, path in known.items()
    }


def test_imports_run_one_way(graph: dict[str, set[Import]]) -> None:
    """No module breaks a rule, and the walk has seen all five roots."""
    broken = [line for module, found in graph.items() for line in broken_rules(module, found)]

    assert broken == []
    assert {part_of(module) for module in graph} >= {"app", "stress", "monitoring", "profiles", "errors"}


def test_no_modules_import_each_other(graph: dict[str, set[Import]]) -> None:
    """There is no circle, imports inside functions included."""
    inside = {module: {item.name for item in found} & (graph.keys() - {module}) for module, found in graph.items()}

    assert cycle(inside) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pinchpoint.errors", "from pinchpoint.recording import LineWriter"),
        ("pinchpoint.recording", "import pinchpoint.stress.ramp"),
        ("pinchpoint.stress.ramp", "from pinchpoint.monitoring import sampler"),
        ("pinchpoint.stress.ramp", "from ..profiles import folded"),
        ("pinchpoint.stress.ramp", "import locust"),
        ("pinchpoint.monitoring.sampler", "def f():\n    import gevent.monkey"),
        ("pinchpoint.diagnosis.rules", "from pinchpoint.commands.config import RunConfig"),
        ("pinchpoint.report.html", "from pinchpoint.diagnosis import rules"),
        ("pinchpoint.app.main", "from pinchpoint.errors import UsageError"),
        ("pinchpoint.app.main", "from pinchpoint.app import models"),
        ("pinchpoint.app.main", "from ..errors import UsageError"),
        ("pinchpoint.monitoring.probe.hooks", "import psutil"),
        ("pinchpoint.monitoring.probe.hooks", "from pinchpoint.rows import SampleRow"),
        ("pinchpoint.guard", "import psutil"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    """Each rule can fail."""
    modules = frozenset({"pinchpoint.monitoring.sampler", "pinchpoint.profiles.folded", "pinchpoint.app.models"})

    found = imports(source, module, is_package=False, modules=modules)

    assert len(list(broken_rules(module, found))) >= 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pinchpoint.stress.plugin", "import locust, gevent"),
        ("pinchpoint.stress.ramp", "from pinchpoint.rows import DigestRow\nfrom . import stages"),
        ("pinchpoint.commands.run", "from pinchpoint.stress import ramp\nfrom pinchpoint.diagnosis import diagnose"),
        ("pinchpoint.app.main", "from . import models\nfrom fastapi import FastAPI"),
        ("pinchpoint.monitoring.probe.hooks", "import os\nfrom . import layout"),
        ("pinchpoint.errors", "if TYPE_CHECKING:\n    from pinchpoint.stress import ramp"),
    ],
)
def test_a_rightful_import_is_allowed(module: str, source: str) -> None:
    """The rules do not forbid what the design asks for."""
    found = imports(source, module, is_package=False, modules=frozenset())

    assert list(broken_rules(module, found)) == []


def test_a_planted_circle_is_found() -> None:
    """The search for circles can fail."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
