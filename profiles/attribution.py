"""Whose code is it: the owner of a frame by its path, who burns (leaf) and who asked (blame). METHOD §6.5.

Paths may be whole or cut by `short_path`; both give the same owner, so that a recording reads the same on any machine.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pinchpoint.profiles.tags import in_native_loop, leaf_tag
from pinchpoint.records import HotFrame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pinchpoint.profiles.folded import Frame, Stack, Stacks
    from pinchpoint.records import ProfileKind

Category = Literal["app", "framework", "library", "stdlib", "native", "pinchpoint", "thread"]

APP = "app"
STDLIB = "stdlib"
NATIVE = "native"
PROBE = "pinchpoint-probe"

FRAMEWORKS = frozenset(
    {
        *("anyio", "asgiref", "django", "falcon", "fastapi", "flask", "granian", "gunicorn", "h11", "h2", "httptools"),
        *("hypercorn", "litestar", "pydantic", "pydantic_core", "quart", "sanic", "starlette", "tornado", "uvicorn"),
        *(
            "uvicorn_worker",
            "uvloop",
            "waitress",
            "werkzeug",
            "wsproto",
            "aiohttp",
            "bottle",
            "pyramid",
            "rest_framework",
        ),
    }
)
"""What carries requests: its cost is the price of the framework, not of a chosen library."""

HOT_FRAMES = 25
HOT_APP_FRAMES = 12
HOT_SELF_FRAMES = 20

_PACKAGES = re.compile(r"(?:^|.*/)((?:site|dist)-packages/(.*))")
_STDLIB = re.compile(r"(?:^|.*/)((?:python|pypy)\d+(?:\.\d+)?t?/.*)")
_STDLIB_ZIP = re.compile(r"(?:^|.*/)(python\d+\.zip/.*)")
_PROBE = re.compile(r"(?:^|.*/)(monitoring/probe/.*)")
_SCRIPT = re.compile(r"(?:^|.*/)((?:bin|Scripts)/([^/]+))")
_OUR_APP = "pinchpoint/app/"
_LOOP_FILES = (
    "asyncio/base_events.py",
    "asyncio/events.py",
    "asyncio/runners.py",
    "uvicorn/server.py",
    "uvicorn/_compat.py",
)


@lru_cache(maxsize=16_384)
def owner_of_file(file: str) -> str:
    """Name the owner of a source file: `app`, a top-level package of site-packages, `stdlib`, `native` or our probe."""
    path = file.replace("\\", "/")
    if _PROBE.fullmatch(path):
        return PROBE
    if match := _PACKAGES.fullmatch(path):
        return APP if match[2].startswith(_OUR_APP) else re.split(r"[/.]", match[2], maxsplit=1)[0] or NATIVE
    # <frozen importlib>, or the <string> that dataclasses and namedtuples are made from
    if path.startswith("<") or _STDLIB.fullmatch(path) or _STDLIB_ZIP.fullmatch(path):
        return STDLIB
    if (match := _SCRIPT.fullmatch(path)) and "." not in match[2]:
        return match[2]  # the launcher, such as .venv/bin/gunicorn
    return NATIVE if ".so" in path or ("/" not in path and not path.endswith((".py", ".pyx"))) else APP


def owner(frame: Frame) -> str:
    """Name the owner of a frame; threads, processes and notes have none (empty)."""
    return owner_of_file(frame.file) if frame.kind == "code" else ""


def category(name: str) -> Category:
    """Sort an owner into one of the few groups that a colour can stand for."""
    if not name:
        return "thread"
    if name == PROBE:
        return "pinchpoint"
    if name == APP:
        return "app"
    if name == STDLIB:
        return "stdlib"
    if name == NATIVE:
        return "native"
    return "framework" if name in FRAMEWORKS else "library"


def short_path(file: str, root: str | None) -> str:
    """Cut what only this machine knows: the project's root, the environment's folder, the interpreter's folder."""
    path = file.replace("\\", "/")
    for pattern in (_PACKAGES, _STDLIB, _STDLIB_ZIP):
        if match := pattern.fullmatch(path):
            return match[1]
    if root:
        base = root.replace("\\", "/").rstrip("/") + "/"
        if path.startswith(base):
            return path[len(base) :]
    if (match := _SCRIPT.fullmatch(path)) and "." not in match[2]:
        return match[1]
    return path


@dataclass(frozen=True, slots=True)
class Place:
    """A function, whatever line of it was sampled."""

    function: str
    file: str


def place(frame: Frame) -> Place:
    """Return the function a frame is in."""
    return Place(frame.function, frame.file)


