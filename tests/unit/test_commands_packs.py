"""What a bundled scenario adds to a run, what the user's own words leave of that, and the check of the database."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.cli import main
from pinchpoint.commands import packs
from pinchpoint.commands.config import DEFAULT_USER_STEPS, RunConfig
from pinchpoint.commands.options import configure
from pinchpoint.commands.packs import audit, database_words, judged_by_pack, pack_shown, stages_text, with_pack
from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.packs import Pack
from pinchpoint.recording import Recording
from pinchpoint.stress.scenarios import SCENARIOS, Scenario
from pinchpoint.stress.stages import parse_stages
from support.pack_runs import CALM, SHOP, second, staged_recording
from support.sample_run import sample_diagnosis

BARE: dict[str, Any] = dict.fromkeys(
    ("budget", "model", "scenario", "locustfile", "get", "users", "dwell", "stages", "workers")
)
ASKED = {**BARE, "scenario": "shop", "budget": "65s"}
"""65 s less 25 for starting and ending are 40 s of load."""


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundle one more scenario."""
    monkeypatch.setitem(SCENARIOS, "shop", Scenario("shop", Path("shop.py"), "shops", "POST /buy", SHOP))


def test_a_scenario_brings_its_users_in_stages_that_fill_the_budget() -> None:
    """30 %, 50 % and 20 % of 40 s; everything else the user said stays."""
    filled = with_pack({**ASKED, "workers": 2})

    assert filled == {**ASKED, "workers": 2, "model": "users", "stages": "12s:30,20s:30,8s:0"}


def test_without_a_budget_the_usual_one_is_filled() -> None:
    """Three minutes in all, two of them load."""
    filled = with_pack({**ASKED, "budget": None})
    config = configure(**{name: value for name, value in filled.items() if value is not None})

    assert filled["stages"] == "36s:30,60s:30,24s:0"
    assert (config.budget_s, config.model) == (180.0, "users")
    assert config.stages is not None
    assert config.stages.seconds == 120.0


@pytest.mark.parametrize(
    ("said", "model"),
    [
        ({"model": "rate"}, "rate"),
        ({"users": "5,10"}, "users"),
        ({"dwell": 2.0}, "users"),
        ({"stages": "10s:5"}, "users"),
        ({"stages": "10s:5", "model": "rate"}, "rate"),
    ],
)
def test_the_users_own_load_wins(said: dict[str, Any], model: str) -> None:
    """A load that was asked for is never replaced; only the model is, where nothing was said about it."""
    assert with_pack({**ASKED, **said}) == {**ASKED, **said, "model": model}


@pytest.mark.parametrize(
    "said", [{"scenario": None}, {"scenario": "items"}, {"scenario": "gone"}, {"locustfile": Path("x")}, {"get": ["/"]}]
)
def test_other_loads_are_left_alone(said: dict[str, Any]) -> None:
    """The user's own Locust file and --get come before a scenario; a plain one brings nothing along."""
    assert with_pack({**ASKED, **said}) == {**ASKED, **said}


