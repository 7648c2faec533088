"""An interactive flame graph in one SVG file that refers to nothing outside and works alone, in a page or in a frame.

The root is on top, so that the widest frames are in sight first. A frame is a function (all its sampled lines); its
width is its share of the samples. py-spy draws graphs too, but one recording of it gives either a graph or the stacks.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from pinchpoint.profiles.attribution import Category, category, owner
from pinchpoint.profiles.flamegraph_page import SCRIPT, STYLE, WAIT_STYLE, wait_class
from pinchpoint.profiles.folded import Frame, Stacks, render
from pinchpoint.profiles.tags import line_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIN_SHARE = 0.001
"""Narrower frames are dropped: about one pixel on a wide screen."""
ROW_PX = 18
HEAD_PX = 92
NOMINAL_PX = 1200
"""Text is fitted for this width until the script knows the real one."""
CHAR_PX = 6.7
LEGEND_CHAR_PX = 6.2
LEGEND_PX = 1060
"""A report's page has so much room."""
LEGEND: tuple[tuple[Category, str], ...] = (
    ("app", "app"),
    ("framework", "framework"),
    ("library", "libraries"),
    ("stdlib", "standard library"),
    ("native", "native"),
    ("pinchpoint", "pinchpoint's probe"),
)

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
Key = tuple[str, str, str]


@dataclass(slots=True)
class Node:
    """One function at one place in the tree."""

    frame: Frame
    samples: int = 0
    own: int = 0
    lines: Counter[int] = field(default_factory=Counter)
    children: dict[Key, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Box:
    """A node with its place: start and width as shares of the whole (0..1), depth in rows."""

    node: Node
    start: float
    width: float
    depth: int


def build_tree(stacks: Stacks) -> Node:
    """Merge stacks into a tree; frames that differ only in their line are one node."""
    root = Node(Frame("all", kind="note"))
    for stack, count in stacks.counts.items():
        node = root
        node.samples += count
        for frame in stack:
            key = (frame.function, frame.file, frame.kind)
            node = node.children.setdefault(key, Node(frame))
            node.samples += count
            if frame.line is not None:
                node.lines[frame.line] += count
        node.own += count
    return root


def boxes(root: Node) -> Iterator[Box]:
    """Lay the tree out, children by name. Without recursion: stacks may be a thousand frames deep."""
    pending = [Box(root, 0.0, 1.0, 0)]
    while pending:
        box = pending.pop()
        yield box
        start = box.start
        for key in sorted(box.node.children):
            child = box.node.children[key]
            width = child.samples / root.samples
            if width >= MIN_SHARE:
                pending.append(Box(child, start, width, box.depth + 1))
            start += width


def render_svg(
    stacks: Stacks,
    *,
    title: str,
    subtitle: str = "",
    lines: Mapping[str, str] | None = None,
    waits: Mapping[str, str] | None = None,
) -> str:
    """Draw the stacks. `lines` holds source text by `file:line`, for the tips. Equal input gives equal bytes.

    `waits` is given for stacks that end in what is waited for: last frame -> kind. Colours then tell the kinds.
    """
    root = build_tree(stacks)
    placed = sorted(boxes(root), key=lambda box: (box.depth, box.start)) if root.samples else []
    rows = max((box.depth for box in placed), default=1) + 1
    height = HEAD_PX + rows * ROW_PX + 8
    digest = hashlib.sha256(f"{title}\n{subtitle}\n{render(stacks)}".encode("utf-8", "replace")).hexdigest()
    name = f"flame-{digest[:10]}"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" class="flame" width="100%" height="{height}"'
        f' font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11" data-total="{root.samples}"'
        f' role="img" aria-label="{_text(title)}">'
    )
    parts = [
        opening,
        f"<style>{(STYLE if waits is None else STYLE + WAIT_STYLE).replace('SCOPE', name)}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="title" x="10" y="22">{_text(title)}</text>',
        f'<text class="muted" x="10" y="40">{_text(subtitle)}</text>',
        *(_legend(stacks) if waits is None else _wait_legend(stacks, waits)),
        f'<text class="info muted" x="10" y="{HEAD_PX - 10}">{_idle_info(root)}</text>',
        _CONTROLS,
        *(_box(box, _group(box, waits), root.samples, lines or {}) for box in placed),
        f"<script><![CDATA[{SCRIPT.replace('SCOPE', name)}]]></script>",
        "</svg>\n",
    ]
    return "\n".join(parts)


