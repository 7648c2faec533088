"""From recorded await stacks to shares, folded files and flame graphs."""

import re
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.profiles.awaits import await_profiles, await_shares, summarise, wait_kind
from pinchpoint.profiles.load import load_stacks
from pinchpoint.recording import Recording
from pinchpoint.records import AwaitPlace, HotFrame, Profile
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


LOCK = "Lock.acquire (/usr/lib/python3.11/asyncio/locks.py:99)"
HELPER = "reserve (/srv/shop/app/stock.py:6)"


def _recorded(rows: list[AwaitRow], folder: Path) -> Recording:
    """Low load from 0 to 20 s; the load from 30 s broke."""
    events = [
        _step("warmup", 0, 2, offered_rps=500.0, passed=True),
        _step("baseline", 2, 10, offered_rps=50.0, passed=True, settle_s=1.0),
        _step("ramp", 10, 20, offered_rps=120.0, passed=True),
        _step("ramp", 20, 30, offered_rps=200.0, passed=True),
        _step("search", 30, 40, offered_rps=210.0, passed=False),
        _step("search", 40, 50, offered_rps=260.0, passed=False),
        _step("ramp", 50, 60, offered_rps=400.0, passed=False),
        _step("profile-baseline", 60, 70, offered_rps=60.0),
        _step("profile-limit", 70, 80, offered_rps=180.0),
        _step("overload", 80, 90, offered_rps=270.0),
    ]
    return Recording(events, [], [], {}, folder, awaits=rows)


def test_low_load_and_the_limit_are_those_of_the_steps(tmp_path: Path) -> None:
    """Up to 0.6 of the lightest load that broke is low, up to 1.5 of it the limit; nothing else counts."""
    times = [1.5, 3.0, 8.0, 15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0, 85.0]
    rows = [_row(t_s, {f"GET /a;{APP};[sleep]": 10**index}) for index, t_s in enumerate(times)]

    found = summarise(_recorded(rows, tmp_path))

    assert found is not None
    assert (found.met_low, found.met_limit) == ({"GET /a": 100_001_100}, {"GET /a": 10_001_100_000})
    assert summarise(_recorded([], tmp_path)) is None


def test_a_place_is_the_innermost_frame_of_the_app(tmp_path: Path) -> None:
    """Added up over endpoints and libraries' lines; a request that is ready waits nowhere in the code."""
    rows = [
        _row(
            35,
            {
                f"GET /a;{APP};{HELPER};{LOCK};[wait for lock]": 30,
                f"GET /b;{APP};{HELPER};{LOCK};[wait for lock]": 40,
                f"GET /a;{APP};[ready: waits for the loop]": 20,
                f"GET /a;{POOL};[wait for thread]": 10,
                "(other)": 7,
            },
        )
    ]

    found = summarise(_recorded(rows, tmp_path))

    assert found is not None
    assert found.limit == {
        "GET /a": {"lock": 0.5, "ready": pytest.approx(1 / 3), "thread": pytest.approx(1 / 6)},
        "GET /b": {"lock": 1.0},
    }
    assert found.places == [
        AwaitPlace("lock", 0.7, "GET /b", "reserve", "app/stock.py", 6, "Lock.acquire"),
        AwaitPlace("ready", 0.2, "GET /a"),
        AwaitPlace("thread", 0.1, "GET /a"),
    ]


def test_the_flame_graph_is_coloured_by_what_is_waited_for(tmp_path: Path) -> None:
    """The legend tells each kind's share; the app's frames stand out, other code steps back."""
    rows = [_row(12, {f"GET /a;{APP};{POOL};[wait for connection pool]": 6, f"GET /a;{APP};[sleep]": 2})]
    (profile,) = await_profiles(Recording([_step("profile-limit", 10, 15)], [], [], {}, tmp_path, awaits=rows))
    svg = (tmp_path / str(profile.svg)).read_text()

    assert "app code<" in svg
    assert "connection pool 75.0 %<" in svg
    assert "sleep 25.0 %<" in svg
    found = re.findall(r'<g class="f ([^"]+)"><title>([^\n]+)', svg)
    assert found == [
        ("thread", "all"),
        ("thread", "[GET /a]"),
        ("app", "handler"),
        ("code", "get"),
        ("w-sleep", "sleep"),
        ("w-connection-pool", "connection pool"),
    ]
