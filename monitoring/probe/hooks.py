"""Which module is hooked by what, and when: at once if it is loaded, else as soon as it is."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any, Callable

from .runtime import RUNTIME, log
from .tables import HOOK_ROWS
from .targets import HOOKS

_MARK = "__pinchpoint_probe__"


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
            apply(module)


def apply(module: Any) -> None:
    """Hook one loaded module, once; a hook that fails leaves the module as it was and says so."""
    name = module.__name__
    if name not in HOOKS or module.__dict__.get(_MARK):
        return
    setattr(module, _MARK, True)
    for ours, function in HOOKS[name]:
        try:
            hook: Callable[[Any], None] = getattr(importlib.import_module("." + ours, __package__), function)
            hook(module)
        except Exception as error:
            log(f"{name} not hooked: {error!r}")
            HOOK_ROWS.add(name, _not_hooked)
        else:
            HOOK_ROWS.add(name, _hooked)


def _hooked(_at: float) -> tuple[float]:
    return (1.0,)


def _not_hooked(_at: float) -> tuple[float]:
    return (0.0,)


class Finder:
    """Let the other finders find, and hook the module once its own loader has run it."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec the others find, its loader extended; None (not ours) for all other modules."""
        if name not in HOOKS or getattr(self._busy, "name", None) == name:
            return None
        # Another finder may ask all finders, us included: we must not answer ourselves.
        self._busy.name = name
        try:
            spec = self._others(name, path, target)
            if spec is not None and spec.loader is not None:
                self._extend(spec.loader, name)
        finally:
            self._busy.name = None
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
        """Shadow exec_module on this one loader: it keeps its type, so resources and inspection work as before."""
        run = loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            if module.__name__ == name:
                apply(module)

        try:
            loader.exec_module = exec_module
        except Exception as error:
            log(f"{name} not hooked: {error!r}")
