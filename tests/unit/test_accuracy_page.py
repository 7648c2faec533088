"""The page of how often the verdict is right: from partial results too, and without a look at the held-out half."""

import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.accuracy import Answer, Result
from pinchpoint.calibration import Bin

POOL: Answer = ("pool", "db-pool")
PYTHON: Answer = ("cpu", "python-code")
BENCH = Path(__file__).resolve().parents[2] / "scripts" / "bench"


@pytest.fixture
def bench(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Return the modules that write the page."""
    monkeypatch.syspath_prepend(str(BENCH))
    before = set(sys.modules)
    yield SimpleNamespace(**{name: import_module(f"zoo_{name}") for name in ("tables", "page", "chart")})
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCH:
            del sys.modules[name]


def made(answer: Answer, *labels: Answer, half: str = "tuned", case: str = "orders", **more: Any) -> Result:
    """Return a result with everything else as it comes."""
    basis: dict[str, Any] = {
        "case": case, "family": "x", "kind": "single", "half": half, "severity": 2.0, "round": 1,
        "labels": labels, "answer": answer, "confidence": 0.8,
    }  # fmt: skip
    return Result(**(basis | more))


def test_an_empty_table_says_so(bench: SimpleNamespace) -> None:
    """Partial results make a page as well."""
    assert bench.tables.table(["a"], []) == ["Nothing was measured yet.", ""]
    assert bench.tables.capacity([], final=True) == ["Nothing was measured yet.", ""]
    assert bench.tables.mixed([], final=True) == ["Nothing was measured yet.", ""]


def test_a_bar_in_a_cell_does_not_split_it(bench: SimpleNamespace) -> None:
    """Reasons are anybody's text."""
    assert bench.tables.table(["a", "b"], [["x|y", None]])[2] == "| x\\|y |  |"


def test_the_matrix_of_classes_marks_what_is_right(bench: SimpleNamespace) -> None:
    """A row for each label, a column for each answer, labels first."""
    results = [made(POOL, POOL), made(PYTHON, POOL, case="carts"), made(("none", "not-saturated"), PYTHON)]

    head, _, cpu, pool, _ = bench.tables.confusion(results)

    assert head == "| label \\\\ said | cpu | pool | none | class right |".replace("\\\\", "\\")
    assert cpu.startswith("| cpu |  |  | 1 | 0.0 % (0 of 1;")
    assert pool.startswith("| pool | 1 | **1** |  | 50.0 % (1 of 2;")


def test_wrong_ones_of_held_out_families_are_told_at_the_end_alone(bench: SimpleNamespace) -> None:
    """Until then only how many there are."""
    results = [made(PYTHON, POOL), made(PYTHON, POOL, half="held-out", case="secret"), made(POOL, POOL, case="fine")]

    before, after = ("\n".join(bench.tables.wrong(results, final=final)) for final in (False, True))

    assert "orders" in before
    assert "1 more of held-out families" in before
    assert "secret" not in before
    assert "secret" in after
    assert "fine" not in before + after


def test_causes_of_held_out_families_are_told_at_the_end_alone(bench: SimpleNamespace) -> None:
    """A row of few runs says what was said of each."""
    results = [made(POOL, POOL), made(PYTHON, ("cpu", "gil"), half="held-out", case="secret")]

    before, after = ("\n".join(bench.tables.causes(results, final=final)) for final in (False, True))

    assert ("gil" in before, "gil" in after) == (False, True)


def test_what_is_missing_is_told(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that were skipped, never run, run too rarely, or whose label does not stand."""
    monkeypatch.setattr(bench.page, "discarded", lambda _cases: {"orders": "cured is no faster"})
    cases = [SimpleNamespace(name=name) for name in ("orders", "disk", "carts")]
    rows = [{"case": "orders", "round": 1}, {"case": "disk", "round": 1, "skipped": "needs cgroup-blkio"}]

    actual = bench.page.missing(rows, cases)

    assert actual == [
        "1 of 9 runs are in: 1 of 3 cases.",
        "",
        "- Not run here: disk: needs cgroup-blkio",
        "- Left out: orders: cured is no faster",
        "- Not run yet: carts",
        "- Run less than 3 times: orders (1)",
        "",
    ]


def test_what_void_runs_would_change_is_told(bench: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """With them, one of two single faults has the right class."""
    results = {"counts": made(POOL, POOL), "void": made(("undetermined", "unsteady"), POOL, case="carts")}
    monkeypatch.setattr(bench.page, "counted", lambda rows, _cases: [results[row["is"]] for row in rows])

    (line,) = bench.page._void([{"is": "counts"}], [{"is": "void"}], [])

    assert line.startswith("- To be made again: 1 runs, as the hypervisor took 15% of the machine or more.")
    assert "0 of them are right, 1 abstain, 0 of 0 negatives accuse falsely" in line
    assert "class of 1 of 2 single faults is right: carts (1)" in line
    assert bench.page._void([{"is": "counts"}], [], []) == []


def test_the_picture_is_whole(bench: SimpleNamespace) -> None:
    """Well-formed, with a dot for each bin; one of no verdicts as well."""
    picture = ET.fromstring(bench.chart.reliability([Bin(0.8, 0.9, 10, 0.85, 0.9), Bin(0.9, 1.0, 40, 0.95, 1.0)]))  # noqa: S314 - ours

    dots = picture.findall(".//{http://www.w3.org/2000/svg}circle")
    assert [dot.get("cx") for dot in dots] == ["354.0", "390.0"]
    assert ET.fromstring(bench.chart.reliability([])).tag.endswith("svg")  # noqa: S314 - ours
