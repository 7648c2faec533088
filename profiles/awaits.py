"""The async wait profile of a run: what requests awaited at low load and near the limit, as flame graphs and shares.

A thread sampler sees an event loop that waits; this is what the requests wait for meanwhile. The probe takes the
stacks all the time, so that any window of a run can be looked at. Code that runs is not in it: CPU and wall show that.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from pinchpoint.errors import MeasurementError
from pinchpoint.profiles.attribution import APP, hot_frames, owner_of_file, short_path
from pinchpoint.profiles.flamegraph import render_svg
from pinchpoint.profiles.folded import Frame, Stacks, parse_frame, render
from pinchpoint.records import Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pinchpoint.measures import Phase
    from pinchpoint.profiles.folded import Stack
    from pinchpoint.recording import Recording
    from pinchpoint.rows import AwaitRow

FOLDER = "profiles"
ROW_S = 1.0
"""A row tells of the second before it."""
OTHER_STACK = "(other)"
_WORDS: dict[Phase, str] = {"profile-baseline": "at low load", "profile-limit": "near the limit"}
_PHASES: dict[Phase, tuple[str, ...]] = {
    "profile-baseline": ("profile-baseline", "baseline"),
    "profile-limit": ("profile-limit",),
}
_LOADED = ("ramp", "search")
_ALL_WORKERS = 0


def wait_kind(leaf: str) -> str:
    """Return what the last frame of a stack says is waited for: `[wait for database]` -> `database`."""
    return leaf.strip("[]").removeprefix("wait for ").partition(":")[0]


def await_shares(rows: Iterable[AwaitRow], t0_s: float, t1_s: float) -> dict[str, dict[str, float]]:
    """Return endpoint -> what it waits for -> share (0..1) of its waiting, over all processes; largest first.

    Each request was met with the same chance at each moment, so a share is of the time its requests spend suspended:
    their response time less what they run. `ready` is the wait for the loop. Rows count whose second lies, for its
    larger part, between `t0_s` and `t1_s`; what was met beyond the probe's table of stacks is left out.
    """
    counts: dict[str, Counter[str]] = {}
    for stack, count in _counts(rows, [(t0_s, t1_s)]).items():
        endpoint, _, rest = stack.partition(";")
        if rest:
            counts.setdefault(endpoint, Counter())[wait_kind(rest.rpartition(";")[2])] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
    return {
        endpoint: {kind: count / met.total() for kind, count in sorted(met.items(), key=lambda one: (-one[1], one[0]))}
        for endpoint, met in ranked
    }


def fold_rows(rows: Iterable[AwaitRow], windows: Sequence[tuple[float, float]], roots: Sequence[str] = ()) -> Stacks:
    """Add up the stacks of all processes within some windows (t0_s, t1_s), paths shortened below `roots`."""
    frames: dict[str, Frame] = {}
    counts: Counter[Stack] = Counter()
    for stack, count in _counts(rows, windows).items():
        names = stack.split(";")
        for name in names[1:]:
            if name not in frames:
                frames[name] = _short(parse_frame(name), roots)
        counts[(Frame(f"[{names[0]}]", kind="note"), *(frames[name] for name in names[1:]))] += count
    return Stacks(counts)


def await_profiles(recording: Recording, others: Sequence[Profile] = ()) -> list[Profile]:
    """Write `profiles/<phase>-await.folded` and its flame graph for low load and near the limit; return their records.

    Nothing where no process told what it awaits. `others` are the run's other profiles: their paths show where the
    project begins.

    Raises:
        MeasurementError: the files cannot be written.

    """
    known = {frame.file for profile in others for frame in profile.hot if frame.owner == APP}
    roots = _roots(recording.awaits, known)
    profiles = []
    for phase in _PHASES:
        windows = _windows(recording, phase)
        rows = [row for row in recording.awaits if any(_within(row, *window) for window in windows)]
        stacks = fold_rows(rows, windows, roots)
        if stacks.total:
            profiles.append(_write(recording.root, phase, stacks, rows))
    return profiles


def _counts(rows: Iterable[AwaitRow], windows: Sequence[tuple[float, float]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        if any(_within(row, *window) for window in windows):
            counts.update(row["stacks"])
    return counts


def _within(row: AwaitRow, t0_s: float, t1_s: float) -> bool:
    return t0_s <= row["t_s"] - ROW_S / 2 <= t1_s


def _windows(recording: Recording, phase: Phase) -> list[tuple[float, float]]:
    """Return when a phase was; without a profiled step near the limit, the highest load that held."""
    steps = [event["data"] for event in recording.events if event["kind"] == "step"]
    chosen = [step for step in steps if step["phase"] in _PHASES[phase]]
    if not chosen and phase == "profile-limit":
        held = [step for step in steps if step["phase"] in _LOADED and step.get("passed")]
        highest = max(held, key=lambda step: step["offered_rps"] or step["users"] or 0, default=None)
        chosen = [highest] if highest is not None else []
    return [(step["t_start_s"], step["t_end_s"]) for step in chosen]


def _roots(rows: Iterable[AwaitRow], known: Iterable[str]) -> list[str]:
    """Find the folders below which the other profiles' paths begin: `/srv/shop` for `/srv/shop/main.py` = `main.py`."""
    texts = set(chain.from_iterable(stack.split(";")[1:-1] for row in rows for stack in row["stacks"]))
    files = {
        frame.file for frame in map(parse_frame, texts) if frame.kind == "code" and owner_of_file(frame.file) == APP
    }
    found = {file[: -len(short) - 1] for file in files for short in known if file.endswith(f"/{short}")}
    return sorted(found, key=lambda root: (-len(root), root))


def _short(frame: Frame, roots: Sequence[str]) -> Frame:
    if frame.kind != "code":
        return frame
    short = next((short for root in roots if (short := short_path(frame.file, root)) != frame.file), None)
    return Frame(frame.function, short or short_path(frame.file, None), frame.line)


def _write(root: Path, phase: Phase, stacks: Stacks, rows: Sequence[AwaitRow]) -> Profile:
    pids = {row["pid"] for row in rows}
    who = f"all {len(pids)} workers" if len(pids) > 1 else f"worker {min(pids)}"
    looks = sum(row["ticks"] for row in rows)
    svg = render_svg(
        stacks,
        title=f"Await: what requests wait for while no code of theirs runs, {_WORDS[phase]}",
        subtitle=f"{who} · {stacks.total:,} requests met in {looks:,} looks · endpoint on top, the wait at the bottom",
    )
    folded = root / FOLDER / f"{phase}-await.folded"
    try:
        folded.parent.mkdir(exist_ok=True)
        for path, text in ((folded, render(stacks)), (folded.with_suffix(".svg"), svg)):
            temporary = path.with_suffix(path.suffix + ".tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
    except OSError as error:
        message = f"cannot write {folded}: {error.strerror}; free some space or choose another folder with --out"
        raise MeasurementError(message) from error
    name = folded.relative_to(root)
    pid = min(pids) if len(pids) == 1 else _ALL_WORKERS
    svg_name = name.with_suffix(".svg").as_posix()
    return Profile(phase, pid, "await", stacks.total, name.as_posix(), svg_name, hot_frames(stacks))
