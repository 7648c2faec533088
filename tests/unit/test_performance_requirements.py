"""The table of requirements that the API's benchmarks are held against, and the saved run they are compared with."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.diagnosis.checklist import endpoints as checklist_endpoints
from support.benchmarks import REQUIREMENTS, Measure, Measured, newest_saved, table

HERE = {"node": "here", "python": "CPython 3.11.9"}
HEALTH = REQUIREMENTS["Health Check"]


def test_the_requirements_are_those_of_the_document() -> None:
    """Mean and maximum, in milliseconds."""
    limits = {name: (each.target_mean_ms, each.acceptable_max_ms) for name, each in REQUIREMENTS.items()}

    assert limits == {
        "Health Check": (10, 50),
        "Root Endpoint": (20, 100),
        "Authentication": (100, 500),
        "List Operations": (200, 1000),
        "Create Operations": (500, 2000),
    }


def test_the_checklist_holds_endpoints_against_the_same_table() -> None:
    """It is shipped with the package, which the benchmarks are not: two tables, one content."""
    rows = [
        checklist_endpoints.HEALTH,
        checklist_endpoints.ROOT,
        checklist_endpoints.AUTHENTICATION,
        checklist_endpoints.LISTING,
        checklist_endpoints.CREATION,
    ]

    assert [(row.kind, row.mean_ms, row.max_ms) for row in rows] == [
        (name.lower(), each.target_mean_ms, each.acceptable_max_ms) for name, each in REQUIREMENTS.items()
    ]


@pytest.mark.parametrize(
    ("mean_ms", "max_ms", "grade"),
    [
        (1.0, 3.0, "target"),
        (9.99, 49.9, "target"),
        (10.0, 20.0, "acceptable"),
        (40.0, 49.9, "acceptable"),
        (1.0, 50.0, "missed"),
        (60.0, 90.0, "missed"),
    ],
)
def test_the_mean_is_the_target_and_the_maximum_what_is_acceptable(mean_ms: float, max_ms: float, grade: str) -> None:
    """Both limits are to be stayed below; one round beyond what is acceptable misses the requirement."""
    assert Measured("GET /health", HEALTH, mean_ms, max_ms).grade == grade


def test_the_table_shows_figures_limits_and_grade() -> None:
    """One line for each benchmark, in milliseconds."""
    rows = [Measured("GET /health", HEALTH, 0.8123, 2.5), Measured("GET /health", HEALTH, 12.0, 1234.5)]

    assert list(table(rows)) == [
        "Endpoint           Measured                      Mean   Target       Max Acceptable  Grade",
        "Health Check       GET /health                   0.81     < 10      2.50       < 50  target",
        "Health Check       GET /health                  12.00     < 10   1234.50       < 50  missed",
    ]


class FakeBenchmark:
    """What pytest-benchmark's fixture is to `Measure`."""

    def __init__(self, figures: Any) -> None:
        self.group = ""
        self.extra_info: dict[str, Any] = {}
        self.stats: Any = None
        self.rounds = 0
        self._figures = figures

    def pedantic(self, call: Any, *, setup: Any, rounds: int, warmup_rounds: int) -> None:
        """Run once, and pretend."""
        if setup is not None:
            setup()
        call()
        self.rounds = rounds
        self.stats = self._figures and SimpleNamespace(stats=self._figures)


def test_what_was_measured_is_graded_and_kept() -> None:
    """Seconds become milliseconds, and the grade goes into the saved run."""
    benchmark, rows, order = FakeBenchmark(SimpleNamespace(mean=0.012, max=0.03)), list[Measured](), list[str]()

    Measure(benchmark, rows)(
        "Health Check", "GET /health", lambda: order.append("call"), rounds=7, setup=lambda: order.append("setup")
    )

    assert rows == [Measured("GET /health", HEALTH, 12.0, 30.0)]
    assert benchmark.extra_info == {"grade": "acceptable"}
    assert (benchmark.group, benchmark.rounds, order) == ("Health Check", 7, ["setup", "call"])


def test_a_missed_requirement_fails_the_test_and_stays_in_the_table() -> None:
    """The message is the line of the table."""
    rows: list[Measured] = []

    with pytest.raises(pytest.fail.Exception, match=r"Health Check +GET /health +1\.00 .* 60\.00 .* missed"):
        Measure(FakeBenchmark(SimpleNamespace(mean=0.001, max=0.06)), rows)(
            "Health Check", "GET /health", lambda: None, rounds=1
        )

    assert [row.grade for row in rows] == ["missed"]


def test_a_benchmark_that_is_switched_off_is_no_measurement() -> None:
    """Neither held nor missed."""
    rows: list[Measured] = []

    with pytest.raises(pytest.skip.Exception, match="nothing was measured"):
        Measure(FakeBenchmark(None), rows)("Health Check", "GET /health", lambda: None, rounds=1)

    assert rows == []


def save(storage: Path, file: str, machine: dict[str, str]) -> Path:
    """Write what pytest-benchmark would."""
    path = storage / "Linux-CPython-3.11-64bit" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": []}), encoding="utf-8")
    return path


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Four saved runs, the newest of them measured elsewhere."""
    for number, name in enumerate(("before", "after", "before"), 1):
        save(tmp_path, f"{number:04}_{name}.json", HERE)
    save(tmp_path, "0004_elsewhere.json", {**HERE, "node": "there"})
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("before", "0003_before.json"),
        ("after", "0002_after.json"),
        ("0001", "0001_before.json"),
        ("0001_before", "0001_before.json"),
        (None, "0003_before.json"),
    ],
)
def test_a_name_means_the_newest_run_saved_under_it(storage: Path, wanted: str | None, found: str) -> None:
    """A number means that run, and no name the newest of all that were measured here."""
    path = newest_saved(storage, wanted, HERE)

    assert path is not None
    assert path.is_absolute()
    assert path.name == found


def test_runs_are_numbered_beyond_four_digits(storage: Path) -> None:
    """The newest is that of the highest number, not the last in the alphabet."""
    save(storage, "9999_before.json", HERE)
    newest = save(storage, "10000_before.json", HERE)

    assert newest_saved(storage, "before", HERE) == newest.resolve()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("baseline", "no saved run is called baseline (saved: elsewhere, before, after)"),
        ("bef", "no saved run is called bef "),
        ("elsewhere", "was measured on another machine or with another Python"),
    ],
)
def test_a_run_that_cannot_be_compared_with_is_refused(storage: Path, wanted: str, message: str) -> None:
    """With what there is instead, or what to do."""
    with pytest.raises(LookupError) as refused:
        newest_saved(storage, wanted, HERE)

    assert message in str(refused.value)


def test_where_nothing_is_saved_only_a_name_is_refused(tmp_path: Path) -> None:
    """Without one there is just nothing to compare with yet."""
    with pytest.raises(LookupError, match=r"saved: none\): save one with --benchmark-save=baseline"):
        newest_saved(tmp_path, "baseline", HERE)

    assert newest_saved(tmp_path, None, HERE) is None
