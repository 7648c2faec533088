"""The CPU cases of the zoo: what they state, that the work is a count and that a cure leaves it out."""

import importlib
import os
import struct
import threading
import time
from types import ModuleType

import pytest

from pinchpoint.app.faults import pace
from pinchpoint.app.faults.case import CURED, SEVERITY, Case
from pinchpoint.app.faults.cases.cpu import CASES
from pinchpoint.app.faults.catalogue import tuned

NAMES = {case.name: case for case in CASES}
RATED = [case for case in CASES if case.ceiling_rps is not None]


def served(monkeypatch: pytest.MonkeyPatch, name: str, *, severity: float = 1.0, cured: bool = False) -> ModuleType:
    """Import a serving module anew, told what a run would tell it."""
    monkeypatch.setenv(SEVERITY, str(severity))
    monkeypatch.setenv(CURED, "1" if cured else "0")
    return importlib.reload(importlib.import_module(f"pinchpoint.app.faults.serving.{name}"))


def test_each_kind_of_cpu_limit_has_a_case() -> None:
    """All seven causes of the class, and nothing else."""
    causes = {label.cause for case in CASES for label in case.labels}

    assert {label.class_ for case in CASES for label in case.labels} == {"cpu"}
    assert causes == {
        "python-code", "native-code", "gil", "too-few-workers", "cpu-quota", "noisy-neighbour", "worker-imbalance",
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_names_are_unique_and_families_known(case: Case) -> None:
    """`tuned` raises for a family in neither half."""
    assert [other.name for other in CASES].count(case.name) == 1
    assert tuned(case) in {True, False}


@pytest.mark.parametrize("case", RATED, ids=lambda case: str(case.name))
def test_ceilings_fall_with_severity_and_stay_where_a_generator_can_reach_them(case: Case) -> None:
    """Between 20 and 800 requests per second at the speed the costs were measured at."""
    assert case.ceiling_rps is not None
    rates = [case.ceiling_rps(severity) for severity in case.severities]

    assert rates == sorted(rates, reverse=True)
    assert 20 <= rates[-1] < rates[0] <= 800


@pytest.mark.parametrize("case", RATED, ids=lambda case: str(case.name))
def test_the_next_wall_is_far_enough_away(case: Case) -> None:
    """A cure that gains less than a quarter says nothing."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    assert all(case.second_rps(one) >= 1.25 * case.ceiling_rps(one) for one in case.severities)


def test_a_core_spends_its_time_on_the_work_and_the_rest() -> None:
    """1000 ms over 3 ms * 2 + 1 ms, on two cores."""
    assert pace.CpuRate(3.0, 1.0, cores=2.0)(2.0) == pytest.approx(2000 / 7)


def test_a_core_shared_with_jobs_is_cut_in_equal_pieces() -> None:
    """One server and three jobs: a quarter of the core, at 2 ms a request."""
    assert pace.SharedRate(2.0, others=1.0)(3.0) == pytest.approx(125.0)


def test_a_quota_is_cut_by_the_severity() -> None:
    """Half a core over 2, at 2 ms a request."""
    assert pace.SharedRate(2.0, cores=0.5)(2.0) == pytest.approx(125.0)


def test_only_ceilings_of_the_cpu_follow_the_pace() -> None:
    """A pool's ceiling holds on a slow machine, too."""
    slow: pace.Paces = {"loop": 0.5, "objects": 0.4}
    assert pace.paced(pace.CpuRate(4.0, 1.0), 1.0, slow) == pytest.approx(80.0)
    assert pace.paced(pace.CpuRate(4.0, 1.0, kind="loop"), 1.0, slow) == pytest.approx(100.0)
    assert pace.paced(lambda _severity: 80.0, 1.0, slow) == 80.0
    assert pace.paced(pace.CpuRate(4.0, 1.0), 1.0, None) == pytest.approx(200.0)
    assert pace.paced(None, 1.0, slow) is None


def test_the_pace_is_read_beside_work_and_leaves_this_thread_where_it_was() -> None:
    """By the CPU time that the work took; a meter that is over reads no more."""
    allowed = os.sched_getaffinity(0)
    seen = threading.Event()

    def work() -> int:
        time.sleep(0.01)  # no CPU time: waiting for the core counts for nothing
        if meter.readings:
            seen.set()
        return sum(range(20_000))

    meter = pace.PaceMeter(min(allowed), 0.001, {"loop": work})
    begun_s = time.monotonic()
    with meter:
        assert seen.wait(10)
    count = len(meter.readings)

    assert os.sched_getaffinity(0) == allowed
    assert all(begun_s < at_s < time.monotonic() for at_s, _ in meter.readings)
    assert all(one["loop"] > pace.AT_PACE_1_S["loop"] / 0.01 for _, one in meter.readings)
    assert len(meter.readings) == count


def test_the_pace_of_a_run_is_that_of_its_windows_where_enough_was_read() -> None:
    """Three readings within, or all of them; none is None."""
    read: list[tuple[float, float]] = [(1.0, 0.5), (2.0, 0.6), (3.0, 0.7), (9.0, 1.0)]
    readings: list[pace.Reading] = [(at_s, {"loop": one, "objects": one / 2}) for at_s, one in read]
    assert pace.mean_pace(readings, [(1.0, 2.5), (3.0, 4.0)]) == pytest.approx({"loop": 0.6, "objects": 0.3})
    assert pace.mean_pace(readings, [(1.0, 2.5)]) == pytest.approx({"loop": 0.7, "objects": 0.35})
    assert pace.mean_pace([], [(0.0, 9.0)]) is None


def test_packing_needs_as_many_boxes_as_a_first_fit_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 + 8 fill one box, 9 + 9 another."""
    parcels = served(monkeypatch, "cpu_parcels")

    assert parcels.pack([12.0, 9.0, 8.0, 9.0]) == [20.0, 18.0]


def test_a_loan_is_paid_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paid is the amount and the interest; cents of rounding are left."""
    plan = served(monkeypatch, "cpu_loans").repayment(12_000.0, 120.0, 12)

    assert plan["left"] == pytest.approx(0.0, abs=0.05)
    assert plan["paid"] == pytest.approx(12_000.0 + plan["interest"], abs=0.05)


def test_both_ways_to_tidy_a_comment_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pattern is slow, not wrong."""
    slow = served(monkeypatch, "cpu_comments").tidy("a   b  \n ")
    fast = served(monkeypatch, "cpu_comments", cured=True).tidy("a   b  \n ")

    assert slow == fast == "a   b"


def test_both_patterns_for_addresses_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The greedy one is slow, not wrong."""
    newsletter = served(monkeypatch, "cpu_newsletter")
    addresses = ["maria.gomez@mail.example.org", "maria@", "mariagomez", "a..b@example.org"]

    greedy = [newsletter._GREEDY.match(one) is not None for one in addresses]

    assert greedy == [newsletter._PLAIN.match(one) is not None for one in addresses] == [True, False, False, False]


def test_a_password_is_told_from_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without argon2."""
    for cured in (False, True):
        login = served(monkeypatch, "cpu_login", severity=0.5, cured=cured)

        assert login.matches(login._HASH, login._PASSWORD)
        assert not login.matches(login._HASH, "wrong")


@pytest.mark.parametrize(
    ("module", "constant"),
    [
        ("cpu_loans", "RATES"),
        ("cpu_scores", "HITS"),
        ("cpu_catalogue", "PAGE"),
        ("cpu_ledger", "ENTRIES"),
        ("cpu_newsletter", "BATCH"),
        ("cpu_exports", "ROWS"),
        ("cpu_signatures", "ROUNDS"),
        ("cpu_routes", "SWEEPS"),
        ("cpu_invoices", "POSITIONS"),
        ("cpu_tariffs", "MONTHS"),
        ("cpu_payroll", "SLIPS"),
    ],
)
def test_severity_multiplies_a_count(monkeypatch: pytest.MonkeyPatch, module: str, constant: str) -> None:
    """Not a time: the work stays the same when the core is slow."""
    counts = [getattr(served(monkeypatch, module, severity=one), constant) for one in (1.0, 4.0)]

    assert counts[1] == 4 * counts[0]


def test_the_filter_of_sticky_workers_takes_the_client_address_modulo_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three instructions: load the source address, modulo the workers, return."""
    sticky = served(monkeypatch, "cpu_sticky")

    steps = list(struct.iter_unpack("HBBI", sticky.by_client()))

    assert steps == [(0x20, 0, 0, 0xFFF0000C), (0x94, 0, 0, 2), (0x16, 0, 0, 0)]
