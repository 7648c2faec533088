"""Gates of the probe: names, rows, totals."""

import math

import pytest

from pinchpoint.monitoring.probe import gates, tables
from pinchpoint.monitoring.probe.layout import GATES, OTHER


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> gates.Gates:
    """Gates with a table of their own."""
    monkeypatch.setattr(gates, "GATE_ROWS", tables.Rows(GATES))
    return gates.Gates()


def test_gates_of_one_name_are_numbered(opened: gates.Gates) -> None:
    """Each has a row of its own, and the plain name stays with the first."""
    made = [opened.open("executor", "jobs") for _ in range(3)]

    assert [gate.name for gate in made] == ["jobs", "jobs #2", "jobs #3"]
    assert opened.named("executor", "jobs") is made[0]


def test_a_full_table_loses_names_but_no_figures(opened: gates.Gates) -> None:
    """The last row takes all that follow; the totals hold everybody."""
    for number in range(GATES.rows - 1):
        opened.open("executor", f"pool {number}")
    late, later = (opened.open("executor", name) for name in ("late", "later"))
    taken = [opened.open("executor", "latest").took(), late.took()]

    assert late is later
    assert late.name == OTHER
    fields: dict[str, float] = {}
    opened.fill(fields, taken[-1][1])
    assert (fields["executor_busy"], fields["executor_taken"]) == (2, 2)


def test_one_gate_without_a_limit_leaves_the_kind_without_one(opened: gates.Gates) -> None:
    """Five and unlimited is no number."""
    opened.open("http-pool", "five", lambda: 5)
    opened.open("http-pool", "any")

    fields: dict[str, float] = {}
    opened.fill(fields, 0.0)
    assert math.isnan(fields["http_pool_size"])
