"""Folded stacks: one stack a line, root first, frames split by semicolons, then a space and a sample count.

The format of Brendan Gregg's stackcollapse scripts as py-spy 0.4 writes it (`-f raw --threads --full-filenames`):

    thread (7065): MainThread;<module> (/srv/shop.py:3);crunch (/srv/shop.py:11) 42
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

FrameKind = Literal["code", "thread", "process", "note"]

PARTIAL = "[partial stack]"
"""Stands above stacks whose root was not reached: a torn read, or a greenlet, which has a root of its own."""

_THREAD = re.compile(r"thread \((?:0x)?[0-9a-fA-F]+\)(?:: (?P<name>.*))?", re.DOTALL)
_PROCESS = re.compile(r"process \d+(?::.*)?", re.DOTALL)
_CODE = re.compile(r"(?P<function>.*?) \((?P<file>.*?)(?::(?P<line>\d+))?\)", re.DOTALL)
_LINE = re.compile(r"(?P<stack>.+) (?P<count>\d+)", re.DOTALL)
_DIGITS = re.compile(r"\d+")
_ROOTS = frozenset({"<module>", "Thread._bootstrap", "_bootstrap", "_run_module_as_main"})


@dataclass(frozen=True, slots=True, order=True)
class Frame:
    """One frame of a stack. Thread and process lines are frames without a file, so that they group what they hold."""

    function: str
    file: str = ""
    line: int | None = None
    kind: FrameKind = "code"


Stack = tuple[Frame, ...]


@dataclass(frozen=True)
class Stacks:
    """Samples by stack, root first."""

    counts: Mapping[Stack, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All samples."""
        return sum(self.counts.values())

    def filter(self, keep: Callable[[Stack], bool]) -> Stacks:
        """Return the stacks that `keep` says yes to."""
        return Stacks({stack: count for stack, count in self.counts.items() if keep(stack)})

    def map(self, change: Callable[[Stack], Stack]) -> Stacks:
        """Return the stacks after `change`; those that became equal are added up, empty ones left out."""
        counts: Counter[Stack] = Counter()
        for stack, count in self.counts.items():
            if changed := change(stack):
                counts[changed] += count
        return Stacks(counts)


def merge(parts: Iterable[Stacks]) -> Stacks:
    """Add up profiles."""
    counts: Counter[Stack] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Stacks(counts)


def parse_frame(text: str) -> Frame:
    """Read one frame. Text that fits no known form is a frame without file, never an error."""
    if _THREAD.fullmatch(text):
        return Frame(text, kind="thread")
    if _PROCESS.fullmatch(text):
        return Frame(text, kind="process")
    if text.startswith("[") and text.endswith("]"):
        return Frame(text, kind="note")
    match = _CODE.fullmatch(text)
    if match is None:
        return Frame(text)
    line = match["line"]
    return Frame(match["function"], match["file"], int(line) if line is not None else None)


def frame_text(frame: Frame) -> str:
    """Write one frame, as `parse_frame` reads it."""
    if not frame.file:
        return frame.function
    place = frame.file if frame.line is None else f"{frame.file}:{frame.line}"
    return f"{frame.function} ({place})"


def parse(text: str) -> Stacks:
    """Read folded stacks. Lines that are not folded stacks are left out.

    A last line without its newline is left out too: the writer was killed, and "1" may be what is left of "123".
    """
    counts: Counter[Stack] = Counter()
    whole, _, _torn = text.rpartition("\n")
    frames: dict[str, Frame] = {}
    for line in whole.split("\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            continue
        names = match["stack"].split(";")
        for name in names:
            if name not in frames:
                frames[name] = parse_frame(name)
        counts[tuple(frames[name] for name in names)] += int(match["count"])
    return Stacks(counts)


def render(stacks: Stacks) -> str:
    """Write folded stacks, sorted, so that equal profiles are equal files."""
    lines = (
        f"{';'.join(_clean(frame_text(frame)) for frame in stack)} {count}" for stack, count in stacks.counts.items()
    )
    return "".join(f"{line}\n" for line in sorted(lines))


def read(path: Path) -> Stacks:
    """Read a folded file; bytes that are not UTF-8 are replaced.

    Raises:
        OSError: it is missing or cannot be read.

    """
    return parse(path.read_bytes().decode("utf-8", errors="replace"))


def thread_label(frame: Frame) -> str:
    """Return the thread's name as a note, without numbers, so that the same thread of two workers has one label."""
    match = _THREAD.fullmatch(frame.function)
    name = match["name"] if match is not None and match["name"] else ""
    name = _DIGITS.sub("N", name).strip()
    return f"[thread {name}]" if name else "[thread]"


def tidy(stacks: Stacks) -> Stacks:
    """Mend what a profiler that does not stop the process tears.

    It walks from the leaf to the root through memory that changes under it. A frame without a file is such a misread:
    what lies leafward of it was read first and holds, what lies rootward is cut. A stack that did not reach a root is
    put below `PARTIAL`; functions, leaves and blame are still right, only its callers are missing.
    """
    return stacks.map(_mend)


def graft(stacks: Stacks) -> tuple[Stacks, int]:
    """Join partial stacks where their first function is most often called in whole stacks of the same thread.

    Returns the stacks and how many samples were joined. For drawing only: the callers are likely, not seen.
    """
    callers: defaultdict[tuple[Stack, str, str], Counter[Stack]] = defaultdict(Counter)
    for stack, count in stacks.counts.items():
        head = _head(stack)
        if _partial_at(stack) is None:
            for index in range(len(head), len(stack)):
                callers[head, stack[index].function, stack[index].file][stack[:index]] += count
    joined = 0

    def join(stack: Stack) -> Stack:
        nonlocal joined
        at = _partial_at(stack)
        if at is None:
            return stack
        first = stack[at + 1]
        known = callers.get((stack[:at], first.function, first.file))
        if known is None:
            return stack
        joined += stacks.counts[stack]
        return (*min(known, key=lambda prefix: (-known[prefix], len(prefix), prefix)), *stack[at + 1 :])

    return stacks.map(join), joined


def _head(stack: Stack) -> Stack:
    return tuple(frame for frame in stack if frame.kind != "code")


def _partial_at(stack: Stack) -> int | None:
    return next((index for index, frame in enumerate(stack[:-1]) if frame.function == PARTIAL), None)


def _mend(stack: Stack) -> Stack:
    if any(frame.kind == "note" for frame in stack):
        return stack
    head = tuple(frame for frame in stack if frame.kind in {"thread", "process"})
    code = tuple(frame for frame in stack if frame.kind == "code")
    misread = max((index for index, frame in enumerate(code) if not frame.file), default=-1)
    code = code[misread + 1 :]
    if not code:
        return ()
    if code[0].function in _ROOTS:
        return (*head, *code)
    return (*head, Frame(PARTIAL, kind="note"), *code)


def _clean(text: str) -> str:
    """Keep separators out of names."""
    return text.replace(";", ":").replace("\r", " ").replace("\n", " ")
