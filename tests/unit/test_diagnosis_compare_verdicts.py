"""What became of the bottleneck between two runs, when comparing them is nonsense, and what makes it doubtful."""

from dataclasses import replace
from typing import Any

import pytest

from pinchpoint.diagnosis.compare.comparison import compare, ledger_rows
from pinchpoint.diagnosis.compare.runs import Changed, Side, changes, refusal, warnings
from pinchpoint.diagnosis.compare.verdicts import move
from pinchpoint.measures import EndpointFigures, Step
from pinchpoint.records import Diagnosis, Gate, Location, StepBound, Validity, Verdict
from support.compare_sides import section, side, with_capacity, with_ceiling, with_server, with_steps
from support.sample_goals import diagnosis_with_goals
from support.sample_run import sample_diagnosis

NOTHING = Verdict("none", "not-saturated", "supported", 0.95, "Nothing binds up to 94 requests/s.")
UNSURE = Verdict("undetermined", "unsteady", "ambiguous", 0.5, "The app broke, but not steadily.")
CODE = replace(
    diagnosis_with_goals().verdict,
    class_="cpu",
    cause="python-code",
    location=Location(function="render", file="app/pages.py", line=7),
    by_step=[StepBound(5, 160.0, "requests/s", "cpu", "python-code", "loop")],
)


def saying(verdict: Verdict, **changes: Any) -> Diagnosis:
    """Return the sample diagnosis with another verdict."""
    return replace(diagnosis_with_goals(), verdict=verdict, **changes)


def moved(before: Side, after: Side) -> tuple[str, str]:
    """Return what became of the bottleneck."""
    found = compare(before, after).move
    return found.kind, found.statement


# --- the bottleneck --------------------------------------------------------------------------------------------------


def test_the_bottleneck_moved_as_the_ledger_foretold() -> None:
    """The pool was doubled; the event loop was the next wall."""
    after = side("after", with_ceiling(saying(CODE), "db-pool", 195.2))

    how, said = moved(side(), after)
    assert how == "moved"
    assert said == (
        "The bottleneck moved from pool/db-pool to cpu/python-code: the ceiling of db-pool went from 97.6/s to 195/s, "
        "as the ledger of before foretold (833/s)."
    )


def test_the_bottleneck_is_gone() -> None:
    """Up to the heaviest load that held."""
    expected = ("gone", "The bottleneck pool/db-pool is gone: nothing binds up to 94/s.")

    assert moved(side(), side("after", saying(NOTHING))) == expected


def test_a_bottleneck_appeared() -> None:
    """At the plateau of the later run."""
    expected = ("appeared", "Nothing bound up to 94/s before; now pool/db-pool binds at 97.8/s.")

    assert moved(side("before", saying(NOTHING)), side("after")) == expected


def test_nothing_binds_in_either_run() -> None:
    """Both up to a load."""
    nothing = saying(NOTHING)
    expected = ("none", "Nothing binds in either run: up to 94/s before, up to 94/s now.")

    assert moved(side("before", nothing), side("after", nothing)) == expected


def test_what_cannot_be_told_is_not_told() -> None:
    """An abstention is handed on with its reason."""
    expected = ("unknown", "What binds in after cannot be told: The app broke, but not steadily.")

    assert moved(side(), side("after", saying(UNSURE))) == expected


def test_the_same_cause_at_another_place_is_said() -> None:
    """A faster `render` leaves `search`; a line that moved is the same place."""
    before = saying(CODE)
    there = saying(replace(CODE, location=Location(function="search", file="app/pages.py", line=90)))
    lower = saying(replace(CODE, location=Location(function="render", file="app/pages.py", line=70)))

    told = "stayed cpu/python-code, but went from render (pages.py) to search (pages.py); its limit"
    assert told in moved(side("a", before), side("b", there))[1]
    assert "stayed cpu/python-code; its limit" in moved(side("a", before), side("b", lower))[1]


def test_a_doubtful_verdict_is_called_one() -> None:
    """Of either run."""
    doubtful = saying(replace(diagnosis_with_goals().verdict, status="ambiguous"))

    assert moved(side(), side("after", doubtful))[1].endswith("(The verdict on after is ambiguous.)")


def test_a_limit_that_is_not_known_is_not_said_to_have_moved() -> None:
    """The kind stays, the number does not."""
    unlimited = compare(side(), side("b", with_capacity(1.0, sustainable_rps=None, saturation_rps=None)))

    assert "how far its limit went is not known (97.8/s to n/a)" in unlimited.move.statement
    assert move(side(), side(), unlimited.capacity[0].change).kind == "stayed"


def test_ceilings_stand_side_by_side() -> None:
    """A resource of one ledger only is there as well; what has no ceiling comes last."""
    before, after = diagnosis_with_goals(), with_ceiling(diagnosis_with_goals(), "db-pool", 195.2)
    before = replace(before, ledger=[row for row in before.ledger if row.resource != "loop"])

    found = ledger_rows(before, after)

    assert [row.resource for row in found] == ["db-pool", "loop", "cpu", "threadpool"]
    assert (found[0].change.side, found[1].change.side, found[1].before) == ("above", "unknown", None)
    assert found[0].change.ratio == pytest.approx(2.0)


