"""The simpler rules say what they say, for the reasons they give."""

from pathlib import Path
from typing import Any

import pytest

from pinchpoint.diagnosis import clinic_rules
from pinchpoint.diagnosis.baselines import Answer, baselines, hottest_frame, longest_queue
from pinchpoint.diagnosis.steps import Ladder
from pinchpoint.measures import ClientFigures, PeerFigures, PoolFigures, ServerFigures, Step
from pinchpoint.recording import Recording, load_recording
from pinchpoint.records import HotFrame, Profile
from support.synthetic import TRUTHS, Synthetic

NOTHING: Answer = ("none", "not-saturated")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recording]:
    """Return simulated runs by what is wrong with them."""
    chosen = ("python-cpu", "db-pool", "slow-query-postgres", "sync-call", "not-reached")
    folder = tmp_path_factory.mktemp("runs")
    return {name: load_recording(Synthetic(TRUTHS[name][0]).run().write(folder / name)) for name in chosen}


@pytest.mark.parametrize(
    ("name", "rule", "expected"),
    [
        ("python-cpu", "highest-utilisation", ("cpu", "python-code")),
        ("db-pool", "highest-utilisation", ("pool", "db-pool")),
        ("sync-call", "highest-utilisation", ("blocking", "sync-call")),
        ("not-reached", "highest-utilisation", NOTHING),
        ("db-pool", "longest-queue", ("pool", "db-pool")),
        ("slow-query-postgres", "longest-queue", ("io", "slow-query")),
        ("python-cpu", "clinic-doctor", ("cpu", "python-code")),
        ("slow-query-postgres", "clinic-doctor", ("io", "slow-query")),
        ("sync-call", "clinic-doctor", ("undetermined", "conflicting-evidence")),
        ("db-pool", "hottest-frame", ("undetermined", "too-few-samples")),
    ],
)
def test_each_rule_names_what_it_looks_at(
    recorded: dict[str, Recording], name: str, rule: str, expected: Answer
) -> None:
    """Right or wrong: these are the answers to beat."""
    assert baselines(recorded[name])[rule] == expected


def test_a_run_cut_before_its_first_step_gives_no_answers(tmp_path: Path) -> None:
    """And raises nothing."""
    recording = Recording(events=[], samples=[], digests=[], settings={}, root=tmp_path)

    assert set(baselines(recording).values()) == {("undetermined", "too-few-samples")}


# --- the longest queue -----------------------------------------------------------------------------------------------


def nothing(kind: type[Any], **known: Any) -> Any:
    """Return a record with nothing measured but what is given."""
    required = {name: None for name, one in kind.__dataclass_fields__.items() if "MISSING" in repr(one.default)}
    required = {name: None for name in required if "MISSING" in repr(kind.__dataclass_fields__[name].default_factory)}
    return kind(**(required | known))


def queue_of(**figures: Any) -> Answer:
    """Return what the rule says of a server at its limit."""
    client = nothing(ClientFigures, scheduled=1, started=1, unsent=0, ok=1, failed=0)
    step = nothing(
        Step, index=0, phase="ramp", model="rate", t_start_s=0.0, t_end_s=1.0, settle_s=0.0, started_rps=1.0,
        goodput_rps=1.0, passed=False, client=client, server=nothing(ServerFigures, **figures),
    )  # fmt: skip
    return longest_queue(Ladder([], [step], 0, [], None, None, step))


def pool(waiting: float, busy: float = 4.0) -> PoolFigures:
    """Return a pool with so many waiting."""
    return PoolFigures(4.0, busy, waiting, None, None, None)


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"pools": {"db": pool(30.0), "threadpool": pool(2.0)}}, ("pool", "db-pool")),
        ({"pools": {"slots": pool(0.0)}, "listen_queue": 20.0}, ("pool", "worker-slots")),
        ({"listen_queue": 20.0}, ("pool", "accept-backlog")),
        ({"db_active": 9.0, "pools": {"db": pool(3.0)}}, ("io", "slow-query")),
        ({"calls": [PeerFigures("http a", 1.0, 1.0, 7.0, 0.0), PeerFigures("db b", 1.0, 1.0, 9.0, 0.0)]},
         ("io", "downstream")),
        ({"sqlite_busy": 5.0}, ("lock", "sqlite-writer")),
        ({"has_loop": True, "inflight": 20.0, "pools": {"db": pool(3.0)}}, ("cpu", "python-code")),
        ({"has_loop": True, "inflight": 20.0, "pools": {"threadpool": pool(3.0, busy=16.0)}}, ("pool", "threadpool")),
        ({"runq_cores": 0.9}, NOTHING),
        ({}, ("undetermined", "too-few-samples")),
    ],
)  # fmt: skip
def test_the_longest_queue_is_named(figures: dict[str, Any], expected: Answer) -> None:
    """Requests in flight that wait for nothing else wait for the loop; below one waiting there is no queue."""
    assert queue_of(**figures) == expected


