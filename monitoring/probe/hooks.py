"""Which module is hooked by what, and when: at once if it is loaded, else as soon as it is."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import os
import sys
import threading
from typing import Any, Callable

from .runtime import RUNTIME, log, told
from .tables import HOOK_ROWS
from .targets import HOOKS

_MARK = "__pinchpoint_probe__"
_STATES: dict[str, float] = {}
WHOLE = {
    "aiohttp_client": ("HOOK",),
    "executors": ("HOOK",),
    "httpx_client": ("HOOK",),
    "limiter": ("HOOK",),
    "locks": ("ASYNC",),
    "mail": ("HOOK",),
    "stdlib_client": ("HOOK",),
    "urllib3_client": ("HOOK",),
}
"""Our modules whose figures come from several places that have to be hooked all -> their hooks."""


def install() -> None:
    """Hook the modules above, once. Does nothing when there is no folder to publish to."""
    if not RUNTIME.folder or any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, Finder())
    os.register_at_fork(after_in_child=RUNTIME.after_fork)
    hook_loaded()


def hook_loaded() -> None:
    """Hook what is loaded already, or slipped past us because another import hook came first."""
    for name in HOOKS:
        module = sys.modules.get(name)
        if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
            apply(module, name)


def apply(module: Any, name: str) -> None:
    """Hook the loaded module `name`, once. Never raises: a hook that fails says so, and the import goes on."""
    try:
        known = module.__dict__
        if known.get(_MARK):
            return
        known[_MARK] = True
    except Exception as error:
        _say(name, error)
        return
    for ours, function in HOOKS[name]:
        _hook(module, name, ours, function)


def _hook(module: Any, name: str, ours: str, function: str) -> None:
    source = None
    try:
        source = importlib.import_module("." + ours, __package__)
        getattr(source, function)(module)
    except Exception as error:
        _say(name, error)
        # What is hooked in part would publish wrong figures.
        for attribute in WHOLE.get(ours, ()):
            hook = getattr(source, attribute, None)
            if hook is not None:
                hook.give_up()
    else:
        _note(name, 1.0)


def _say(name: str, error: Exception) -> None:
    log(f"{name} not hooked: {told(error)}")
    _note(name, 0.0)


def _note(name: str, state: float) -> None:
    """Publish whether a module is hooked: one row, however many hooks it has, and 0 if any of them failed."""
    if name not in _STATES and all(hook.name != name for hook in RUNTIME.hooks):  # its own row says it
        HOOK_ROWS.add(name, lambda _at: (_STATES[name],))
    _STATES[name] = min(state, _STATES.get(name, 1.0))


class Finder:
    """Let the other finders find, and hook the module once its own loader has run it."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec the others find, its loader extended; None (not ours) for all other modules."""
        if name not in HOOKS or getattr(self._busy, "name", None) == name:
            return None
        # Another finder may ask all finders, us included: we must not answer ourselves.
        before = getattr(self._busy, "name", None)
        self._busy.name = name
        try:
            spec = self._others(name, path, target)
            if spec is not None and spec.loader is not None:
                self._extend(spec.loader, name)
        finally:
            self._busy.name = before
        return spec

    def _others(self, name: str, path: Any, target: Any) -> Any:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                return spec
        return None

    def _extend(self, loader: Any, name: str) -> None:
        """Shadow exec_module on this one loader: it keeps its type, so resources and inspection work as before.

        A loader may be that of many modules, as in zip files. Old ones have only load_module (zip files until 3.9).
        """
        try:
            if hasattr(loader, "exec_module"):
                loader.exec_module = _applying(loader.exec_module, name)
            else:
                loader.load_module = _loading(loader.load_module, name)
        except Exception as error:
            _say(name, error)


def _applying(run: Callable[[Any], None], name: str) -> Callable[[Any], None]:
    @functools.wraps(run)
    def exec_module(module: Any) -> None:
        ours = module.__name__ == name
        if ours and not isinstance(module.__loader__, importlib.machinery.ExtensionFileLoader):
            module.__dict__.pop(_MARK, None)  # importlib.reload undoes our hooks, except in what is written in C
        run(module)
        if ours:
            apply(module, name)

    return exec_module


def _loading(load: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    @functools.wraps(load)
    def load_module(fullname: str) -> Any:
        module = load(fullname)
        if fullname == name:
            apply(module, name)
        return module

    return load_module
