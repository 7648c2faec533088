"""The checklist's lines of endpoints and loads on recordings with a known truth: each limit crossed, each gap told."""

from pathlib import Path

import pytest

from pinchpoint.diagnosis.checklist.endpoints import (
    AUTHENTICATION,
    CREATION,
    HEALTH,
    LISTING,
    ROOT,
    requirement,
    served_methods,
)
from pinchpoint.diagnosis.checklist.evidence import Evidence, Run, checklist, held_arrivals
from pinchpoint.diagnosis.checklist.lines import graded, worst
from pinchpoint.diagnosis.checklist.windows import windows
from support.checklist_runs import LIMITS, Shop, lines, statuses
from support.digest_rows import START_S, name_row
from support.sample_run import sample_diagnosis, sample_recording
from support.synthetic_soak import Steeped

PEAK, BEYOND = "the expected peak", "peak + 50 %"
GET, POST = frozenset({"GET"}), frozenset({"POST"})


# --- the whole --------------------------------------------------------------------------------------------------------


def test_a_healthy_app_has_a_line_for_every_item_in_order() -> None:
    """Only what nobody looked at is not measured: no soak, no metrics."""
    found = lines()

    assert [line.item for line in found.values()] == sorted(line.item for line in found.values())
    assert {line.item for line in found.values()} == set(range(1, 9))
    missing = {name for name, line in found.items() if line.status == "not measured"}
    assert missing == {"Memory leak", "Anything else that grows", "Limits throughout the soak", "Cache hit rate"}
    assert {line.status for name, line in found.items() if name not in missing} == {"ok"}
    assert [line.name for line in found.values() if line.status == "ok" and line.todo] == []


def test_the_same_recording_gives_the_same_lines() -> None:
    """Nothing else is looked at."""
    run = Shop().run()

    assert checklist(Evidence(LIMITS, load=run)) == checklist(Evidence(LIMITS, load=run))


def test_each_load_is_looked_at_without_its_first_second() -> None:
    """Users dial and the jump's queue drains in it."""
    found = windows(Shop().recording())

    assert [(one.offered_rps, one.t0_s - START_S, one.seconds) for one in found] == [
        (10.0, 1.0, 5.0),
        (40.0, 7.0, 8.0),
        (60.0, 16.0, 8.0),
    ]
    assert [one.client.figures.ok for one in found] == [50, 320, 480]


def test_an_invalid_measurement_says_so_on_every_line_that_rests_on_the_load() -> None:
    """Statements per request and a statement's time are ratios, and stay."""
    found = lines(load=Shop().run(invalid="the load process used its whole core"))

    why = "the measurement does not count: the load process used its whole core"
    void = [name for name, line in found.items() if line.how == why]
    assert void == [
        "Endpoints at light load",
        "Endpoint latencies",
        f"Throughput at {PEAK}",
        f"Throughput at {BEYOND}",
        "CPU, memory, connections",
        f"Errors at {PEAK}",
        f"Errors at {BEYOND}",
    ]
    assert statuses(found, *void) == ["not measured"] * len(void)
    assert statuses(found, "Statements per request (N+1)", "Slow queries") == ["ok", "ok"]


def test_without_any_load_every_line_says_why() -> None:
    """The reason of the one who knows it."""
    found = lines(load=None, no_load="the target did not start", no_soak="the run before it failed")

    assert {line.status for line in found.values()} == {"not measured"}
    assert {line.item: line.how for line in found.values()} == {
        **dict.fromkeys((1, 2, 3, 4, 6, 7, 8), "the target did not start"),
        5: "the run before it failed",
    }


def test_a_recording_without_stages_has_no_windows() -> None:
    """A run that was ended before its profile began."""
    run = Run(Steeped().recording(), sample_diagnosis())

    assert windows(run.recording) == []
    assert lines(load=run)["Endpoint latencies"].how == "the load ended before it began to count"


# --- endpoints --------------------------------------------------------------------------------------------------------


