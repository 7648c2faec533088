"""The inventory's pack and its Locust file belong together.

The file is read and not imported: importing Locust replaces the sockets of this process.
"""

import ast
from collections import Counter
from pathlib import Path

import pytest

from pinchpoint.stress import scenarios
from pinchpoint.stress.scenarios.pack_inventory import COMPLEX, PACK, READS, WRITES

FOLDER = Path(scenarios.__file__).parent
PARTS = {
    "InventoryManagementUser": "Inventory Management",
    "OrderProcessingUser": "Order Processing",
    "MonitoringUser": "Monitoring",
    "HighConcurrencyUser": "High Concurrency",
}
NAMES_FIRST = {"create", "_order"}
"""Methods of the Locust file whose first argument is the request's name."""


def _classes(file: str) -> dict[str, ast.ClassDef]:
    tree = ast.parse((FOLDER / file).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name_of(call: ast.Call) -> str | None:
    """Return the request's name in `self.send(…)`, `self.create(…)`, `self._order(…)`; None for other calls."""
    if not isinstance(call.func, ast.Attribute) or not isinstance(call.func.value, ast.Name):
        return None
    method = call.func.attr
    if method in NAMES_FIRST:
        return _text(call.args[0])
    if method != "send":
        return None
    named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
    return _text(named[0] if named else call.args[1])


def _names(node: ast.ClassDef) -> set[str]:
    calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
    return {name for name in map(_name_of, calls) if name is not None}


def _weight(node: ast.ClassDef) -> int | None:
    for line in node.body:
        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "weight":
            return int(ast.literal_eval(line.value))
    return None


def test_each_kind_of_users_is_a_part_with_its_weight_and_its_requests() -> None:
    """Names in the pack are those the file sends, to the letter: a typo would be a part that nothing answers."""
    classes = _classes("inventory.py")
    # Orders fill the shelf with a method of the class they share.
    shared = {"OrderProcessingUser": _names(classes["ShopUser"])}

    sent = {PARTS[name]: _names(classes[name]) | shared.get(name, set()) for name in PARTS}

    assert sent == {part.name: set(part.endpoints) for part in PACK.parts}
    assert {PARTS[name]: _weight(classes[name]) for name in PARTS} == {part.name: part.weight for part in PACK.parts}
    assert [part.weight for part in PACK.parts] == [30, 50, 20, 10]


def test_no_request_belongs_to_two_parts_or_two_targets() -> None:
    """Else it would be counted twice."""
    of_parts = Counter(name for part in PACK.parts for name in part.endpoints)
    of_targets = Counter((*READS, *WRITES, *COMPLEX))

    assert max(of_parts.values()) == max(of_targets.values()) == 1
    assert of_parts.keys() - of_targets.keys() == {"/products/[id]/delete"}
    assert of_targets.keys() <= of_parts.keys()


@pytest.mark.parametrize(
    ("name", "metric", "op", "target"),
    [
        ("GET requests", "avg_ms", "<", 200),
        ("POST/PUT requests", "avg_ms", "<", 500),
        ("Complex operations", "avg_ms", "<", 1000),
        ("Throughput, as of the heavy load", "rps", ">=", 500),
        ("Error rate", "error_rate", "<", 0.01),
        ("Oversold pieces", "oversold", "==", 0),
        ("Products with negative stock", "negative_stock", "==", 0),
    ],
)
def test_the_targets_are_those_of_the_document(name: str, metric: str, op: str, target: float) -> None:
    """Green is what it asks for."""
    found = [(each.metric, each.op, each.target) for each in PACK.targets if each.name == name]

    assert found == [(metric, op, target)]


def test_the_presets_are_those_of_the_document() -> None:
    """Users, users per second, seconds, and the least throughput of each size."""
    presets = {each.name: (each.users, each.spawn_rate, each.seconds, each.at_least_rps) for each in PACK.presets}

    assert presets == {"light": (10, 2, 120, 100), "medium": (50, 5, 300, 300), "heavy": (200, 10, 600, 500)}
    assert PACK.grades == ("green", "yellow", "red")


def test_peak_users_are_the_shares_of_the_heaviest_preset() -> None:
    """200 users by 30 : 50 : 20 : 10, rounded."""
    weights = sum(part.weight for part in PACK.parts)

    assert [part.peak_users for part in PACK.parts] == [round(200 * part.weight / weights) for part in PACK.parts]
    assert sum(part.peak_users or 0 for part in PACK.parts) == 200


def test_every_special_case_of_the_document_is_a_kind_of_users() -> None:
    """Five of them, each with tasks of its own."""
    classes = _classes("inventory_scenarios.py")
    tasks = {
        name: sum(
            "task" in ast.unparse(decorator)
            for method in node.body
            if isinstance(method, ast.FunctionDef)
            for decorator in method.decorator_list
        )
        for name, node in classes.items()
        if any(ast.unparse(base) == "ScenarioUser" for base in node.bases)
    }

    assert tasks == {
        "LastItemRaceUser": 2,
        "BulkOperationsUser": 5,
        "StockDepletionUser": 3,
        "HighFrequencyMonitoringUser": 3,
        "ErrorConditionUser": 4,
    }
