"""What users type, and what they are told when it makes no sense."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.commands.config import (
    RunConfig,
    check_dwell,
    check_host,
    parse_budget,
    parse_counts,
    parse_cpus,
    parse_env,
    split_cpus,
)
from pinchpoint.commands.options import settings
from pinchpoint.commands.plan import make_plan
from pinchpoint.commands.session import ending
from pinchpoint.commands.target import check_program
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


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://[::1", "http://127.0.0.1:0", "127.0.0.1:80", "http://"]
)
def test_an_address_that_is_none_is_refused_with_an_example(url: str) -> None:
    """Ports out of range and half IPv6 addresses included."""
    with pytest.raises(UsageError, match="is not an address"):
        check_host(url, ())


@pytest.mark.parametrize("dwell_s", [-3.0, 0.0, 0.5, 16.0, float("nan")])
def test_a_dwell_time_must_leave_room_for_a_second_level(dwell_s: float) -> None:
    """Too short to judge and too long for the budget are both refused."""
    with pytest.raises(UsageError, match="--dwell"):
        check_dwell(dwell_s, 60.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tool = 3", None),
        ("[tool]\npinchpoint = 3", "must be a table"),
        ("[[tool.pinchpoint]]\nworkers = 3", "must be a table"),
        ("[tool.pinchpoint]\nworkers = 'two'", "must be a whole number"),
        ("[tool.pinchpoint]\nworkers = true", "must be a whole number"),
        ("[tool.pinchpoint]\nget = '/x'", "must be a list of texts"),
        ("[tool.pinchpoint]\nget = [1]", "must be a list of texts"),
        ("[tool.pinchpoint]\nprofile = 'maybe'", "must be true or false"),
        ("[tool.pinchpoint]\np95 = 'fast'", "must be a number"),
        ("[tool.pinchpoint]\nout = 5", "must be a text"),
        ("[tool.pinchpoint]\nbudget = 60\nusers = 10\np95 = 300", None),
    ],
)
def test_settings_of_the_wrong_type_are_told_where_they_stand(tmp_path: Path, text: str, words: str | None) -> None:
    """The message names the file, not an option that nobody typed."""
    (tmp_path / "pyproject.toml").write_text(text)

    try:
        settings(tmp_path)
        told = None
    except UsageError as error:
        told = str(error)

    assert (told is None) == (words is None)
    assert words is None or (words in str(told) and "pyproject.toml" in str(told))


def test_settings_that_are_no_text_at_all_are_refused(tmp_path: Path) -> None:
    """An editor's UTF-16 is no reason for a traceback."""
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(UsageError, match=r"cannot read pyproject\.toml"):
        settings(tmp_path)


def test_a_server_command_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """On PATH, or below the target's folder, or not at all."""
    program = tmp_path / "serve"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    check_program(RunConfig(command=("sh", "-c", "true")))
    check_program(RunConfig(command=("./serve",), cwd=tmp_path))
    with pytest.raises(UsageError, match="there is no program"):
        check_program(RunConfig(command=("./nope",), cwd=tmp_path))
    with pytest.raises(UsageError, match="there is no such interpreter"):
        check_program(RunConfig(python="nope"))


@pytest.mark.parametrize(
    ("code", "words"), [(7, "exited with code 7"), (-9, "was killed by SIGKILL"), (-77, "was killed by signal 77")]
)
def test_the_end_of_a_process_is_told_in_words(code: int, words: str) -> None:
    """Signals by their names."""
    assert ending(code) == words