def test_a_pack_by_rate_searches_for_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its stages are of users, for whom --model users asks."""
    by_rate = Scenario("shop", Path("shop.py"), "shops", "POST /buy", Pack(staged=SHOP.staged))
    monkeypatch.setitem(SCENARIOS, "shop", by_rate)

    assert with_pack(ASKED) == {**ASKED, "model": "rate"}
    assert with_pack({**ASKED, "model": "users"})["stages"] == "12s:30,20s:30,8s:0"


def test_a_budget_without_time_for_a_load_is_refused() -> None:
    """With the least that would do."""
    with pytest.raises(UsageError, match=r"--budget 30s is too short for --scenario shop: .* give at least 35s"):
        with_pack({**ASKED, "budget": "30s"})


@pytest.mark.parametrize(
    ("staged", "seconds", "text"),
    [
        (((0.3, 20), (0.5, 20), (0.2, 0)), 40.0, "12s:20,20s:20,8s:0"),
        (((0.0, 5), (1.0, 5)), 10.0, "0s:5,10s:5"),
        (((0.01, 5), (0.99, 5)), 20.0, "1s:5,19s:5"),
        (((0.333, 1), (0.333, 2), (0.334, 3)), 100.0, "33s:1,34s:2,33s:3"),
    ],
)
def test_stages_end_on_whole_seconds(staged: tuple[tuple[float, int], ...], seconds: float, text: str) -> None:
    """A share of 0 is a jump, any other takes a second at least, and all of them are as long as they should be."""
    assert stages_text(staged, seconds) == text
    assert parse_stages(text, "users").seconds == seconds


@pytest.mark.parametrize(
    ("preset", "budget", "stages"),
    [
        ("light", None, "5s:10,115s:10"),
        ("light", "65s", "5s:10,35s:10"),
        ("light", "10m", "5s:10,115s:10"),
        ("heavy", "65s", "20s:200,20s:200"),
    ],
)
def test_a_preset_is_users_that_come_at_its_rate_and_stay(preset: str, budget: str | None, stages: str) -> None:
    """As long as it says, or as the budget allows; half of that at most is for the coming."""
    filled = with_pack({**ASKED, "budget": budget}, preset)

    assert (filled["model"], filled["stages"]) == ("users", stages)


@pytest.mark.parametrize(
    ("said", "preset", "words"),
    [
        ({"scenario": None}, "light", r"--preset goes with a --scenario that has presets: .*shop"),
        ({"scenario": "items"}, "light", "--preset goes with a --scenario that has presets"),
        ({"locustfile": Path("x")}, "light", "--preset goes with a --scenario that has presets"),
        ({}, "huge", "--preset huge: shop has light, heavy"),
        ({"model": "rate"}, "light", "leave out --model rate"),
        ({"stages": "10s:5"}, "light", "leave out --stages"),
        ({"users": "5"}, "light", "leave out --users"),
        ({"dwell": 2.0}, "light", "leave out --dwell"),
        ({"budget": "30s"}, "heavy", "--budget 30s is too short for --preset heavy"),
    ],
)
def test_a_preset_that_makes_no_sense_is_refused(said: dict[str, Any], preset: str, words: str) -> None:
    """With what to leave out, or what there is."""
    with pytest.raises(UsageError, match=words):
        with_pack({**ASKED, **said}, preset)


def test_the_command_line_refuses_it_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, and no run folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["run", "--scenario", "items", "--preset", "light"])

    assert left.value.code == 2
    assert "--preset goes with a --scenario that has presets" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_scenario_the_options_mean_what_they_did() -> None:
    """Arrivals per second, and the steps of users that were always there."""
    config = configure()

    assert (config.model, config.users, config.stages) == ("rate", DEFAULT_USER_STEPS, None)


def test_run_json_names_the_pack_that_judges() -> None:
    """Not where another load presses, or the scenario is a plain file."""
    assert pack_shown(RunConfig(scenario="shop", preset="light")) == {"pack": "shop", "preset": "light"}
    assert pack_shown(RunConfig(scenario="shop", locustfile=Path("x"))) == {}
    assert pack_shown(RunConfig(scenario="shop", get_paths=("/",))) == {}
    assert pack_shown(RunConfig(scenario="items")) == {}
    assert pack_shown(RunConfig()) == {}


# --- the check of the database --------------------------------------------------------------------------------------


class FakeSession:
    """What the check needs of a session; the module it runs is `check_shop` in `folder`."""

    def __init__(self, folder: Path, script: str, **config: Any) -> None:
        (folder / "check_shop.py").write_text(script)
        env = {**os.environ, "PYTHONPATH": str(folder), "PINCHPOINT_APP_RUN_DIR": "/var/app"}
        for name in packs.DATABASE_VARIABLES:
            env.pop(name, None)
        self.config = RunConfig(scenario="shop", **config)
        self.plan = SimpleNamespace(env=env, python=sys.executable)
        self.generator: Any = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.notes: list[str] = []

    def event(self, kind: str, **data: Any) -> None:
        """Keep an event."""
        self.events.append((kind, data))

    def note(self, message: str) -> None:
        """Keep a sentence."""
        self.notes.append(message)


def audited(session: Any) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """Check; return events and notes."""
    audit(session)
    return session.events, session.notes


@pytest.mark.parametrize("code", [0, 1])
def test_what_the_check_prints_is_recorded_whatever_it_thinks_of_it(tmp_path: Path, code: int) -> None:
    """The last line is the answer; it is asked about the database in the app's own folder."""
    script = "import json, sys\nprint('hello')\nprint(json.dumps({'oversold': 3, 'asked': sys.argv[1:]}))"
    script += f"\nsys.exit({code})"

    events, notes = audited(FakeSession(tmp_path, script))

    result = {"oversold": 3, "asked": ["sqlite+aiosqlite:////var/app/items.db"]}
    assert events == [("audit", {"module": "check_shop", "result": result})]
    assert notes == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys\nsys.stderr.write('no such\\ntable\\n')\nsys.exit(2)", "exited with code 2: table"),
        ("import sys\nsys.exit(3)", "exited with code 3"),
        ("print('fine')", "printed no JSON object"),
        ("print([0])", "printed no JSON object"),
        ("", "printed no JSON object"),
    ],
)
def test_a_check_that_fails_is_a_note_and_never_a_zero(tmp_path: Path, script: str, reason: str) -> None:
    """Nothing is recorded that could be read as nothing oversold."""
    events, notes = audited(FakeSession(tmp_path, script))

    assert events == []
    assert notes == [f"the database was not checked after the run: check_shop {reason}"]