# --- what can be compared --------------------------------------------------------------------------------------------


def renamed(name: str) -> Diagnosis:
    """Return the sample diagnosis with another request."""
    return sample_diagnosis(name)


def closed() -> Diagnosis:
    """Return the sample diagnosis of users."""
    return with_steps(lambda step: replace(step, model="users", users=10, offered_rps=None))


INVALID = Validity("invalid", [Gate("generator-cpu", "fail", 0.97, 0.9, "share", "the load process was full")])


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (side("b", replace(diagnosis_with_goals(), steps=[])), "b has no finished load step"),
        (side("b", closed()), "a was pressed with arrivals per second (open model), b was pressed with users"),
        (side("b", mode="soak"), "a is a search for the limit and b a soak"),
        (side("b", renamed("/orders")), "a made /items/[id], b made /orders: they have no request in common"),
    ],
)
def test_nonsense_is_refused_with_one_sentence(after: Side, said: str) -> None:
    """Nobody did anything wrong while measuring."""
    found = refusal(side("a"), after)

    assert found is not None
    assert found.text.startswith(said)
    assert not found.invalid


def test_an_invalid_measurement_is_refused_with_its_reason() -> None:
    """It says nothing about the app, so nothing about a change of it."""
    found = refusal(side("a"), side("b", replace(diagnosis_with_goals(), validity=INVALID)))

    assert found is not None
    assert (found.text, found.invalid) == ("the measurement of b is invalid: the load process was full", True)


def test_two_runs_of_a_kind_are_not_refused() -> None:
    """Older recordings do not say what kind they are: a search."""
    assert refusal(side("a"), side("b", mode="search")) is None


def test_what_was_changed_is_listed() -> None:
    """Workers, the pool's size, a package; what is the same is not."""
    bigger = with_server(gates=lambda server: {name: replace(pool, size=8.0) for name, pool in server.gates.items()})
    after = side(
        "after",
        bigger,
        **section("target", workers=4),
        versions={"python": "3.11.7", "pinchpoint": "0.1.0", "sqlalchemy": "2.1.9"},
    )

    assert changes(side(), after) == [
        Changed("workers", "2", "4"),
        Changed("size of db-pool postgresql 127.0.0.1:5432/shop", "4", "8"),
        Changed("version of sqlalchemy", None, "2.1.9"),
    ]
    assert changes(side(), side("again")) == []


def test_a_pool_of_another_name_is_told_by_its_kind() -> None:
    """A database on another port is another pool to the app."""
    other = with_server(
        gates=lambda server: dict.fromkeys(["db-pool elsewhere"], *server.gates.values()),
        pools=lambda server: {name: replace(pool, size=8.0) for name, pool in server.pools.items()},
    )

    assert changes(side(), side("after", other)) == [Changed("size of db", "4", "8")]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (side("b", host={"cpus": 8, "kernel": "6.1"}), "The hosts differ (number of CPUs 2 -> 8)"),
        (side("b", **section("load", arrivals="even")), "The load is not the same (gaps between arrivals none -> even"),
        (side("b", **section("slo", p95_ms=300.0)), "The limits differ"),
        (side("b", **section("load", load_cpus=[1])), "Server and load had other CPUs (load: any -> 1)"),
        (side("b", id="other", partial=True, problem="interrupted"), "b is a partial run: interrupted."),
        (side("b", id="other", versions={"pinchpoint": "0.2.0"}), "pinchpoint 0.1.0 measured the one and 0.2.0 the"),
        (side("b", id="other", started_at="2025-12-31T12:00:00+00:00"), "a was measured after b: is the order right?"),
    ],
)
def test_what_makes_a_comparison_doubtful_is_said(after: Side, said: str) -> None:
    """A warning, no refusal: the change may be the very thing that was tried."""
    assert [text for text in warnings(side("a"), after) if text.startswith(said)] != []


def test_the_same_run_twice_and_a_suspect_measurement_are_said() -> None:
    """The sample run is suspect, and here it is compared with itself."""
    assert warnings(side("a"), side("b")) == [
        "Both are the same run: nothing can differ.",
        "The measurement of a is suspect: the collector missed a few ticks.",
        "The measurement of b is suspect: the collector missed a few ticks.",
    ]


def test_a_request_that_only_one_run_made_is_said() -> None:
    """Half of the load was something else."""

    def busier(step: Step) -> Step:
        more = [*step.client.endpoints, EndpointFigures("/search", 10, 0, None)]
        return replace(step, client=replace(step.client, endpoints=more))

    found = warnings(side("a"), side("b", with_steps(busier), id="other"))

    assert "Only one of the runs made these requests: /search." in found


def test_a_few_pages_of_memory_are_no_other_host() -> None:
    """A virtual machine boots with a little more or less."""
    hosts = [{"cpus": 2, "memory_total_bytes": size} for size in (8_000_000_000, 8_050_000_000, 16_000_000_000)]
    before, same, twice = (side(str(index), host=host, id=str(index)) for index, host in enumerate(hosts))

    assert [text for text in warnings(before, same) if "hosts" in text] == []
    assert [text for text in warnings(before, twice) if "hosts" in text] != []
