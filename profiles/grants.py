"""What to grant when the kernel refuses py-spy: one sentence that names the command."""

from __future__ import annotations

import re
import sys
from pathlib import Path

NOT_INSTALLED = "No profiles: py-spy is not installed; `pip install py-spy` into pinchpoint's environment."

_REFUSALS = re.compile(r"Permission [Dd]enied|Operation not permitted|\(os error (?:1|13)\)|root on OSX|EPERM")
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def is_refusal(log: str) -> bool:
    """Tell whether py-spy's output says that it was not permitted to read the process."""
    return bool(_REFUSALS.search(log))


def sentence(scope: int | None = None, *, contained: bool | None = None, platform: str = sys.platform) -> str:
    """Say what to grant. Unset arguments are read from this machine.

    `scope` is Yama's ptrace_scope (0: same user; 1: ancestors; 2: CAP_SYS_PTRACE; 3: nobody, until reboot).
    """
    scope = _ptrace_scope() if scope is None else scope
    contained = any(mark.exists() for mark in _CONTAINER_MARKS) if contained is None else contained
    if platform == "darwin":
        return "No profiles: macOS lets only root read other processes; run pinchpoint with `sudo`."
    if contained:
        return (
            "No profiles: this container may not read other processes;"
            " start it with `--cap-add SYS_PTRACE` (Kubernetes: add the capability SYS_PTRACE)."
        )
    if scope:
        return (
            f"No profiles: the kernel lets no process read another one (ptrace_scope is {scope});"
            " `sudo sysctl kernel.yama.ptrace_scope=0` until the next boot, or give CAP_SYS_PTRACE."
        )
    return (
        "No profiles: py-spy may not read the target's memory;"
        " run pinchpoint as the same user as the target, or give it CAP_SYS_PTRACE."
    )


def _ptrace_scope() -> int | None:
    try:
        return int(_YAMA.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
