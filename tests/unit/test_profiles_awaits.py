"""From recorded await stacks to shares, folded files and flame graphs."""

from pathlib import Path
from typing import Any

import pytest

from pinchpoint.profiles.awaits import await_profiles, await_shares, wait_kind
from pinchpoint.profiles.load import load_stacks
from pinchpoint.recording import Recording
from pinchpoint.records import HotFrame, Profile
from pinchpoint.rows import AwaitRow

APP = "handler (/srv/shop/app/main.py:7)"
POOL = "get (/venv/lib/python3.11/site-packages/sqlalchemy/pool/q.py:9)"


def _row(t_s: float, stacks: dict[str, int], pid: int = 1) -> AwaitRow:
    return {"t_s": t_s, "pid": pid, "ticks": 10, "tasks": 20, "walked": sum(stacks.values()), "stacks": stacks}


def _step(phase: str, start_s: float, end_s: float, **data: Any) -> Any:
    fixed = {"index": 0, "phase": phase, "t_start_s": start_s, "t_end_s": end_s, "users": None}
    return {"kind": "step", "t_s": start_s, "data": {"offered_rps": None, **fixed, **data}}


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [("[wait for connection pool]", "connection pool"), ("[ready: waits for the loop]", "ready"), ("[sleep]", "sleep")],
)
def test_the_last_frame_names_the_wait(leaf: str, kind: str) -> None:
    """As the probe writes it."""
    assert wait_kind(leaf) == kind


def test_shares_are_per_endpoint_over_all_processes_within_the_window() -> None:
    """Rows whose second lies outside, and stacks without a name, do not count."""
    rows = [
        _row(11, {f"GET /a;{APP};[sleep]": 1, f"GET /a;{APP};{POOL};[wait for connection pool]": 2}),
        _row(12, {f"GET /a;{APP};[sleep]": 1, f"GET /b;{APP};[sleep]": 1, "(other)": 5}, pid=2),
        _row(10, {f"GET /a;{APP};[sleep]": 100}),
        _row(14, {f"GET /a;{APP};[sleep]": 100}),
    ]
    shares = await_shares(rows, 10.0, 13.0)
    assert shares == {"GET /a": {"connection pool": 0.5, "sleep": 0.5}, "GET /b": {"sleep": 1.0}}


def test_each_phase_gets_a_folded_file_and_a_flame_graph(tmp_path: Path) -> None:
    """Paths are those of the run's other profiles; the machine's own are cut."""
    events = [_step("profile-baseline", 0, 5), _step("profile-limit", 10, 15)]
    rows = [_row(3, {f"GET /a;{APP};[sleep]": 4}), _row(12, {f"GET /a;{APP};{POOL};[wait for connection pool]": 6})]
    hot = HotFrame("handler", "app/main.py", 7, "app", 1.0, 1.0)
    cpu = Profile("profile-limit", 1, "cpu", 1, "x", hot=[hot])
    profiles = await_profiles(Recording(events, [], [], {}, tmp_path, awaits=rows), [cpu])
    assert [(one.phase, one.pid, one.kind, one.samples) for one in profiles] == [
        ("profile-baseline", 1, "await", 4),
        ("profile-limit", 1, "await", 6),
    ]
    texts = [(tmp_path / one.path).read_text() for one in profiles]
    assert texts == [
        "[GET /a];handler (app/main.py:7);[sleep] 4\n",
        "[GET /a];handler (app/main.py:7);get (site-packages/sqlalchemy/pool/q.py:9);[wait for connection pool] 6\n",
    ]
    assert [load_stacks(tmp_path, one).total for one in profiles] == [4, 6]
    assert all((tmp_path / str(one.svg)).read_text().startswith("<svg") for one in profiles)
    assert [one.hot[0].function for one in profiles] == ["handler", "handler"]


def test_without_a_profiled_step_the_highest_load_that_held_stands_for_the_limit(tmp_path: Path) -> None:
    """py-spy may be missing; the probe looked all the time."""
    events = [
        _step("ramp", 0, 5, offered_rps=100.0, passed=True),
        _step("ramp", 5, 10, offered_rps=200.0, passed=True),
        _step("ramp", 10, 15, offered_rps=400.0, passed=False),
    ]
    rows = [_row(t_s, {f"GET /a;{APP};[sleep]": int(t_s)}) for t_s in (3.0, 8.0, 13.0)]
    profiles = await_profiles(Recording(events, [], [], {}, tmp_path, awaits=rows))
    assert [(one.phase, one.samples) for one in profiles] == [("profile-limit", 8)]


def test_a_recording_without_await_rows_has_no_await_profile(tmp_path: Path) -> None:
    """And nothing is written."""
    events = [_step("profile-limit", 0, 5)]
    assert await_profiles(Recording(events, [], [], {}, tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
