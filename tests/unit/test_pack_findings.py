"""What the failures of a pack's parts mean: told by their kinds, by how they go with the load, and by names."""

from collections.abc import Mapping, Sequence
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.pack_findings import chance_of_so_few, claimed, moments, request_findings
from pinchpoint.packs import Part
from pinchpoint.records import Finding
from pinchpoint.rows import DigestRow
from support.digest_rows import digest, name_row

Seen = Mapping[str, tuple[int, Mapping[str, int]]]
"""Request name -> (successes, kind of failure -> how many)."""

USER = Part(name="Create User", endpoints=("/users",), presses="")
ORDER = Part(name="Order a Pet", endpoints=("/orders",), presses="")


def second(
    index: float, users: int, seen: Seen, *, scheduled: int = 0, process: int = 0, long_s: float = 1.0
) -> DigestRow:
    """Return the row of one second; without `scheduled` of the users model."""
    row = digest(index, users=users, process=process, scheduled=scheduled, seconds=long_s)
    row["names"] = {name: name_row([2.0] * ok, errors) for name, (ok, errors) in seen.items()}
    return row


def ramp(light: Seen, heavy: Seen) -> list[DigestRow]:
    """Return ten seconds with 11 users, ten on the way and ten with 110."""
    rows = [second(index, 11, light) for index in range(10)]
    rows += [second(index, 60, {}) for index in range(10, 20)]
    return rows + [second(index, 110, heavy) for index in range(20, 30)]


def only(findings: Sequence[Finding]) -> Finding:
    """Return the one finding there is."""
    (found,) = findings
    return found


def test_conflicts_that_need_nobody_to_race_with_are_ids_that_clash() -> None:
    """One request in four at light load as at the peak: 10 of 40, and 100 of 400."""
    found = only(request_findings(ramp({"/users": (3, {"409": 1})}, {"/users": (30, {"409": 10})}), [USER]))

    assert (found.kind, found.value, found.unit, found.location.endpoint) == ("id-conflict", 0.25, "share", "/users")
    assert found.statement == (
        "Create User: 25 % of 440 requests were refused with 409 Conflict: the ids they bring are taken; "
        "it needs nobody to race with: 25 % of 40 at light load (up to 36 users), "
        "25 % of 400 at heavy load (74 users and more). "
        "Give each client ids of its own (UUIDs, or a range), or let the database number them; "
        "the same request again cannot succeed"
    )


def test_conflicts_that_grow_with_the_load_are_races_whatever_the_name() -> None:
    """None of 200 at light load and 40 of 400 at the peak: by chance less than once in a million."""
    found = only(request_findings(ramp({"/users": (20, {})}, {"/users": (36, {"409": 4})}), [USER]))

    assert found.kind == "race"
    assert found.value == pytest.approx(40 / 600)
    assert found.statement == (
        "Create User: 6.67 % of 600 requests were refused with 409 Conflict: "
        "clients wanted the same thing at the same time (a race); its share grows with the load: "
        "0 % of 200 at light load (up to 36 users), 10 % of 400 at heavy load (74 users and more). "
        "Let clients choose again after a 409; the same request again cannot succeed"
    )


@pytest.mark.parametrize(
    ("part", "kind", "reason"),
    [
        (ORDER, "race", "the request claims something (order); too few to tell by: 0 % of 10"),
        (USER, "id-conflict", "the request claims nothing that exists, by its name; too few to tell by: 0 % of 10"),
    ],
)
def test_where_the_figures_do_not_tell_the_name_does(part: Part, kind: str, reason: str) -> None:
    """The seed's order: 4 % of a few, and too little at light load to miss them there."""
    (endpoint,) = part.endpoints
    found = only(request_findings(ramp({endpoint: (1, {})}, {endpoint: (24, {"409": 1})}), [part]))

    assert found.kind == kind
    assert reason in found.statement


def test_one_load_alone_is_said_to_tell_nothing() -> None:
    """As of a step of a search."""
    rows = [second(index, 50, {"/orders": (9, {"409": 1})}) for index in range(5)]

    assert "(order); one load alone cannot tell. Let" in only(request_findings(rows, [ORDER])).statement


def test_in_the_open_model_the_load_is_the_arrivals() -> None:
    """Whatever the number of users, which only follows."""
    rows = [second(index, 50, {"/users": (20, {})}, scheduled=20) for index in range(10)]
    rows += [second(10 + index, 50, {"/users": (36, {"409": 4})}, scheduled=90) for index in range(10)]

    found = only(request_findings(rows, [USER]))

    assert found.kind == "race"
    assert "0 % of 200 at light load (up to 30 requests/s), 10 % of 400 at heavy load (60 requests/s" in found.statement


