"""The async wait profile of a run: what requests awaited at low load and near the limit, as flame graphs and shares.

A thread sampler sees an event loop that waits; this is what the requests wait for meanwhile. The probe takes the
stacks all the time, so that any window of a run can be looked at. Code that runs is not in it: CPU and wall show that.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from pinchpoint.errors import MeasurementError
from pinchpoint.profiles.attribution import APP, blamed, hot_frames, owner_of_file, short_path
from pinchpoint.profiles.flamegraph import render_svg
from pinchpoint.profiles.folded import Frame, Stacks, parse_frame, render
from pinchpoint.records import AwaitPlace, AwaitShares, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from pinchpoint.measures import Phase
    from pinchpoint.profiles.folded import Stack
    from pinchpoint.recording import Recording
    from pinchpoint.rows import AwaitRow

FOLDER = "profiles"
ROW_S = 1.0
"""A row tells of the second before it."""
READY = "ready"
_WORDS: dict[Phase, str] = {"profile-baseline": "at low load", "profile-limit": "near the limit"}
_PHASES: dict[Phase, tuple[str, ...]] = {
    "profile-baseline": ("profile-baseline", "baseline"),
    "profile-limit": ("profile-limit",),
}
_LOADED = ("ramp", "search")
_CAPACITY = ("baseline", *_LOADED)
LOW_SHARE = 0.6
"""Steps up to this share of the limit are low load: above, requests start to queue."""
BEYOND = 1.5
"""Steps that broke up to this multiple of the limit, overload included: the same queue, only longer, and more looks."""
PLACES = 12
"""Places told; all others are rare."""
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
    return _shares(_by_endpoint(_counts(rows, [(t0_s, t1_s)])))


def summarise(recording: Recording, others: Sequence[Profile] = ()) -> AwaitShares | None:
    """Return what requests await at low load and at the limit (the lightest load that broke, else the heaviest).

    None where no process told what it awaits. `others` are the run's other profiles, as in `await_profiles`.
    """
    if not recording.awaits:
        return None
    low, limit = (_counts(recording.awaits, windows) for windows in _ends(recording))
    calm, full = _by_endpoint(low), _by_endpoint(limit)
    return AwaitShares(
        low=_shares(calm),
        limit=_shares(full),
        met_low={endpoint: met.total() for endpoint, met in calm.items()},
        met_limit={endpoint: met.total() for endpoint, met in full.items()},
        places=_places(limit, _roots(recording.awaits, _known(others))),
    )


def _by_endpoint(stacks: Counter[str]) -> dict[str, Counter[str]]:
    """Count by endpoint and by what is waited for, the endpoint met most first."""
    counts: dict[str, Counter[str]] = {}
    for stack, count in stacks.items():
        endpoint, _, rest = stack.partition(";")
        if rest:
            counts.setdefault(endpoint, Counter())[wait_kind(rest.rpartition(";")[2])] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1].total(), item[0])))


def _shares(counts: dict[str, Counter[str]]) -> dict[str, dict[str, float]]:
    return {
        endpoint: {kind: count / met.total() for kind, count in sorted(met.items(), key=lambda one: (-one[1], one[0]))}
        for endpoint, met in counts.items()
    }


def _places(stacks: Counter[str], roots: Sequence[str]) -> list[AwaitPlace]:
    """Add up stacks by what they wait for and by the app's innermost frame; without one, by endpoint."""
    counts: Counter[AwaitPlace] = Counter()
    endpoints: dict[AwaitPlace, Counter[str]] = {}
    below: dict[AwaitPlace, Counter[str]] = {}
    for stack, count in stacks.items():
        endpoint, *frames = stack.split(";")
        if frames:
            place, via = _place(endpoint, frames, roots)
            counts[place] += count
            endpoints.setdefault(place, Counter())[endpoint] += count
            below.setdefault(place, Counter())[via] += count
    total = counts.total()
    ranked = sorted(counts, key=lambda place: (-counts[place], place.kind, place.endpoint, place.function or ""))
    return [
        replace(
            place,
            share=counts[place] / total,
            endpoint=_most(endpoints[place]),
            via=_most(below[place]) or None,
        )
        for place in ranked[:PLACES]
    ]


