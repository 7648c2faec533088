"""From a run folder's profiles to records, merged stacks and flame graphs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinchpoint.profiles.attribution import busy, hot_frames
from pinchpoint.profiles.flamegraph import render_svg
from pinchpoint.profiles.folded import Frame, Stacks, graft, merge, read, render, thread_label
from pinchpoint.profiles.sources import lines_path, read_lines, write_lines
from pinchpoint.records import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pinchpoint.profiles.capture import Captured
    from pinchpoint.profiles.folded import Stack
    from pinchpoint.recording import Recording

ALL_WORKERS = 0
"""Stands as the pid of a profile merged over the workers of one phase and kind."""

_WORDS = {
    "profile-baseline": "at low load",
    "profile-limit": "near the limit",
    "cpu": "CPU: threads that run",
    "gil": "GIL: the thread that holds it",
    "wall": "Wall clock: threads that run or wait for something",
    "await": "Await: what tasks wait for",
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """One profile with its flame graph, as the `profile` event stores it."""

    profile: Profile

    def event_data(self) -> dict[str, Any]:
        """Return the `data` of a `profile` event."""
        one = self.profile
        return {
            "phase": one.phase,
            "pid": one.pid,
            "profile_kind": one.kind,
            "samples": one.samples,
            "path": one.path,
            "svg": one.svg,
        }


def load_profiles(recording: Recording) -> list[Profile]:
    """Return the profiles that the recording's events name and whose files can be read, with their hot functions."""
    profiles = []
    for event in recording.events:
        if event.get("kind") != "profile":
            continue
        profile = _from_event(event.get("data", {}), recording.root)
        if profile is not None:
            profiles.append(profile)
    return profiles


def load_stacks(root: Path, profile: Profile) -> Stacks:
    """Return the folded stacks of one profile; empty when the file is gone."""
    path = _inside(root, profile.path)
    try:
        return read(path) if path is not None else Stacks({})
    except OSError:
        return Stacks({})


def merged(root: Path, profiles: Iterable[Profile], phase: str, kind: str) -> Stacks:
    """Add up the workers of one phase and kind. Threads of the same name become one, whatever their numbers."""
    chosen = [
        profile
        for profile in profiles
        if profile.phase == phase and profile.kind == kind and profile.pid != ALL_WORKERS
    ]
    return merge(load_stacks(root, profile).map(_forget_threads) for profile in chosen)


def render_all(root: Path, captured: Sequence[Captured]) -> list[Rendered]:
    """Write a flame graph for each profile, and one over all workers for each phase and kind that has several.

    `root` is the run folder; each result belongs into one `profile` event.

    Raises:
        OSError: a file cannot be written.

    """
    results = []
    for one in captured:
        path = one.path.relative_to(root).as_posix()
        profile = Profile(one.phase, one.pid, one.kind, one.samples, path)
        results.append(_render(root, profile, load_stacks(root, profile), one.rate_hz))
    groups = dict.fromkeys((one.phase, one.kind, one.rate_hz) for one in captured)
    for phase, kind, rate_hz in groups:
        group = [one for one in captured if (one.phase, one.kind) == (phase, kind)]
        if len(group) > 1:
            profiles = [result.profile for result in results]
            results.append(_render_merged(root, profiles, group, rate_hz))
    return results


def _render_merged(root: Path, profiles: list[Profile], group: list[Captured], rate_hz: int) -> Rendered:
    first = group[0]
    stacks = merged(root, profiles, first.phase, first.kind)
    path = first.path.with_name(f"{first.phase}-all-{first.kind}.folded")
    path.write_text(render(stacks), encoding="utf-8")
    lines: dict[str, str] = {}
    for one in group:
        lines.update(read_lines(one.path))
    write_lines(path, lines)
    profile = Profile(first.phase, ALL_WORKERS, first.kind, stacks.total, path.relative_to(root).as_posix())
    return _render(root, profile, stacks, rate_hz, workers=len(group))


def _render(root: Path, profile: Profile, stacks: Stacks, rate_hz: int, workers: int = 1) -> Rendered:
    folded = root / profile.path
    who = f"all {workers} workers" if profile.pid == ALL_WORKERS else f"worker {profile.pid}"
    title = f"{_WORDS[profile.kind]}, {_WORDS.get(profile.phase, profile.phase)}"
    lines = read_lines(folded)
    graph, joined = graft(busy(stacks, lines, profile.kind).map(_forget_threads))
    subtitle = f"{who} · {graph.total:,} samples at {rate_hz} Hz"
    if idle := stacks.total - graph.total:
        subtitle += f" · {idle:,} of waiting threads left out"
    if joined:
        subtitle += f" · {joined:,} torn ones joined to their usual callers"
    target = folded.with_suffix(".svg")
    temporary = target.with_suffix(".svg.tmp")
    temporary.write_text(render_svg(graph, title=title, subtitle=subtitle, lines=lines), encoding="utf-8")
    temporary.replace(target)
    return Rendered(replace(profile, svg=target.relative_to(root).as_posix()))


def _from_event(data: dict[str, Any], root: Path) -> Profile | None:
    path = _inside(root, str(data.get("path", "")))
    if path is None or not {"phase", "pid", "profile_kind"} <= data.keys():
        return None
    try:
        stacks = read(path)
    except OSError:
        return None
    lines = read_lines(path) if lines_path(path).exists() else {}
    svg = data.get("svg")
    return Profile(
        phase=data["phase"],
        pid=int(data["pid"]),
        kind=data["profile_kind"],
        samples=stacks.total,
        path=str(data["path"]),
        svg=str(svg) if svg and _inside(root, str(svg)) is not None else None,
        hot=hot_frames(busy(stacks, lines, data["profile_kind"])),
    )


def _inside(root: Path, name: str) -> Path | None:
    """Return the path below the run folder; None when it leads out of it: recordings come from strangers too."""
    path = root / name
    if not name or Path(name).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
        return None
    return path


def _forget_threads(stack: Stack) -> Stack:
    """Name threads by what they are, without numbers, and drop process frames."""
    return tuple(
        Frame(thread_label(frame), kind="note") if frame.kind == "thread" else frame
        for frame in stack
        if frame.kind != "process"
    )
