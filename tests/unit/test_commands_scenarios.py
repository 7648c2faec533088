"""`pinchpoint scenarios`: the list, one in full, the path for Locust, and JSON."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pinchpoint.cli import main
from pinchpoint.commands.scenarios import described, find, lines, render
from pinchpoint.errors import UsageError
from pinchpoint.packs import Pack
from pinchpoint.stress.scenarios import SCENARIOS, Scenario
from support.pack_runs import SHOP

ONE = Scenario("shop", Path("shop.py"), "buys things", "the writer", SHOP)


def printed(*scenarios: Scenario, whole: bool = False) -> str:
    """Return what 80 columns show."""
    out = io.StringIO()
    render(list(scenarios), Console(file=out, width=80), whole=whole)
    return out.getvalue()


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int | str | None, str]:
    """Call the command line; return its exit code and stdout."""
    with pytest.raises(SystemExit) as left:
        main(["scenarios", *words])
    return left.value.code, capsys.readouterr().out


def test_a_line_for_each_part_with_its_weight_and_what_it_presses() -> None:
    """And the load that the pack brings along; limits, targets and the file only where one is asked for."""
    assert lines(ONE, whole=False) == [
        ("Does", "buys things"),
        ("Presses", "the writer"),
        ("Parts", "Browse (1): GET /goods"),
        ("", "Buy (2): POST /buy: the writer"),
        ("", "Return (1): POST /return"),
        ("Load", "stages of up to 30 users, as long as the budget allows"),
        ("Presets", "light: 10 users, 2 more each second, for 2 min; at least 10/s"),
        ("", "heavy: 200 users, 10 more each second, for 10 min"),
    ]


def test_one_in_full_has_limits_targets_and_its_file() -> None:
    """Everything that it is judged by."""
    whole = lines(ONE, whole=True)

    assert ("", "Return (1): POST /return; p95 at most 5 ms, errors at most 50 %") in whole
    assert ("Targets", "GET requests < 20 ms, acceptable < 100 ms") in whole
    assert ("", "Errors < 1 %") in whole
    assert ("", "Oversold == 0") in whole
    assert whole[-1] == ("File", "shop.py")


@pytest.mark.parametrize(
    ("pack", "load"),
    [
        (replace(SHOP, model="rate"), "arrivals per second, up to the limit"),
        (replace(SHOP, staged=()), "users, more and more of them, up to the limit"),
    ],
)
def test_a_search_is_said_to_be_one(pack: Pack, load: str) -> None:
    """By rate or by users."""
    assert ("Load", load) in lines(replace(ONE, pack=pack), whole=False)


def test_a_plain_file_has_two_lines() -> None:
    """Nothing comes with it."""
    assert lines(replace(ONE, pack=None), whole=False) == [("Does", "buys things"), ("Presses", "the writer")]


def test_the_list_names_every_scenario_and_fits_80_columns() -> None:
    """Names stand at the edge."""
    text = printed(*SCENARIOS.values(), whole=True)

    assert [line for line in text.splitlines() if line and not line.startswith(" ")] == list(SCENARIOS)
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_path_is_all_that_a_shell_gets(capsys: pytest.CaptureFixture[str]) -> None:
    """`locust -f "$(pinchpoint scenarios --path customers)"`."""
    assert called(capsys, "--path", "customers") == (0, f"{SCENARIOS['customers'].path}\n")
    assert SCENARIOS["customers"].path.is_file()


def test_json_has_the_whole_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all of them, or of one; a plain file has no pack."""
    code, text = called(capsys, "--json")
    found = json.loads(text)

    assert code == 0
    assert [one["name"] for one in found] == list(SCENARIOS)
    assert found == json.loads(json.dumps(described(list(SCENARIOS.values()))))
    assert found[0]["pack"] is None
    (petstore,) = json.loads(called(capsys, "--json", "--show", "petstore")[1])
    assert [part["name"] for part in petstore["pack"]["parts"]] == [
        "Create Pet",
        "Order a Pet",
        "Create User",
        "Login User",
    ]


def test_a_scenario_that_is_not_there_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and nothing on stdout."""
    with pytest.raises(UsageError, match="there is no scenario 'shop'; choose one of: customers, fastapi"):
        find("shop")
    assert called(capsys, "--path", "shop") == (2, "")
