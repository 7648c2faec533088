"""The questions of a load test, asked of the sample run: p95 at most 500 ms, at most 1 % of the requests failed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pinchpoint.answer_records import Answer
from pinchpoint.diagnosis.questions import answers
from pinchpoint.measures import Step
from pinchpoint.records import Diagnosis
from support.sample_run import sample_diagnosis, sample_run

SETTINGS = {"load": sample_run()["load"], "slo": sample_run()["slo"]}
"""Of the recording."""


def answer(name: str, diagnosis: Diagnosis, **slo: Any) -> Answer:
    """Return the answer to one question."""
    settings = {**SETTINGS, "slo": {**SETTINGS["slo"], **slo}}
    return next(one for one in answers(diagnosis, settings) if one.name == name)


def changed(change: Callable[[Step], Step]) -> Diagnosis:
    """Return the sample diagnosis with every step changed."""
    found = sample_diagnosis()
    return replace(found, steps=[change(step) for step in found.steps])
