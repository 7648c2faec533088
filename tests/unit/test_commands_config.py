"""What users type, and what they are told when it makes no sense."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.commands.config import (
    check_host,
    parse_budget,
    parse_counts,
    parse_cpus,
    parse_env,
    split_cpus,
)
from pinchpoint.commands.options import settings
from pinchpoint.commands.plan import make_plan
from pinchpoint.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60.0), ("3m", 180.0), ("1m30s", 90.0), ("90", 90.0), ("1h", 3600.0), ("0.5m", 30.0)]
)
def test_a_budget_is_a_duration(text: str, seconds: float) -> None:
    """Seconds, minutes and hours, alone or together."""
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", " ", "soon", "60 apples", "-5s", "1m-3s", "s", "5s"])
def test_a_bad_budget_is_refused_with_the_way_out(text: str) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match="--budget"):
        parse_budget(text)


@given(st.text(max_size=12))
def test_no_text_makes_the_budget_parser_fail_otherwise(text: str) -> None:
    """A usage error or a number of seconds; nothing else."""
    try:
        assert parse_budget(text) >= 20.0
    except UsageError:
        return


def test_counts_are_positive_whole_numbers() -> None:
    """In the order given."""
    assert parse_counts("1,2,4", "--workers") == (1, 2, 4)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "two", "-1", "1.5"])
def test_bad_counts_name_their_option(text: str) -> None:
    """The message can be acted on."""
    with pytest.raises(UsageError, match=r"--users .* is not a list"):
        parse_counts(text, "--users")


def test_environment_pairs_keep_later_equals_signs() -> None:
    """A URL with a query is a value."""
    assert parse_env(["DATABASE_URL=postgresql://h/db?a=b"]) == {"DATABASE_URL": "postgresql://h/db?a=b"}


@pytest.mark.parametrize("pair", ["A", "=1"])
def test_a_pair_without_a_name_or_value_is_refused(pair: str) -> None:
    """NAME=VALUE it is."""
    with pytest.raises(UsageError, match="--env"):
        parse_env([pair])


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "https://[::1]:8443", "http://127.1.2.3"])
def test_this_machine_may_be_pressed(url: str) -> None:
    """Loopback in all its spellings."""
    check_host(url, ())


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1", "http://127.example.com.evil", "ftp://localhost", "nonsense"]
)
def test_other_machines_are_refused(url: str) -> None:
    """With the reason, or with what an address looks like."""
    with pytest.raises(UsageError, match=r"--allow-host|is not an address"):
        check_host(url, ())


def test_a_named_host_is_allowed() -> None:
    """The user said whose it is."""
    check_host("http://staging.example", ("staging.example",))


def test_server_and_load_get_disjoint_cores_only_when_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many workers as cores leave none for the load: nothing is pinned then."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})

    assert split_cpus(1) == (frozenset({0, 1, 2}), frozenset({3}))
    assert split_cpus(3) == (frozenset({0, 1, 2}), frozenset({3}))
    assert split_cpus(4) == (None, None)


def test_cpu_lists_are_checked_against_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges and lists; a CPU that is not there is named."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})

    assert parse_cpus("0,2-3", "--server-cpus") == frozenset({0, 2, 3})
    with pytest.raises(UsageError, match="0,1,2,3"):
        parse_cpus("7", "--server-cpus")
    with pytest.raises(UsageError, match="list of CPUs"):
        parse_cpus("a", "--server-cpus")


def test_settings_come_from_the_users_pyproject(tmp_path: Path) -> None:
    """Dashes or underscores; the values are defaults."""
    (tmp_path / "pyproject.toml").write_text('[tool.pinchpoint]\nbudget = "60s"\nmax-users = 50\n')

    assert settings(tmp_path) == {"budget": "60s", "max_users": 50}


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    """A misspelt key must not be ignored."""
    (tmp_path / "pyproject.toml").write_text("[tool.pinchpoint]\nbudgett = 1\n")

    with pytest.raises(UsageError, match="budgett"):
        settings(tmp_path)


def test_a_folder_without_pyproject_has_no_settings(tmp_path: Path) -> None:
    """Nothing to read is nothing to say."""
    assert settings(tmp_path) == {}


@pytest.mark.parametrize("budget_s", [20.0, 60.0, 180.0, 3600.0])
def test_every_phase_has_time_and_the_ramp_gets_the_largest_part_of_a_minute(budget_s: float) -> None:
    """The phases after the search never take more than half of the budget."""
    plan = make_plan(budget_s, profile=budget_s >= 60)

    assert min(plan.warmup_s, plan.baseline_s, plan.ramp_s, plan.trial_s, plan.overload_s, plan.recovery_s) >= 1.5
    assert plan.reserve_s <= budget_s / 2
