"""The memory cases of the zoo: what grows does so with the requests, and a cure ends it."""

import importlib
from types import ModuleType

import pytest

from pinchpoint.app.faults.case import CURED, SEVERITY, Case
from pinchpoint.app.faults.cases.memory import CASES
from pinchpoint.app.faults.catalogue import tuned


def served(monkeypatch: pytest.MonkeyPatch, name: str, *, severity: float = 1.0, cured: bool = False) -> ModuleType:
    """Import a serving module anew, told what a run would tell it."""
    monkeypatch.setenv(SEVERITY, str(severity))
    monkeypatch.setenv(CURED, "1" if cured else "0")
    return importlib.reload(importlib.import_module(f"pinchpoint.app.faults.serving.{name}"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_memory_has_no_ceiling_that_arithmetic_gives(case: Case) -> None:
    """It binds by exhaustion; the family says which half the case is in."""
    assert {label.class_ for label in case.labels} == {"memory"}
    assert case.ceiling_rps is None
    assert tuned(case) in {True, False}


@pytest.mark.parametrize(("cured", "kept"), [(False, 60), (True, 50)])
def test_a_page_of_results_is_kept_for_ever_or_for_a_while(
    monkeypatch: pytest.MonkeyPatch, cured: bool, kept: int
) -> None:
    """The same question sixty times: the time of day makes each one new."""
    search = served(monkeypatch, "memory_search", cured=cured)
    for _ in range(60):
        search.page_of("lamp")

    assert len(search.pages) == kept


@pytest.mark.parametrize(("cured", "kept"), [(False, 110), (True, 100)])
def test_visits_are_written_down_for_ever_or_for_a_while(
    monkeypatch: pytest.MonkeyPatch, cured: bool, kept: int
) -> None:
    """A hundred and ten requests."""
    monkeypatch.setenv(SEVERITY, "1")
    orders = served(monkeypatch, "memory_orders", cured=cured)
    monkeypatch.setattr(orders, "DEPOTS", 3)
    with orders.app.test_client() as client:
        answers = [client.get(f"/orders/{number}").status_code for number in range(110)]

    assert (set(answers), len(orders.journal)) == ({200}, kept)


@pytest.mark.parametrize(("cured", "kept"), [(False, 5), (True, 0)])
def test_a_cached_method_keeps_its_objects(monkeypatch: pytest.MonkeyPatch, cured: bool, kept: int) -> None:
    """Five reports of the same shop."""
    reports = served(monkeypatch, "memory_reports", cured=cured)
    monkeypatch.setattr(reports, "SALES", 3)
    found = [reports.report(7) for _ in range(5)]

    assert reports.Report.kept_table.cache_info().currsize == kept
    assert found == [found[0]] * 5


def test_severity_multiplies_what_a_request_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, not time."""
    pictures = [served(monkeypatch, "memory_thumbnails", severity=one).PICTURE_BYTES for one in (1.0, 2.0)]
    rows = [served(monkeypatch, "memory_statements", severity=one).ROWS for one in (1.0, 2.0)]

    assert pictures == [8_000_000, 16_000_000]
    assert rows == [60_000, 120_000]


def test_a_sheet_has_its_size() -> None:
    """128 bytes a row."""
    sheet = importlib.import_module("pinchpoint.app.faults.serving.memory_statements").sheet

    assert len(sheet(7, 10)) == 1280
