"""`pinchpoint selftest`: what is asked for, how a verdict is judged, and what is said in the end."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.commands import selftest
from pinchpoint.commands.selftest import (
    SHORT,
    Outcome,
    as_json,
    chosen,
    conclusion,
    examine,
    exit_code,
    make_room,
    render,
)
from pinchpoint.commands.zoo_case import Ended
from pinchpoint.commands.zoo_packages import _needed
from pinchpoint.errors import ExitCode, TargetError, UsageError

CLASSES = {"cpu", "memory", "io", "pool", "blocking", "lock", "none", "generator"}
BASE = {"fastapi", "starlette", "pydantic", "sqlalchemy", "aiosqlite", "uvicorn", "gunicorn"}


def named(name: str) -> Case:
    """Return a case of the zoo."""
    return next(one for one in all_cases() if one.name == name)


LOCK = named("thread-lock")
RIGHT = ("lock", "python-lock")


def report(class_: str, cause: str) -> dict[str, Any]:
    """Return as much of a report as is read."""
    verdict = {"class": class_, "cause": cause, "confidence": 0.91}
    return {"verdict": verdict, "capacity": {"sustainable_rps": 150.0, "saturation_rps": 158.0}}


def outcome(answer: tuple[str, str] | None, code: int | None = 0, **fields: Any) -> Outcome:
    """Return what came of a run of `LOCK`."""
    return Outcome(LOCK, 1.0, None if answer is None else report(*answer), Ended(code, 61.0), **fields)


SKIPPED = Outcome(LOCK, 1.0, None, reason="it needs root")


def test_the_short_set_has_every_class_and_needs_no_more_than_pinchpoint() -> None:
    """No root, no database server, no package beyond its own; and it takes ten minutes at most."""
    cases = chosen([])
    assert {one.class_ for case in cases for one in case.labels[:1]} == CLASSES
    assert {need for case in cases for need in case.needs} == set()
    assert {case.database for case in cases} <= {"none", "sqlite"}
    modules = [word.partition(":")[0].rpartition(".")[2] for case in cases for word in case.target]
    assert {package for module in modules for package in _needed(module)} <= BASE
    assert len(SHORT) * (60 + selftest.OVERHEAD_S) <= 600


def test_a_case_that_is_not_there_is_refused_with_those_that_are_near() -> None:
    """The user sees what was meant."""
    assert chosen(["thread-lock"]) == [LOCK]
    with pytest.raises(UsageError, match="no case 'thread-lok'; did you mean thread-lock"):
        chosen(["thread-lok"])
    with pytest.raises(UsageError, match="--list"):
        chosen(["xyz"])


@pytest.mark.parametrize(
    ("one", "judgement"),
    [
        (outcome(RIGHT), "right"),
        (outcome(("lock", "file-lock")), "WRONG"),
        (outcome(("none", "not-saturated"), 1), "WRONG"),
        (outcome(("generator", "generator-bound"), 3), "invalid"),
        (outcome(("undetermined", "too-few-samples"), 4), "invalid"),
        (outcome(None, 4, reason="no report"), "invalid"),
        (outcome(None, None, reason="no report"), "invalid"),
        (SKIPPED, "skipped"),
    ],
)
def test_a_verdict_is_judged_only_where_the_run_was_valid(one: Outcome, judgement: str) -> None:
    """A measurement that calls itself invalid names nothing wrongly."""
    assert one.judgement == judgement


def test_a_generator_fault_is_right_although_its_run_is_invalid() -> None:
    """That is what it is there for."""
    one = Outcome(named("generator-quota-30"), 1.0, report("generator", "generator-bound"), Ended(3, 60.0))
    assert one.judgement == "right"


@pytest.mark.parametrize(
    ("outcomes", "code", "words"),
    [
        ([outcome(RIGHT), outcome(RIGHT)], ExitCode.DONE, "2 of 2 named rightly."),
        ([outcome(RIGHT), SKIPPED], ExitCode.DONE, "1 of 1 named rightly; 1 skipped."),
        ([outcome(RIGHT), outcome(("cpu", "gil"))], ExitCode.THRESHOLD_CROSSED, "1 of 2 named rightly, 1 wrongly. "),
        (
            [outcome(RIGHT), outcome(RIGHT, 3), outcome(None, 4)],
            ExitCode.INVALID_MEASUREMENT,
            "2 of 3 named rightly; 1 ",
        ),
        ([SKIPPED], ExitCode.INVALID_MEASUREMENT, "0 of 0 named rightly; 1 skipped."),
    ],
)
def test_the_exit_code_and_the_last_words_tell_right_wrong_and_invalid(
    outcomes: list[Outcome], code: ExitCode, words: str
) -> None:
    """One wrong verdict weighs more than an invalid measurement."""
    assert exit_code(outcomes) == code
    assert conclusion(outcomes).startswith(words)


def test_every_case_is_run_and_told_as_it_ends(tmp_path: Path) -> None:
    """At its middle severity, into a folder of its own that holds nothing of before."""
    made: list[tuple[str, float, Path]] = []
    (tmp_path / "thread-lock").mkdir()
    (tmp_path / "thread-lock" / "old.json").touch()

    def run(case: Case, severity: float, folder: Path) -> Ended:
        made.append((case.name, severity, folder))
        if case is not LOCK:
            raise TargetError("the companion did not start")
        assert not folder.exists()
        folder.mkdir()
        (folder / "report.json").write_text(json.dumps(report(*RIGHT)))
        return Ended(0, 60.0)

    said = io.StringIO()
    other = named("sleep-in-dependency")
    found = examine([LOCK, other], 60.0, run, tmp_path, Console(file=said, width=200), None)
    assert made == [(one.name, one.severities[1], tmp_path / one.name) for one in (LOCK, other)]
    assert [one.judgement for one in found] == ["right", "skipped"]
    assert "[2/2] sleep-in-dependency" in said.getvalue()
    assert "skipped: the companion did not start" in said.getvalue()


def test_the_table_shows_what_was_wanted_and_what_was_said() -> None:
    """In eighty columns nothing of it is cut: what does not fit goes on in the next line."""
    said = io.StringIO()
    render([outcome(RIGHT), outcome(("pool", "threadpool")), SKIPPED], Console(file=said, width=80))
    text = said.getvalue()
    assert "…" not in text
    assert text.count("WRONG") == 1
    said = io.StringIO()
    render([outcome(RIGHT), outcome(("pool", "threadpool")), SKIPPED], Console(file=said, width=120))
    lines = said.getvalue().splitlines()
    assert ("lock/python-lock" in lines[1], "pool/threadpool" in lines[2], "it needs root" in lines[3]) == (True,) * 3


def test_the_json_holds_every_case_with_its_figures() -> None:
    """Nothing that was not measured is a number."""
    found = as_json([outcome(RIGHT), SKIPPED])
    assert (found["schema"], found["exit_code"]) == ("pinchpoint.selftest/1", 0)
    first, second = found["cases"]
    assert (first["judgement"], first["got"], first["confidence"]) == ("right", "lock/python-lock", 0.91)
    assert LOCK.ceiling_rps is not None
    assert first["ceiling_rps"] == LOCK.ceiling_rps(1.0)
    assert (second["judgement"], second["got"], second["seconds"]) == ("skipped", None, None)


def test_an_earlier_recording_gives_way_and_a_folder_of_the_users_does_not(tmp_path: Path) -> None:
    """What is removed is what a selftest made."""
    (tmp_path / LOCK.name).mkdir()
    (tmp_path / LOCK.name / "run.json").touch()
    make_room(tmp_path, [LOCK])

    (tmp_path / LOCK.name / "run.json").rename(tmp_path / LOCK.name / "thesis.txt")
    with pytest.raises(UsageError, match="is no recording"):
        make_room(tmp_path, [LOCK])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """One sentence, with the way out."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"--out .*file/x: Not a directory; name a folder"):
        make_room(tmp_path / "file" / "x", [LOCK])
