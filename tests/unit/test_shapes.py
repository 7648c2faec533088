"""What counts as a whole row: every kind of value that JSON knows, in every place a type can stand."""

from typing import Any, NotRequired, TypedDict

import pytest

from pinchpoint.shapes import checker, event_fits


class _Inner(TypedDict):
    count: int


class _Outer(TypedDict):
    name: str
    share: float | None
    figures: dict[str, float]
    marks: list[int]
    tables: NotRequired[dict[str, dict[str, dict[str, float]]] | None]
    inner: _Inner | None


WHOLE = {"name": "a", "share": 0.5, "figures": {"x": 1, "y": 2.5}, "marks": [1, 2], "inner": {"count": 3}}


def _with(**changes: Any) -> dict[str, Any]:
    return {**WHOLE, **changes}


@pytest.mark.parametrize(
    "row",
    [
        WHOLE,
        _with(share=None),
        _with(share=2),
        _with(figures={}),
        _with(inner=None),
        _with(tables=None),
        _with(tables={"routes": {"GET /": {"done": 1.0}}}),
        _with(tables={"routes": {}}),
        _with(more="is never in the way"),
    ],
)
def test_rows_that_readers_can_rely_on_fit(row: dict[str, Any]) -> None:
    """A whole number is a figure, a figure may be missing where it may be None, and further keys do no harm."""
    assert checker(_Outer)(row)


@pytest.mark.parametrize(
    "row",
    [
        _with(name=1),
        _with(share="0.5"),
        _with(share=float("nan")),
        _with(share=float("inf")),
        _with(share=True),
        _with(figures={"x": None}),
        _with(figures={"x": float("inf")}),
        _with(figures={"x": False}),
        _with(figures=[1.0]),
        _with(marks=[1.5]),
        _with(marks={"a": 1}),
        _with(tables={"routes": [1]}),
        _with(tables={"routes": {"GET /": 1.0}}),
        _with(tables={"routes": {"GET /": {"done": "1"}}}),
        _with(tables={"routes": {"GET /": {"done": float("nan")}}}),
        _with(inner={"count": 1.5}),
        _with(inner={}),
        {key: value for key, value in WHOLE.items() if key != "name"},
        [],
        None,
    ],
)
def test_rows_that_would_break_a_reader_do_not_fit(row: Any) -> None:
    """Another type, a bool for a number, an infinity or a missing key: wherever it stands."""
    assert not checker(_Outer)(row)


def test_a_missing_key_that_may_be_none_is_filled_in() -> None:
    """Readers then index instead of asking."""
    row = {key: value for key, value in WHOLE.items() if key not in {"share", "inner"}}

    assert checker(_Outer)(row)
    assert (row["share"], row["inner"], row["tables"]) == (None, None, None)


def test_an_event_is_held_against_what_its_kind_promises() -> None:
    """A step without its times is damaged; of an unknown kind nothing is promised."""
    assert not event_fits({"kind": "step", "t_s": 1.0, "data": {"index": 1}})
    assert event_fits({"kind": "weather", "t_s": 1.0, "data": {"rain": True}})