_CONTROLS = (
    '<svg x="100%" y="8" overflow="visible"><foreignObject class="controls" x="-330" y="0" width="320" height="26">'
    '<div xmlns="http://www.w3.org/1999/xhtml" class="bar"><span class="hits"></span>'
    '<input type="search" placeholder="search" aria-label="search frames"/>'
    '<button type="button" class="reset">reset zoom</button></div></foreignObject></svg>'
)


def _idle_info(root: Node) -> str:
    if root.samples == 0:
        return "No samples: no thread did anything while this was recorded."
    return "Hover for details, click to zoom, Esc to reset."


def _legend(stacks: Stacks) -> Iterator[str]:
    """Explain the colours, each with its share of self samples: who burns."""
    burnt: Counter[Category] = Counter()
    for stack, count in stacks.counts.items():
        burnt[category(owner(stack[-1]))] += count
    left = 10
    for group, words in LEGEND:
        if not burnt[group] and group in {"pinchpoint", "native"}:
            continue
        label = f"{words} {_percent(burnt[group] / stacks.total) if stacks.total else 'n/a'}"
        yield f'<rect class="{group}" x="{left}" y="51" width="11" height="11" rx="2"/>'
        yield f'<text class="muted" x="{left + 16}" y="61">{label}</text>'
        left += 36 + int(len(label) * LEGEND_CHAR_PX)
    yield f'<text class="faint" x="{left}" y="61">(self)</text>'


def _wait_legend(stacks: Stacks, waits: Mapping[str, str]) -> Iterator[str]:
    """Explain the colours of what is waited for, each with its share, the largest first; the rest as a number."""
    met: Counter[str] = Counter()
    for stack, count in stacks.counts.items():
        met[waits.get(stack[-1].function, "other")] += count
    shown = sorted(met, key=lambda kind: (-met[kind], kind))
    left = 10
    for group, label in [
        ("app", "app code"),
        *((wait_class(kind), f"{kind} {_percent(met[kind] / stacks.total)}") for kind in shown),
    ]:
        width = 36 + int(len(label) * LEGEND_CHAR_PX)
        if left + width > LEGEND_PX:
            yield f'<text class="faint" x="{left}" y="61">…</text>'
            return
        yield f'<rect class="{group}" x="{left}" y="51" width="11" height="11" rx="2"/>'
        yield f'<text class="muted" x="{left + 16}" y="61">{_text(label)}</text>'
        left += width


def _group(box: Box, waits: Mapping[str, str] | None) -> str:
    """Return the class that colours a frame."""
    node = box.node
    group = category(owner(node.frame))
    if waits is None or group == "app":
        return group
    if group != "thread":
        return "code"
    return wait_class(waits[node.frame.function]) if node.own and node.frame.function in waits else group


def _box(box: Box, group: str, total: int, lines: Mapping[str, str]) -> str:
    node = box.node
    y = HEAD_PX + box.depth * ROW_PX
    start, width = f"{100 * box.start:.4f}%", f"{100 * box.width:.4f}%"
    label = _fit(node.frame.function, box.width * NOMINAL_PX)
    text = f'<text x="{start}" dx="4" y="{y + 12}">{_text(label)}</text>' if label else ""
    return (
        f'<g class="f {group}"><title>{_text(_tip(node, total, lines))}</title>'
        f'<rect x="{start}" y="{y}" width="{width}" height="{ROW_PX - 1}"/>{text}</g>'
    )


def _tip(node: Node, total: int, lines: Mapping[str, str]) -> str:
    """Say what a frame is. The first line is the function: the script labels and searches by it."""
    frame = node.frame
    line = min(node.lines, key=lambda number: (-node.lines[number], number)) if node.lines else None
    tip = [frame.function]
    if frame.file:
        tip.append(frame.file if line is None else f"{frame.file}:{line}")
    tip.append(
        f"{node.samples:,} samples, {_percent(node.samples / total)} · self {node.own:,}, {_percent(node.own / total)}"
    )
    if name := owner(frame):
        tip.append(f"owner: {name}")
    if source := lines.get(line_key(Frame(frame.function, frame.file, line))):
        tip.append(f"line {line}: {source}")
    return "\n".join(tip)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _fit(name: str, width_px: float) -> str:
    """Cut a name to a width; nothing when fewer than three characters fit."""
    room = int((width_px - 7) / CHAR_PX)
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= len("ab…") else ""


def _text(text: str) -> str:
    """Escape for XML, and leave out what XML cannot hold."""
    return escape(_NOT_XML.sub("�", text), quote=True)