def test_endpoints_are_held_to_their_row_of_the_table() -> None:
    """20 ms of 200 for a read, 60 ms of 500 for a create, over five seconds at 10/s."""
    found = lines()
    read, create = found["/items/[id]"], found["/items/create"]

    assert read.value == pytest.approx(20.0, rel=1e-3)
    assert create.value == pytest.approx(60.0, rel=1e-3)
    assert (read.limit, create.limit) == (200.0, 500.0)
    assert (read.shown, read.limit_shown) == ("20 ms mean, 20 ms max", "< 200 ms mean, < 1 s max")
    assert create.limit_shown == "< 500 ms mean, < 2 s max"
    assert read.how == "25 answers at 10/s, timed by the clients; held to the row 'list operations': GET"
    assert found["Endpoints at light load"].shown == "40 ms mean over 2 endpoints"


def test_an_endpoint_that_is_too_slow_without_load_fails() -> None:
    """By its mean, whatever its single answers were."""
    found = lines(Shop(latency_ms={"/items/[id]": 200.0, "/items/create": 499.0}))

    assert statuses(found, "/items/[id]", "/items/create") == ["failed", "ok"]
    assert found["/items/[id]"].todo.startswith("Slow without load")


def test_an_endpoint_that_only_fails_is_a_failure_and_one_asked_too_rarely_is_not_measured() -> None:
    """None of 25 answered is no mean, and says enough."""
    broken = Shop().run()
    for row in broken.recording.digests:
        row["names"] = {"/items/[id]": name_row((), {"HTTP 500": 5})}
    broken.recording.digests[2]["names"]["/rare"] = name_row([20.0] * 4)
    found = lines(load=broken)

    assert statuses(found, "/items/[id]", "/rare") == ["failed", "not measured"]
    assert found["/items/[id]"].shown == "none of 25 answered well"
    assert found["/rare"].how == "only 4 good answers at 10/s, and a mean needs 5"


def test_failures_at_light_load_ask_for_attention() -> None:
    """However fast the others are."""
    found = lines(Shop(failures={10.0: 1}))

    assert (found["/items/[id]"].status, found["/items/create"].status) == ("attention", "ok")
    assert found["/items/[id]"].shown == "20 ms mean, 20 ms max; 5 more failed"


@pytest.mark.parametrize(
    ("name", "methods", "row"),
    [
        ("/health", GET, HEALTH),
        ("GET /api/v1/readyz", frozenset(), HEALTH),
        ("/", GET, ROOT),
        ("http://127.0.0.1:8000", GET, ROOT),
        ("/auth/login", POST, AUTHENTICATION),
        ("/register", POST, AUTHENTICATION),
        ("/authors", GET, LISTING),
        ("/items/[id]", GET, LISTING),
        ("/items?limit=20", GET, LISTING),
        ("/orders", frozenset({"GET", "POST"}), CREATION),
        ("DELETE /orders/{id}", frozenset(), CREATION),
        ("Create Pet", POST, CREATION),
        ("/whatever", frozenset(), CREATION),
        ("//[", frozenset(), CREATION),
    ],
)
def test_an_endpoint_finds_its_row_by_path_and_method(name: str, methods: frozenset[str], row: object) -> None:
    """What is not known is held to the looser limit, and says so."""
    found, why = requirement(name, methods)

    assert found == row
    assert (why == "its method is not known") == (name in {"/whatever", "//["})


def test_the_servers_routes_tell_a_names_methods() -> None:
    """Whatever either of them writes for an id."""
    routes = ["GET /items/{item_id}", "PUT /items/{item_id}", "GET /items/", "POST /items/", "(other)"]

    assert served_methods("/items/[id]", routes) == {"GET", "PUT"}
    assert served_methods("/items/42", routes) == {"GET", "PUT"}
    assert served_methods("/items", routes) == {"GET", "POST"}
    assert served_methods("/items/create", routes) == frozenset()
    assert lines(methods={})["/items/[id]"].limit_shown == LISTING.shown


# --- load -------------------------------------------------------------------------------------------------------------


