"""`report.json` and its schema."""

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.errors import MeasurementError
from pinchpoint.records import Capacity, Diagnosis, TimeShares, Validity, Verdict
from pinchpoint.report import write
from pinchpoint.report.build import build_report, validate
from support.sample_run import sample_diagnosis, sample_profiles, sample_recording, sample_run


def bare() -> Diagnosis:
    """Return the diagnosis of a run that ended before its first step."""
    return Diagnosis(
        validity=Validity("invalid"),
        capacity=Capacity(None, None, None, None, None, None, None, reached=False),
        recovery=None,
        steps=[],
        ledger=[],
        time=TimeShares(),
        verdict=Verdict("undetermined", "too-few-samples", "ambiguous", 0.0, "Nothing was measured."),
    )


def report() -> dict[str, Any]:
    """Return the report of the sample run."""
    return build_report(sample_run(), sample_diagnosis(), sample_profiles())


def test_a_full_report_is_valid() -> None:
    """The schema accepts what the builder writes."""
    assert validate(report()) == []


def test_a_report_of_nothing_is_valid() -> None:
    """A run killed at once still has a readable report, also with an empty run.json."""
    assert validate(build_report({}, bare(), [])) == []


def test_every_section_of_the_contract_stands() -> None:
    """Fields that were not measured are null or empty, never absent."""
    sections = ["schema", "run", "validity", "capacity", "recovery", "steps", "ledger"]
    sections += ["ledger_check", "time", "awaits", "verdict"]
    further = ["findings", "experiments", "soak", "stages", "generator", "scenarios", "pack", "questions"]
    further += ["profiles", "artifacts"]

    assert list(build_report({}, bare(), [])) == [*sections, *further]


def _drop(*path: str | int) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def _put(new: object, *path: str | int) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return change


@pytest.mark.parametrize(
    "break_it",
    [
        _drop("verdict", "cause"),
        _drop("steps", 0, "server", "pools"),
        _drop("steps", 0, "server", "pools", "db", "wait_ms"),
        _drop("capacity", "reached"),
        _put("fast", "steps", 0, "latency_ms", "p95"),
        _put("database", "verdict", "class"),
        _put(1.5, "verdict", "confidence"),
        _put(-1.0, "capacity", "sustainable_rps"),
        _put(None, "capacity", "reached"),
        _put([1.0], "ledger", 0, "ceiling_ci_rps"),
        _put("pinchpoint.report/2", "schema"),
    ],
)
def test_a_broken_report_is_told_from_a_valid_one(break_it: Callable[[Any], None]) -> None:
    """A missing field, a wrong type and an unknown word are each found, once."""
    broken = copy.deepcopy(report())
    break_it(broken)

    assert len(validate(broken)) == 1


def test_unknown_fields_are_allowed() -> None:
    """Later versions add fields; older readers keep working."""
    more = report()
    more["steps"][0]["server"]["gpu_cores"] = 1.0

    assert validate(more) == []


def test_nan_and_infinity_become_null() -> None:
    """JSON has neither, so strict readers would refuse the file."""
    diagnosis = sample_diagnosis()
    capacity = replace(diagnosis.capacity, knee_rps=math.nan, saturation_rps=math.inf)
    built = build_report(sample_run(), replace(diagnosis, capacity=capacity), [])

    json.dumps(built, allow_nan=False)
    assert (built["capacity"]["knee_rps"], built["capacity"]["saturation_rps"]) == (None, None)


def test_steps_tell_seconds_since_the_first_one() -> None:
    """Clock times are kept, and readers get times that mean something to them."""
    assert [(step["start_s"], step["end_s"]) for step in report()["steps"][:3]] == [(0, 4), (4, 10), (10, 14)]


def test_endpoints_are_judged_at_the_sustainable_load() -> None:
    """Logins before the first arrival are no load, so they are left out."""
    endpoints = report()["scenarios"]

    assert [(one["name"], one["step"], one["compliance"]) for one in endpoints] == [("/items/[id]", 7, "passed")]


def test_a_failing_page_does_not_lose_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON is written first, whole."""

    def fail(*_: object) -> str:
        raise MeasurementError("no page")

    monkeypatch.setattr(write, "render_html", fail)
    with pytest.raises(MeasurementError):
        write.write_reports(tmp_path, sample_recording(tmp_path), sample_run(), sample_diagnosis(), [])

    assert validate(json.loads((tmp_path / "report.json").read_text())) == []
    assert not list(tmp_path.glob("*.tmp"))


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A file that cannot be written is the user's to mend."""
    with pytest.raises(MeasurementError, match=r"cannot write .*report.md: .*--out"):
        write.write_text(tmp_path / "gone" / "report.md", "text")


@pytest.mark.parametrize("field", ["foreign_cpu_cores", "loop_blocked", "db_embedded", "workers_died"])
def test_the_schema_knows_the_type_of_every_server_figure(field: str) -> None:
    """A figure written as text is told, wherever it stands."""
    shown = report()
    shown["steps"][0]["server"][field] = "1.5"

    assert [problem.split(":")[0] for problem in validate(shown)] == [f"$.steps[0].server.{field}"]