def busy(stacks: Stacks, lines: Mapping[str, str] | None = None, kind: ProfileKind = "wall") -> Stacks:
    """Leave out threads that wait for work. Shares of a profile are shares of what remains.

    In a profile of running threads, sleepers are left out too: they were caught falling asleep or waking up. A thread
    inside uvloop's own code waits on the wall clock, as a rule, and works when it was seen running.
    """
    if kind == "wall":
        return stacks.filter(lambda stack: leaf_tag(stack, lines) != "idle")
    return stacks.filter(
        lambda stack: in_native_loop(stack[-1]) or leaf_tag(stack, lines) not in {"idle", "sleep"},
    )


def on_loop(stacks: Stacks) -> Stacks:
    """Keep what ran on event loops: in a wall profile, the frames to blame here are those that block the loop."""
    return stacks.filter(lambda stack: any(frame.file.endswith(_LOOP_FILES) for frame in stack))


def blamed(stack: Stack) -> Frame | None:
    """Return the app frame nearest to the leaf: who asked for what the leaf does. None when no app frame is there."""
    return next((frame for frame in reversed(stack) if owner(frame) == APP), None)


def blame(stacks: Stacks) -> dict[Frame, int]:
    """Count samples by the app frame (with its line) that asked for them."""
    counts: Counter[Frame] = Counter()
    for stack, count in stacks.counts.items():
        if (frame := blamed(stack)) is not None:
            counts[frame] += count
    return dict(counts)


def owner_shares(stacks: Stacks) -> dict[str, float]:
    """Shares (0..1) of samples by the owner of the leaf: who burns."""
    return _shares((owner(stack[-1]) or NATIVE, count) for stack, count in stacks.counts.items())


def tag_shares(stacks: Stacks, lines: Mapping[str, str] | None = None) -> dict[str, float]:
    """Shares (0..1) of samples by what the leaf does: compute, db, lock, idle, ..."""
    return _shares((leaf_tag(stack, lines), count) for stack, count in stacks.counts.items())


def _shares(pairs: Iterable[tuple[str, int]]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for name, count in pairs:
        counts[name] += count
    total = counts.total()
    return {name: count / total for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


@dataclass
class Tally:
    """Samples by function."""

    total: Counter[Place]
    self: Counter[Place]
    blame: Counter[Place]
    lines: dict[Place, Counter[int]]
    """Samples by line; the hottest one is where to look."""


def tally(stacks: Stacks) -> Tally:
    """Count each function once a stack (inclusive), at the leaf (self), and as the one to blame."""
    result = Tally(Counter(), Counter(), Counter(), defaultdict(Counter))
    for stack, count in stacks.counts.items():
        code = [frame for frame in stack if frame.kind == "code"]
        for frame in {place(frame): frame for frame in code}.values():
            result.total[place(frame)] += count
            if frame.line is not None:
                result.lines[place(frame)][frame.line] += count
        if code:
            result.self[place(code[-1])] += count
        if (asked := blamed(stack)) is not None:
            result.blame[place(asked)] += count
    return result


def hot_frames(stacks: Stacks) -> list[HotFrame]:
    """Rank functions: the app's by the samples they asked for (blame), then the rest by self, then by inclusive.

    So the first entry owned by `app` is where to look. Shares are of the given stacks: pass them through `busy` first.
    """
    counts = tally(stacks)
    samples = stacks.total
    if samples == 0:
        return []
    names = sorted(counts.total, key=lambda name: (name.function, name.file))
    app = sorted(
        (name for name in names if owner_of_file(name.file) == APP),
        key=lambda name: (-counts.blame[name], -counts.total[name]),
    )[:HOT_APP_FRAMES]
    rest = [name for name in names if owner_of_file(name.file) not in {APP, PROBE}]
    by_self = sorted((name for name in rest if counts.self[name]), key=lambda name: -counts.self[name])
    by_total = sorted(rest, key=lambda name: -counts.total[name])
    chosen = dict.fromkeys([*app, *by_self[: max(0, HOT_SELF_FRAMES - len(app))], *by_total])
    return [_hot(name, counts, samples) for name in list(chosen)[:HOT_FRAMES]]


def _hot(name: Place, counts: Tally, samples: int) -> HotFrame:
    lines = counts.lines.get(name)
    return HotFrame(
        function=name.function,
        file=name.file,
        line=min(lines, key=lambda line: (-lines[line], line)) if lines else None,
        owner=owner_of_file(name.file),
        self_share=counts.self[name] / samples,
        total_share=counts.total[name] / samples,
    )