def test_a_load_that_is_served_has_exact_figures() -> None:
    """40 requests a second, half of them 20 and half 60 ms long, none failed."""
    found = lines()

    served = found[f"Throughput at {PEAK}"]
    assert (served.value, served.status) == (40.0, "ok")
    assert served.how == "0 of 320 arrivals left waiting in 8 s at 40/s (open model)"
    assert found[f"p95 at {PEAK}"].value == pytest.approx(60.0, rel=1e-3)
    assert found[f"p95 at {BEYOND}"].limit_shown == "< 500 ms, acceptable < 1 s"
    assert found[f"p99 at {BEYOND}"].limit_shown == "< 1 s, acceptable < 2 s"
    assert found[f"Errors at {BEYOND}"].shown == "0 % of 480 requests"


@pytest.mark.parametrize(
    ("took_ms", "expected"), [(490.0, ["ok", "ok"]), (990.0, ["attention", "ok"]), (1500.0, ["failed", "attention"])]
)
def test_latency_is_judged_by_target_and_acceptable(took_ms: float, expected: list[str]) -> None:
    """At the load where it happens, and there only."""
    found = lines(Shop(slow_ms={60.0: took_ms}))

    assert statuses(found, f"p95 at {BEYOND}", f"p99 at {BEYOND}") == expected
    assert found[f"p95 at {PEAK}"].status == "ok"


@pytest.mark.parametrize(("left", "expected"), [(0, "ok"), (1, "ok"), (2, "attention"), (4, "failed")])
def test_arrivals_left_waiting_say_that_a_load_is_not_served(left: int, expected: str) -> None:
    """Up to 5 % of 40 a second; beyond 10 % it has failed."""
    found = lines(Shop(left={40.0: left}))[f"Throughput at {PEAK}"]

    assert found.status == expected
    assert found.how.startswith(f"{left * 8} of 320 arrivals")


def test_errors_are_judged_by_target_and_acceptable() -> None:
    """One in 481 a second is above 0.1 % and below 1 %; one in 41 is above both."""
    one = Shop().run()
    one.recording.digests[20] = Shop(failures={60.0: 1}).run().recording.digests[20]
    found = lines(load=one)
    many = lines(Shop(failures={40.0: 1}))

    assert found[f"Errors at {BEYOND}"].status == "attention"
    assert found[f"Errors at {BEYOND}"].value == pytest.approx(1 / 481)
    assert many[f"Errors at {PEAK}"].status == "failed"
    assert many[f"Errors at {PEAK}"].how.endswith(": HTTP 503 (8)")


@pytest.mark.parametrize(
    ("dies_after_s", "failed", "missing"),
    [
        (5.0, "light load", [PEAK, BEYOND]),
        (7.0, PEAK, [BEYOND]),
        (12.0, PEAK, [BEYOND]),
        (20.0, BEYOND, []),
    ],
)
def test_a_target_that_dies_fails_the_load_it_died_under(dies_after_s: float, failed: str, missing: list[str]) -> None:
    """Also where it had hardly begun; what came after it was not measured."""
    found = lines(Shop(dies_after_s=dies_after_s))

    assert [name for name, line in found.items() if line.status == "failed"] == [f"Throughput at {failed}"]
    assert found[f"Throughput at {failed}"].how == "the target exited"
    assert statuses(found, *(f"Throughput at {name}" for name in missing)) == ["not measured"] * len(missing)
    assert ("CPU" in found) == (failed == BEYOND)


# --- small parts ------------------------------------------------------------------------------------------------------


def test_a_grade_has_two_edges_and_nothing_is_always_fine() -> None:
    """Below the first it is ok, from the second on it has failed."""
    assert [graded(value, 1.0, 2.0) for value in (0.9, 1.0, 1.9, 2.0)] == ["ok", "attention", "attention", "failed"]
    assert graded(0.0, 0.0, 0.0) == "ok"
    assert worst("ok", "not measured", "attention") == "attention"


def test_the_peak_comes_from_the_highest_load_that_held() -> None:
    """In arrivals, as the schedule counts them."""
    run = Run(sample_recording(Path()), sample_diagnosis())

    assert held_arrivals(run) == 94.0
