"""The answers to the questions of a load test (`diagnosis.questions`). Frozen records; standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

AnswerName = Literal["response-time", "highest-rate", "errors-from", "slow-from", "under-stress", "recovery"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of an answer; None: not measured."""

    name: str
    value: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and its answer."""

    name: AnswerName
    question: str
    answer: str
    """In words; of what was not measured the reason, and what would measure it."""
    value: float | None
    """None although measured: asked, and met at no load tried."""
    unit: str
    measured: bool
    figures: list[Figure] = field(default_factory=list)