# --- the hottest frame -----------------------------------------------------------------------------------------------


def profile(kind: Any, *frames: tuple[str, str, float]) -> Profile:
    """Return a profile near the limit of (function, file, share as a leaf)."""
    hot = [
        HotFrame(function, file, 1, "native" if ".so" in file else "app", own, own) for function, file, own in frames
    ]
    return Profile("profile-limit", 1, kind, 100, "x", hot=hot)


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ([profile("cpu", ("price", "shop/prices.py", 0.6), ("execute", "site-packages/aiosqlite/core.py", 0.3))],
         ("cpu", "python-code")),
        ([profile("wall", ("execute", "site-packages/aiosqlite/core.py", 0.6))], ("io", "slow-query")),
        ([profile("wall", ("get", "site-packages/sqlalchemy/pool/impl.py", 0.6))], ("pool", "db-pool")),
        ([profile("wall", ("wait", "python3.11/threading.py", 0.6))], ("lock", "python-lock")),
        ([profile("wall", ("readinto", "python3.11/socket.py", 0.6))], ("io", "downstream")),
        ([profile("cpu", ("digest", "_hashlib.so", 0.6))], ("cpu", "native-code")),
        ([profile("wall", ("load", "shop/main.py", 0.6)), profile("cpu", ("load", "shop/main.py", 0.1))],
         ("blocking", "sync-call")),
        ([profile("wall", ("load", "shop/main.py", 0.6)), profile("cpu", ("load", "shop/main.py", 0.5))],
         ("cpu", "python-code")),
        ([profile("wall", ("select", "python3.11/selectors.py", 0.9), ("load", "shop/main.py", 0.05))], NOTHING),
        ([], ("undetermined", "too-few-samples")),
    ],
)  # fmt: skip
def test_the_hottest_frame_is_named_by_whose_code_it_is(profiles: list[Profile], expected: Answer) -> None:
    """Threads that wait for work are left out."""
    assert hottest_frame(profiles) == expected


# --- Clinic Doctor ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "late", "handles", "expected"),
    [
        (False, True, False, ("cpu", "python-code")),
        (True, False, False, ("io", "downstream")),
        (False, False, True, ("io", "downstream")),
        (True, False, True, ("io", "downstream")),
        (False, False, False, NOTHING),
        (True, True, False, ("undetermined", "conflicting-evidence")),
        (False, True, True, ("undetermined", "conflicting-evidence")),
        (True, True, True, ("undetermined", "conflicting-evidence")),
    ],
)
def test_doctors_table_without_its_memory_column(*, cpu: bool, late: bool, handles: bool, expected: Answer) -> None:
    """One event-loop, three io, one none, three unknown (test/analysis-issue-category.test.js)."""
    found = clinic_rules._category(cpu=cpu, late=late, handles=handles, waits=("io", "downstream"))

    assert found == expected


def test_the_sign_test_sees_a_series_that_only_climbs() -> None:
    """40 ups and no down: 2 / 2**40; as many ups as downs: nothing."""
    assert clinic_rules._sawtooth([float(k) for k in range(41)]) == pytest.approx(2 / 2**40)
    assert clinic_rules._sawtooth([0.0, 1.0] * 20) > 0.8
    assert clinic_rules._sawtooth([5.0] * 9) == 1.0


def test_the_skewness_test_sees_growth_that_goes_flat() -> None:
    """And not a symmetric series, nor a constant one."""
    flat = [min(float(k), 20.0) for k in range(400)]

    assert clinic_rules._skewed(flat) < 1e-3
    assert clinic_rules._skewed([float(k) for k in range(400)]) > 0.9
    assert clinic_rules._skewed([5.0] * 50) == 1.0


def test_doctor_has_no_loop_to_judge_without_one(tmp_path: Path) -> None:
    """A WSGI server of idle threads is called I/O: its CPU is not used."""
    recording = load_recording(Synthetic(TRUTHS["worker-slots"][0]).run().write(tmp_path))

    assert baselines(recording)["clinic-doctor"][0] == "io"
