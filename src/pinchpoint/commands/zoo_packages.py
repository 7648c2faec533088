"""Which packages a serving module of the zoo imports, and which of them are not installed; imports none of them."""

import ast
import functools
import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path

SERVING = "pinchpoint.app.faults.serving"
_MODULE = re.compile(rf"\b{re.escape(SERVING)}\.(\w+)")


def missing_packages(words: Iterable[str]) -> list[str]:
    """Return the packages that the serving modules named in a command line need and this interpreter lacks."""
    needed: set[str] = set()
    for word in words:
        if (match := _MODULE.search(word)) is not None:
            needed |= _needed(match[1])
    return sorted(name for name in needed if importlib.util.find_spec(name) is None)


@functools.cache
def _needed(module: str) -> frozenset[str]:
    """Return the top-level packages that a serving module imports when it is imported, through its siblings too."""
    path = _folder() / f"{module}.py"
    if not path.is_file():
        return frozenset()
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level == 1:
            siblings = [node.module] if node.module else [alias.name for alias in node.names]
            for sibling in siblings:
                found |= _needed(sibling)
    return frozenset(found - sys.stdlib_module_names - {"__future__"})


def _folder() -> Path:
    spec = importlib.util.find_spec(SERVING)
    assert spec is not None  # noqa: S101 - it ships with this package
    assert spec.origin is not None  # noqa: S101 - likewise
    return Path(spec.origin).parent
