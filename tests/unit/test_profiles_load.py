"""From a run folder's events and folded files to records, and from captures to graphs."""

import json
from pathlib import Path
from typing import Any

from pinchpoint.profiles import load_profiles
from pinchpoint.profiles.capture import Captured
from pinchpoint.profiles.load import ALL_WORKERS, load_stacks, merged, render_all
from pinchpoint.recording import Recording
from pinchpoint.records import Profile

LOOP = "<module> (run.py:1);_run_once (python3.11/asyncio/base_events.py:9)"
IDLE = f"{LOOP};select (python3.11/selectors.py:468)"


def recording(root: Path, *data: dict[str, Any]) -> Recording:
    """Make a recording with `profile` events."""
    events: list[Any] = [{"kind": "profile", "t_s": 1.0, "data": entry} for entry in data]
    return Recording([{"kind": "note", "t_s": 0.0, "data": {}}, *events], [], [], {}, root)


def folded(root: Path, name: str, text: str) -> Path:
    """Write a folded file into the run."""
    path = root / "profiles" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def event(path: str, pid: int = 7, kind: str = "cpu", svg: str | None = None) -> dict[str, Any]:
    """Make the data of an event."""
    return {"phase": "profile-limit", "pid": pid, "profile_kind": kind, "samples": 0, "path": path, "svg": svg}


def test_hot_functions_are_shares_of_the_threads_that_did_something(tmp_path: Path) -> None:
    """Samples count all; a thread in its selector does nothing."""
    folded(
        tmp_path,
        "a.folded",
        f"thread (7): MainThread;{IDLE} 90\nthread (7): MainThread;{LOOP};handler (shop.py:4) 10\n",
    )
    (profile,) = load_profiles(recording(tmp_path, event("profiles/a.folded", kind="wall", svg="profiles/a.svg")))
    assert (profile.samples, profile.pid, profile.kind, profile.svg) == (100, 7, "wall", "profiles/a.svg")
    assert (profile.hot[0].function, profile.hot[0].self_share) == ("handler", 1.0)


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """A missing file, an event cut short, and a path that leads out of the run folder."""
    outside = tmp_path / "outside.folded"
    outside.write_text("a (a.py:1) 1\n")
    run = tmp_path / "run"
    run.mkdir()
    rows = [
        event("profiles/gone.folded"),
        {"path": "profiles/x.folded"},
        event("../outside.folded"),
        event(str(outside)),
    ]
    assert load_profiles(recording(run, *rows)) == []
    assert load_stacks(run, Profile("profile-limit", 1, "cpu", 0, "../outside.folded")).total == 0


def test_every_capture_gets_a_graph_and_the_workers_one_together(tmp_path: Path) -> None:
    """The merged profile has pid 0, and the same thread of two workers is one."""
    captured = []
    for pid, samples in ((10, 3), (11, 4)):
        name = f"profile-limit-{pid}-cpu.folded"
        path = folded(tmp_path, name, f"thread ({pid}): MainThread;{LOOP};handler (shop.py:4) {samples}\n")
        path.with_suffix(".lines.json").write_text(json.dumps({"shop.py:4": "return 1"}))
        captured.append(Captured("profile-limit", pid, "cpu", 100, samples, path))
    rendered = render_all(tmp_path, captured)
    assert [one.event_data() for one in rendered][2] == {
        "phase": "profile-limit",
        "pid": ALL_WORKERS,
        "profile_kind": "cpu",
        "samples": 7,
        "path": "profiles/profile-limit-all-cpu.folded",
        "svg": "profiles/profile-limit-all-cpu.svg",
    }
    assert [(tmp_path / str(one.profile.svg)).exists() for one in rendered] == [True, True, True]
    svg = (tmp_path / "profiles/profile-limit-all-cpu.svg").read_text()
    assert "all 2 workers · 7 samples at 100 Hz" in svg
    assert "line 4: return 1" in svg
    loaded = load_profiles(recording(tmp_path, *(one.event_data() for one in rendered)))
    assert [profile.samples for profile in loaded] == [3, 4, 7]
    whole = merged(tmp_path, loaded, "profile-limit", "cpu")
    assert dict(whole.counts) == dict(load_stacks(tmp_path, loaded[2]).counts)
    assert len(whole.counts) == 1


def test_one_worker_needs_no_merged_graph(tmp_path: Path) -> None:
    """It would be the same graph twice."""
    path = folded(tmp_path, "profile-limit-10-wall.folded", f"thread (10): MainThread;{IDLE} 5\n")
    rendered = render_all(tmp_path, [Captured("profile-limit", 10, "wall", 100, 5, path)])
    assert [one.profile.pid for one in rendered] == [10]
    assert "5 of waiting threads left out" in (tmp_path / str(rendered[0].profile.svg)).read_text()


def test_a_torn_lines_file_costs_only_the_lines(tmp_path: Path) -> None:
    """The profile is still read."""
    path = folded(tmp_path, "a.folded", f"{LOOP};handler (shop.py:4) 10\n")
    path.with_suffix(".lines.json").write_text('{"shop.py:4": "ret')
    (profile,) = load_profiles(recording(tmp_path, event("profiles/a.folded")))
    assert profile.hot[0].function == "handler"
