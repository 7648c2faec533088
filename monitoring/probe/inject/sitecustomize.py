# noqa: INP001 - a package would not be found by `site`
"""Run by `site` at the start of every interpreter that has this folder first on PYTHONPATH.

Loads the probe by its path, under a private name, and then the `sitecustomize` that this one hides. Children inherit
PYTHONPATH and are probed as well; this process's own sys.path is left as if we had never been here.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib would cost every child 5 ms
_PROBE = os.path.dirname(_HERE)  # noqa: PTH120
_OLDEST = (3, 9)


def _load_probe() -> None:
    spec = importlib.util.spec_from_file_location(
        "_pinchpoint_probe",
        os.path.join(_PROBE, "__init__.py"),  # noqa: PTH118
        submodule_search_locations=[_PROBE],
    )
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.install()


def _is_here(entry: str) -> bool:
    try:
        return os.path.abspath(entry) == _HERE  # noqa: PTH100
    except OSError:  # relative to a working directory that is gone
        return False


def _leave_path() -> "list[str]":
    """Take this folder off sys.path; return what comes behind it: whatever stands before us may have called us."""
    here = [number for number, entry in enumerate(sys.path) if entry and _is_here(entry)]
    behind = sys.path[here[0] + 1 :] if here else sys.path
    sys.path[:] = [entry for number, entry in enumerate(sys.path) if number not in here]
    return [entry for entry in behind if entry in sys.path]


def _chain(path: "list[str]") -> None:
    """Run the next `sitecustomize`; its errors are the user's own, and `site` reports them as it always does."""
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_BEHIND = _leave_path()
if sys.version_info >= _OLDEST and "_pinchpoint_probe" not in sys.modules:
    try:
        _load_probe()
    except Exception as error:
        sys.stderr.write("pinchpoint probe: not loaded: %r\n" % (error,))
_chain(_BEHIND)
