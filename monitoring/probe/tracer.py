"""Let pinchpoint's profiler look into this process where Yama would allow that to ancestors only.

With `ptrace_scope` 1 a process may name one other that may trace it, and its descendants (Linux,
Documentation/admin-guide/LSM/Yama.rst). The workers name pinchpoint, whose child py-spy is. Nothing is loosened for
anybody else; scope 0 needs nothing, scopes 2 and 3 cannot be opened this way.
"""

from __future__ import annotations

import os
from typing import Callable

TRACER_VARIABLE = "PINCHPOINT_TRACER_PID"
SCOPE_FILE = "/proc/sys/kernel/yama/ptrace_scope"
PR_SET_PTRACER = 0x59616D61  # "Yama", linux/prctl.h
_ANCESTORS_ONLY = "1"


def allow_tracer(
    environ: "os._Environ[str] | dict[str, str]" = os.environ,
    scope_file: str = SCOPE_FILE,
    prctl: Callable[[int, int], object] | None = None,
) -> bool:
    """Name the process that may trace this one; says whether that was done. Never raises."""
    pid = environ.get(TRACER_VARIABLE, "")
    if not (pid.isascii() and pid.isdigit()):
        return False
    try:
        with open(scope_file) as file:  # noqa: PTH123 - pathlib is not imported into other people's processes
            if file.read().strip() != _ANCESTORS_ONLY:
                return False
        return (prctl or _prctl)(PR_SET_PTRACER, int(pid)) == 0
    except Exception:
        return False


def _prctl(option: int, value: int) -> int:
    import ctypes  # noqa: PLC0415 - only where it is needed

    call = ctypes.CDLL(None).prctl
    call.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return int(call(option, value, 0, 0, 0))