def test_an_interpreter_that_is_gone_is_a_note(tmp_path: Path) -> None:
    """Likewise."""
    session = FakeSession(tmp_path, "")
    session.plan.python = str(tmp_path / "python")

    assert audited(session)[0] == []
    assert session.notes == [
        "the database was not checked after the run: check_shop cannot be started: No such file or directory"
    ]


def test_a_check_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on."""
    monkeypatch.setattr(packs, "AUDIT_S", 0.2)

    assert audited(FakeSession(tmp_path, "import time\ntime.sleep(60)")) == (
        [],
        ["the database was not checked after the run: check_shop was not done after 0 s"],
    )


@pytest.mark.parametrize("config", [{"target": "shop:app"}, {"command": ("serve",)}, {"pid": 7}, {"get_paths": ("/",)}])
def test_only_the_reference_apps_database_is_looked_at(tmp_path: Path, config: dict[str, Any]) -> None:
    """Of another app nobody knows what its tables are."""
    assert audited(FakeSession(tmp_path, "print('{}')", **config)) == ([], [])


def test_the_load_ends_before_the_database_is_looked_at(tmp_path: Path) -> None:
    """And a load process that died meanwhile is no reason not to look."""

    def died(_timeout_s: float) -> bool:
        raise MeasurementError("load process 0 died")

    said: list[str] = []
    session = FakeSession(tmp_path, "print('{}')")
    session.generator = SimpleNamespace(idle=lambda: said.append("idle"), wait_drained=died)

    assert audited(session)[0] == [("audit", {"module": "check_shop", "result": {}})]
    assert said == ["idle"]


def test_an_address_that_may_hold_a_password_is_on_no_command_line() -> None:
    """The check finds it in the environment, as the app does."""
    assert database_words({"DATABASE_URL": "postgresql://me:secret@db/shop"}) == []
    assert database_words({"PINCHPOINT_APP_DATABASE_URL": "sqlite:///x.db", "PINCHPOINT_APP_RUN_DIR": "/r"}) == []
    assert database_words({"PINCHPOINT_APP_RUN_DIR": "/r"}) == ["sqlite+aiosqlite:////r/items.db"]
    assert database_words({}) is None


# --- from the recording ---------------------------------------------------------------------------------------------


def recorded(**load: Any) -> Recording:
    """Return four calm seconds of the shop, recorded under these settings."""
    taken = staged_recording([second(index, CALM) for index in range(4)])
    taken.settings["load"] = {"model": "users", **load}
    return taken


def test_a_recording_is_judged_by_the_pack_it_names() -> None:
    """And by what its preset asks of the throughput."""
    found = judged_by_pack(sample_diagnosis(), recorded(pack="shop", preset="light"))

    assert found is not None
    assert (found.name, len(found.parts)) == ("shop", 3)
    last = found.targets[-1]
    assert (last.name, last.observed, last.target, last.grade) == ("Throughput, light load", 16.0, 10, "green")


def test_a_preset_that_asks_nothing_of_the_throughput_adds_no_target() -> None:
    """Nor does one that is not known any more."""
    for preset in ("heavy", "gone", None):
        found = judged_by_pack(sample_diagnosis(), recorded(pack="shop", preset=preset))
        assert found is not None
        assert len(found.targets) == len(SHOP.targets)


@pytest.mark.parametrize("load", [{}, {"pack": None}, {"pack": "gone"}, {"pack": "items"}, {"scenario": "shop"}])
def test_a_recording_without_a_pack_is_judged_by_none(load: dict[str, Any]) -> None:
    """Older recordings, and packs of another version."""
    assert judged_by_pack(sample_diagnosis(), recorded(**load)) is None
