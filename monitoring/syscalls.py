"""What a sleeping thread's system call says of it: `/proc/PID/task/TID/syscall`, by the numbers of this machine.

The file needs the right to trace (the target is our child, or ours and Yama allows it). Numbers: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (arm64, riscv64).
"""

from __future__ import annotations

import platform
from typing import NamedTuple

_X86_64 = {
    "futex": (202, 449, 454, 455, 456),
    "epoll": (232, 281, 441),
    "poll": (7, 271),
    "select": (23, 270),
    "sleep": (35, 230),
    "accept": (43, 288),
    "receive": (0, 17, 19, 45, 47, 299),
    "send": (1, 18, 20, 40, 42, 44, 46, 307),
    "disk": (2, 74, 75, 76, 77, 82, 83, 84, 87, 162, 257, 263, 264, 277, 285, 306, 316),
    "file-lock": (72, 73),
    "idle": (34, 128, 130),
}
_GENERIC = {
    "futex": (98, 449, 454, 455, 456),
    "epoll": (22, 441),
    "poll": (73,),
    "select": (72,),
    "sleep": (101, 115),
    "accept": (202, 242),
    "receive": (63, 65, 67, 207, 212, 243),
    "send": (64, 66, 68, 71, 203, 206, 211, 269),
    "disk": (34, 35, 38, 45, 46, 47, 56, 81, 82, 83, 84, 267, 276),
    "file-lock": (25, 32),
    "idle": (133, 137),
}
_TABLES = {"x86_64": _X86_64, "aarch64": _GENERIC, "arm64": _GENERIC, "riscv64": _GENERIC}


def table(machine: str) -> dict[bytes, str]:
    """Return the kind of each system call that is known to wait, by its number as the file prints it."""
    kinds = _TABLES.get(machine, {})
    return {b"%d" % number: kind for kind, numbers in kinds.items() for number in numbers}


KINDS = table(platform.machine())
RUNNING = b"running\n"
_WORDS = 9
_PLAIN = frozenset({"accept", "disk", "file-lock", "idle", "sleep"})
"""Calls whose arguments say no more."""


class Call(NamedTuple):
    """A system call in progress."""

    kind: str | None
    """None: a call nobody knows, or none at all (a page fault)."""
    first: int = 0
    second: int = 0
    third: int = 0
    stack: int = 0
    """The stack pointer."""


_CALLS = {kind: Call(kind) for kind in _PLAIN}
NO_CALL = Call(None)


def parse_call(data: bytes, kinds: dict[bytes, str] = KINDS) -> Call | None:
    """Return the call a thread sleeps in; None when it runs. Arguments are left out where they say no more.

    The file holds `running`, `-1 SP PC`, or the number, six arguments, SP and PC.
    """
    if data == RUNNING or not data:
        return None
    kind = kinds.get(data[: data.find(b" ")])
    if kind is None:
        return NO_CALL
    if kind in _PLAIN:
        return _CALLS[kind]
    words = data.split()
    if len(words) != _WORDS:
        return NO_CALL
    return Call(kind, int(words[1], 16), int(words[2], 16), int(words[3], 16), int(words[7], 16))