def _most(counts: Counter[str]) -> str:
    return min(counts, key=lambda name: (-counts[name], name))


def _place(endpoint: str, frames: Sequence[str], roots: Sequence[str]) -> tuple[AwaitPlace, str]:
    """Return where a stack waits, its share still open, and the library's innermost function.

    A request that is ready waits nowhere in the code.
    """
    kind = wait_kind(frames[-1])
    code = [frame for frame in map(parse_frame, frames[:-1]) if frame.kind == "code"]
    asked = blamed(tuple(code))
    if asked is None or kind == READY:
        return AwaitPlace(kind, 0.0, endpoint), ""
    short, last = _short(asked, roots), code[-1]
    return AwaitPlace(kind, 0.0, "", short.function, short.file, short.line), "" if last is asked else last.function


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
    roots = _roots(recording.awaits, _known(others))
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


def _ends(recording: Recording) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return when the load was low, and when it was at the limit; without settling, as the steps' own figures."""
    steps = [event["data"] for event in recording.events if event["kind"] == "step"]
    tried = sorted((step for step in steps if step["phase"] in _CAPACITY), key=_load)
    held = [step for step in tried if step.get("passed")]
    broke = [step for step in tried if not step.get("passed") and (not held or _load(step) > _load(held[-1]))]
    over = [*broke, *(step for step in steps if step["phase"] == "overload" and not step.get("passed"))]
    limit = [step for step in over if broke and _load(step) <= BEYOND * _load(broke[0])] or held[-1:]
    bound = LOW_SHARE * _load(limit[0]) if limit else 0.0
    calm = [*held, *(step for step in steps if step["phase"] == "profile-baseline")]
    low = [step for step in calm if _load(step) <= bound] or held[:1]
    return _spans(low), _spans(limit)


def _load(step: dict[str, Any]) -> float:
    return float(step["offered_rps"] or step["users"] or 0)


def _spans(steps: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(step["t_start_s"] + (step.get("settle_s") or 0.0), step["t_end_s"]) for step in steps]


def _known(profiles: Sequence[Profile]) -> set[str]:
    return {frame.file for profile in profiles for frame in profile.hot if frame.owner == APP}


def _roots(rows: Iterable[AwaitRow], known: Iterable[str]) -> list[str]:
    """Find the folders below which the other profiles' paths begin: `/srv/shop` for `/srv/shop/main.py` = `main.py`.

    Where they tell none, the parent of the folder that holds all of the app's files.
    """
    texts = set(chain.from_iterable(stack.split(";")[1:-1] for row in rows for stack in row["stacks"]))
    files = {
        frame.file for frame in map(parse_frame, texts) if frame.kind == "code" and owner_of_file(frame.file) == APP
    }
    found = {file[: -len(short) - 1] for file in files for short in known if file.endswith(f"/{short}")}
    if not found and files:
        above = posixpath.dirname(posixpath.commonpath([posixpath.dirname(file) for file in files]))
        found = {above} - {"", "/"}
    return sorted(found, key=lambda root: (-len(root), root))


def _short(frame: Frame, roots: Sequence[str]) -> Frame:
    if frame.kind != "code":
        return frame
    short = next((short for root in roots if (short := short_path(frame.file, root)) != frame.file), None)
    return Frame(frame.function, short or short_path(frame.file, None), frame.line)


def _named(stack: Stack) -> Stack:
    """Let the last frame show what is waited for in as few letters as there are."""
    return (*stack[:-1], Frame(wait_kind(stack[-1].function), kind="note")) if len(stack) > 1 else stack


def _write(root: Path, phase: Phase, stacks: Stacks, rows: Sequence[AwaitRow]) -> Profile:
    pids = {row["pid"] for row in rows}
    who = f"all {len(pids)} workers" if len(pids) > 1 else f"worker {min(pids)}"
    looks = sum(row["ticks"] for row in rows)
    named = stacks.map(_named)
    svg = render_svg(
        named,
        title=f"Await: what requests wait for while no code of theirs runs, {_WORDS[phase]}",
        subtitle=f"{who} · {stacks.total:,} requests met in {looks:,} looks · endpoint on top, the wait at the bottom",
        waits={stack[-1].function: stack[-1].function for stack in named.counts if len(stack) > 1},
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