@pytest.mark.parametrize(
    ("errors", "done"),
    [({"409": 1}, 100), ({"409": 2}, 3000), ({"500": 50}, 100), ({"failed": 9}, 10), ({"503": 1}, 20)],
)
def test_what_says_nothing_is_not_said(errors: dict[str, int], done: int) -> None:
    """One failure, a few in thousands, and kinds that have no such meaning."""
    failed = sum(errors.values())

    assert request_findings([second(0, 10, {"/users": (done - failed, errors)})], [USER]) == []


def test_errors_that_others_survived_in_the_same_second_are_worth_a_retry() -> None:
    """503, 429 and timeouts, most frequent first; a 500 is none of them."""
    errors = {"503": 3, "timeout": 5, "429": 1, "500": 7}
    rows = [second(0, 10, {"/users": (81, errors)}), second(1, 10, {"/users": (0, {"503": 1})})]

    found = only(request_findings(rows, [USER]))

    assert found.kind == "retriable"
    assert found.value == pytest.approx(10 / 98)
    assert found.statement == (
        "Create User: 10.2 % of 98 requests failed in a way that may pass: timeout (5), 503 (4), 429 (1); "
        "90 % of them in seconds in which others like it succeeded, so a retry would have cured most. "
        "Retry with growing, random pauses and a limit, honour Retry-After, and give every POST an idempotency key"
    )


def test_errors_of_an_outage_are_not_said_to_be_cured_by_a_retry() -> None:
    """Nothing else came through then."""
    rows = [second(0, 10, {"/users": (50, {})}), second(1, 10, {"/users": (0, {"connection": 50})})]

    found = only(request_findings(rows, [USER]))

    assert "connection (50); only 0 % of them in seconds" in found.statement
    assert "a retry at once would mostly have failed too" in found.statement


def test_each_part_is_judged_by_its_own_requests_and_the_most_frequent_comes_first() -> None:
    """What users did before their first task, and names of no part, count nowhere."""
    seen: Seen = {
        "/orders": (90, {"409": 4, "503": 6}),
        "/users": (70, {"409": 30}),
        "setup: /users": (0, {"409": 99}),
        "/other": (0, {"409": 99}),
    }

    found = request_findings([second(0, 10, seen)], [ORDER, USER])

    assert [(one.kind, one.location.endpoint) for one in found] == [
        ("id-conflict", "/users"),
        ("retriable", "/orders"),
        ("race", "/orders"),
    ]


def test_without_parts_each_request_name_is_one() -> None:
    """Of any Locust file; logins before the first task stay out."""
    rows = [second(0, 10, {"POST /bookings": (9, {"409": 3}), "setup: /login": (0, {"503": 9})})]

    found = only(request_findings(rows))

    assert (found.kind, found.statement.partition(":")[0]) == ("race", "POST /bookings")


def test_processes_are_added_up_second_by_second() -> None:
    """Users of both; a scrap of a second tells no load."""
    rows = [
        second(0, 10, {"/users": (4, {})}, process=0),
        second(0.01, 12, {"/users": (5, {"409": 1})}, process=1),
        second(1, 3, {"/users": (1, {})}, long_s=0.1),
    ]

    found = moments(rows, ["/users"])

    assert [(one.load, one.ok, one.done) for one in found] == [(22.0, 9, 10), (None, 1, 1)]


def test_nothing_at_all_says_nothing() -> None:
    """No rows, or none of the part."""
    assert request_findings([], [USER]) == []
    assert request_findings([second(0, 10, {})], [USER]) == []


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (("Order a Pet", "/petstore/orders"), "order"),
        (("Pay", "/v1/payments/[id]"), "pay"),
        (("Step 3", "POST /Bookings"), "bookings"),
        (("Create User", "/petstore/users"), None),
        (("Sort", "/borders", "/books"), None),
    ],
)
def test_a_claim_is_known_by_whole_words(texts: tuple[str, ...], word: str | None) -> None:
    """Letter case and plurals do not matter; a word inside another does."""
    assert claimed(texts) == word


def brute_force(light_hits: int, light_all: int, heavy_hits: int, heavy_all: int) -> float:
    """Return the same by counting every way to share the hits out."""
    hits = light_hits + heavy_hits
    ways = [comb(light_all, count) * comb(heavy_all, hits - count) for count in range(min(light_all, hits) + 1)]
    return sum(ways[: light_hits + 1]) / comb(light_all + heavy_all, hits)


@given(st.data())
def test_the_chance_is_fishers(data: st.DataObject) -> None:
    """Against counting, for every small table."""
    light_all, heavy_all = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 60))
    light_hits, heavy_hits = data.draw(st.integers(0, light_all)), data.draw(st.integers(0, heavy_all))
    table = (light_hits, light_all, heavy_hits, heavy_all)

    assert chance_of_so_few(*table) == pytest.approx(min(1.0, brute_force(*table)), rel=1e-9, abs=1e-12)
