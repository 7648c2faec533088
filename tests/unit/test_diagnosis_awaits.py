"""What requests await names a cause only where nothing that was measured does."""

from dataclasses import replace
from typing import Any, cast

import pytest

from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import Recording
from pinchpoint.records import AwaitPlace, AwaitShares, Verdict
from support.synthetic import TRUTHS, Synthetic, Truth

HIDDEN = TRUTHS["python-lock"][0]
"""A lock that binds at 100/s; `without_lock` takes its figures away."""
LOCKED = AwaitPlace("lock", 0.9, "GET /stock", "reserve", "shop/stock.py", 6, "Lock.acquire")


def without_lock(truth: Truth, service_s: float | None = None) -> Recording:
    """Simulate, and take the lock's figures away; `service_s` is what every request then takes inside the app."""
    recording = Synthetic(truth).run().recording()
    pages = [process["probe"] for sample in cast("list[Any]", recording.samples) for process in sample["processes"]]
    for page in filter(None, pages):
        for name in [name for name in page if name.startswith("lock")]:
            del page[name]
        if service_s is not None:
            page["service_s"] = service_s * page["requests_done"]
    return recording


@pytest.fixture(scope="module")
def unmeasured() -> Recording:
    """Return a run in which requests pile up inside the app for something that no hook knows."""
    return without_lock(HIDDEN)


def shares(kind: str = "lock", share: float = 0.9, met: int = 400, place: AwaitPlace = LOCKED) -> AwaitShares:
    """Return requests that sleep at low load, and wait for `kind` at the limit."""
    return AwaitShares(
        low={"GET /stock": {"sleep": 1.0}},
        limit={"GET /stock": {kind: share, "sleep": 1 - share}},
        met_low={"GET /stock": 100},
        met_limit={"GET /stock": met},
        places=[
            replace(place, kind=kind, share=share),
            AwaitPlace("sleep", 1 - share, "", "reserve", "shop/stock.py", 7),
        ],
    )


def judged(recording: Recording, awaits: AwaitShares | None) -> Verdict:
    """Return the verdict."""
    return diagnose(recording, (), awaits).verdict


def test_without_an_await_profile_no_cause_is_named(unmeasured: Recording) -> None:
    """As before."""
    verdict = judged(unmeasured, None)

    assert (verdict.class_, verdict.cause) == ("undetermined", "conflicting-evidence")
    assert "waiting for something that is not measured" in verdict.summary


@pytest.mark.parametrize(
    ("kind", "class_", "cause"),
    [("lock", "lock", "python-lock"), ("downstream", "io", "downstream"), ("thread token", "pool", "threadpool")],
)
def test_what_half_of_the_waiting_is_for_is_named_with_doubt(
    unmeasured: Recording, kind: str, class_: str, cause: str
) -> None:
    """Nothing else measured it, so the verdict is ambiguous, and says where the app awaits it."""
    verdict = judged(unmeasured, shares(kind))

    assert (verdict.class_, verdict.cause, verdict.status) == (class_, cause, "ambiguous")
    assert verdict.confidence <= 0.5
    assert (verdict.location.function, verdict.location.file, verdict.location.line) == ("reserve", "shop/stock.py", 6)
    assert "90%" in verdict.summary
    assert "reserve (shop/stock.py:6)" in verdict.summary


@pytest.mark.parametrize("kind", ["database", "queue", "event", "network", "ready", "other"])
def test_other_waits_are_told_and_name_nothing(unmeasured: Recording, kind: str) -> None:
    """Undetermined, with what requests wait for, and where."""
    verdict = judged(unmeasured, shares(kind, place=replace(LOCKED, line=9)))

    assert verdict.class_ == "undetermined"
    assert "90%" in verdict.summary
    assert "reserve (shop/stock.py:9)" in verdict.summary
    assert (verdict.location.file, verdict.location.line, verdict.location.endpoint) == (
        "shop/stock.py",
        9,
        "GET /stock",
    )


@pytest.mark.parametrize(
    "awaits",
    [
        pytest.param(shares(share=0.45), id="no kind has half of the waiting"),
        pytest.param(shares(met=19), id="too few were met"),
        pytest.param(shares(share=0.6, met=100), id="half of it may be chance"),
        pytest.param(shares(place=replace(LOCKED, via="Semaphore.acquire")), id="a semaphore of unknown size"),
        pytest.param(shares(place=replace(LOCKED, via="Condition.wait")), id="a condition"),
    ],
)
def test_doubtful_waits_name_nothing(unmeasured: Recording, awaits: AwaitShares) -> None:
    """Abstaining is an answer."""
    assert judged(unmeasured, awaits).class_ == "undetermined"


def test_a_condition_is_no_lock(unmeasured: Recording) -> None:
    """Whoever notifies decides, and that may be anybody."""
    verdict = judged(unmeasured, shares(place=replace(LOCKED, via="Condition.wait")))

    assert "90% for a condition to be notified in reserve (shop/stock.py:6)" in verdict.summary


def test_a_resource_that_is_measured_full_keeps_its_name() -> None:
    """The await profile says nothing against the CPU, the pool or the loop."""
    for name in ("python-cpu", "db-pool", "sync-call"):
        truth, class_, cause = TRUTHS[name]
        verdict = judged(Synthetic(truth).run().recording(), shares())

        assert (verdict.class_, verdict.cause) == (class_, cause)


def test_the_place_of_a_pool_is_where_the_app_awaits_its_connections() -> None:
    """No profile of running code can say that."""
    recording = Synthetic(TRUTHS["db-pool"][0]).run().recording()
    verdict = judged(recording, shares("connection pool"))

    assert (verdict.location.function, verdict.location.line) == ("reserve", 6)
    assert verdict.location.knob == "pool_size + max_overflow"
    assert judged(recording, shares("connection pool", met=19)).location.function is None


def test_thread_tokens_that_are_measured_and_free_contradict() -> None:
    """Requests may await a limiter of the app's own."""
    recording = without_lock(replace(HIDDEN, token_ms=1.0))

    assert judged(recording, shares("thread token")).class_ == "undetermined"


def test_a_wait_as_long_as_at_low_load_names_nothing() -> None:
    """It is not what made requests slow."""
    steady = without_lock(HIDDEN, service_s=0.05)

    assert judged(steady, shares()).cause == "python-lock"
    assert judged(steady, replace(shares(), low=shares().limit)).class_ == "undetermined"


def test_measures_are_those_of_all_endpoints() -> None:
    """Endpoints count by how many of their requests were met."""
    awaits = AwaitShares(
        limit={"a": {"lock": 1.0}, "b": {"sleep": 0.5, "lock": 0.5}}, met_limit={"a": 10, "b": 30}, places=[]
    )

    assert awaits.overall() == {"lock": 0.625, "sleep": 0.375}
    assert AwaitShares().overall() == {}
