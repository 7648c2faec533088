"""The text of sampled lines, kept beside a profile: it tells a sleep from work, and shows a reader the line itself."""

from __future__ import annotations

import json
import linecache
from collections import Counter
from typing import TYPE_CHECKING

from pinchpoint.profiles.attribution import APP, owner
from pinchpoint.profiles.tags import line_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pinchpoint.profiles.folded import Frame, Stacks

MAX_LINES = 1_000
MAX_CHARS = 160


def source_lines(stacks: Stacks, short: Callable[[str], str]) -> dict[str, str]:
    """Read the lines of leaf frames and of the app's frames, the most sampled first. Keys carry shortened paths.

    A file that cannot be read (another mount namespace, a zip) is left out.
    """
    counts: Counter[Frame] = Counter()
    for stack, count in stacks.counts.items():
        for frame in {stack[-1], *(frame for frame in stack if owner(frame) == APP)}:
            if frame.line is not None:
                counts[frame] += count
    lines: dict[str, str] = {}
    for frame, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0].file, item[0].line or 0))[:MAX_LINES]:
        text = linecache.getline(frame.file, frame.line or 0).strip() if frame.file.startswith("/") else ""
        if text:
            lines[line_key(type(frame)(frame.function, short(frame.file), frame.line))] = text[:MAX_CHARS]
    linecache.clearcache()
    return lines


def lines_path(folded: Path) -> Path:
    """Return the name of the file that holds the lines of a folded file."""
    return folded.with_suffix(".lines.json")


def write_lines(folded: Path, lines: dict[str, str]) -> None:
    """Write the lines beside the folded file.

    Raises:
        OSError: the disk is full or the folder is gone.

    """
    text = json.dumps(lines, indent=0, sort_keys=True, ensure_ascii=False)
    lines_path(folded).write_text(text + "\n", encoding="utf-8")


def read_lines(folded: Path) -> dict[str, str]:
    """Read them; none when the file is missing or torn."""
    try:
        value = json.loads(lines_path(folded).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}
