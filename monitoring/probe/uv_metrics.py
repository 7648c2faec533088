"""How long a uvloop has been idle: libuv's own metric, which uvloop contains and exports but does not show in Python.

`uv_loop_configure(UV_METRICS_IDLE_TIME)` and `uv_metrics_idle_time` (libuv 1.39, documented at docs.libuv.org/metrics)
are public; the loop's address comes from uvloop's public `libuv_get_loop_t_ptr`. Read in uvloop 0.23 (libuv 1.52).
While it counts, libuv polls once more, without waiting, each time before it waits.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable

from .real import RLock

_IDLE_TIME_OPTION = 1
_OLDEST = (1, 39)
_NS = 1e-9
_PATIENCE_S = 1.0


class IdleTime:
    """The idle seconds of one uvloop, readable from any thread, also while the loop is blocked.

    Raises:
        Exception: this uvloop hides it, or this Python has no ctypes.

    """

    def __init__(self, loop: Any) -> None:
        import ctypes  # noqa: PLC0415 - only where there is a uvloop

        module = importlib.import_module("uvloop.loop")
        library = ctypes.PyDLL(module.__file__)
        library.uv_version.restype = ctypes.c_uint
        version = library.uv_version()
        if (version >> 16, version >> 8 & 0xFF) < _OLDEST:
            raise RuntimeError("libuv is too old")
        unwrap = ctypes.pythonapi.PyCapsule_GetPointer
        unwrap.restype, unwrap.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        address = unwrap(module.libuv_get_loop_t_ptr(loop), None)
        library.uv_loop_configure.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.uv_metrics_idle_time.restype = ctypes.c_uint64
        library.uv_metrics_idle_time.argtypes = [ctypes.c_void_p]
        if library.uv_loop_configure(address, _IDLE_TIME_OPTION) != 0:
            raise RuntimeError("libuv refuses")
        self._lock = RLock()
        self._read: Callable[[], int] | None = lambda: library.uv_metrics_idle_time(address)
        self._guard(loop)

    def _guard(self, loop: Any) -> None:
        """Let go before the loop closes: its memory must not be read afterwards."""
        original = loop.close

        def close() -> None:
            # A fork may have left the lock held for ever, by a thread that this process does not have.
            held = self._lock.acquire(timeout=_PATIENCE_S)
            self._read = None
            if held:
                self._lock.release()
            original()

        loop.close = close

    def seconds(self) -> float | None:
        """Return the idle time so far, in seconds; None once the loop is closed."""
        with self._lock:
            return None if self._read is None else self._read() * _NS
