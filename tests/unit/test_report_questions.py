"""The questions of a load test in every output, and nothing of them in a report that has none."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pinchpoint.diagnosis.questions import answers
from pinchpoint.measures import EndpointFigures, Latency
from pinchpoint.records import to_jsonable
from pinchpoint.report import questions
from pinchpoint.report.build import build_report
from pinchpoint.report.html import render_html
from pinchpoint.report.markdown import render_markdown
from pinchpoint.report.series import timeline
from pinchpoint.report.terminal import render_summary
from support.asked import SETTINGS, changed
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_recording, sample_run

HOSTILE = "</script><img src=x onerror=alert(1)>|y"


def report(name: str | None = None) -> dict[str, Any]:
    """Return a report with answers; `name` is that of its slowest endpoint."""
    found = diagnosis_with_goals()
    if name is not None:
        slow = [EndpointFigures(one, 9, 0, Latency(1, 2, 3, 4, 5)) for one in ("/", name)]
        found = changed(lambda step: replace(step, client=replace(step.client, endpoints=slow)))
    return {**build_report(sample_run(), found, []), "questions": to_jsonable(answers(found, SETTINGS))}


def old() -> dict[str, Any]:
    """Return a report of a version that asked nothing."""
    return {key: value for key, value in report().items() if key != "questions"}


def printed(shown: dict[str, Any], width: int = 80) -> str:
    """Return what a terminal shows."""
    out = io.StringIO()
    render_summary(shown, Console(file=out, width=width))
    return out.getvalue()


def page(shown: dict[str, Any], root: Path) -> str:
    """Return the HTML page."""
    return render_html(shown, timeline(sample_recording(root)), {})


def test_each_question_has_a_row_with_its_answer_and_value() -> None:
    """As they stand in the document, in its order."""
    found = questions.table(report())

    assert found is not None
    assert [row[0].partition(" ")[0] for row in found.rows] == ["Which", "What", "From", "From", "What", "Does"]
    assert [row[2] for row in found.rows] == ["474 ms", "93.6/s", "-", "113/s", "0.195 cores", "1.4 s"]


def test_what_was_not_measured_has_no_value() -> None:
    """A dash is an answer (at no load), `n/a` is none."""
    shown = report()
    shown["questions"][5] |= {"measured": False, "value": None, "answer": "Not measured: no time; --budget would tell."}
    found = questions.table(shown)

    assert found is not None
    assert found.rows[5][1:] == ("Not measured: no time; --budget would tell.", "n/a")


def test_the_terminal_has_the_first_sentence_of_each() -> None:
    """Within 80 columns; the rest is in the report."""
    lines = dict(questions.lines(report()))
    text = printed(report())

    assert lines["Highest rate"] == "93.6/s (95 % interval 91.8 to 95.3), with every limit held"
    assert lines["Too slow"] == "From 113/s on: p95 1.46 s there, against 500 ms; 474 ms at 94/s"
    assert questions.TITLE in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_every_output_has_the_section(tmp_path: Path) -> None:
    """And none of them for an older report."""
    said = "From which load on is the response time unacceptable?"

    assert [said in text for text in (render_markdown(report()), page(report(), tmp_path))] == [True, True]
    assert questions.table(old()) is None
    for text in (render_markdown(old()), page(old(), tmp_path), printed(old())):
        assert questions.TITLE not in text


def test_hostile_names_land_inert(tmp_path: Path) -> None:
    """The slowest endpoint is told by its name."""
    shown = report(HOSTILE)

    assert "<img" not in page(shown, tmp_path)
    assert "<img" not in render_markdown(shown)
