"""Cases of pools and servers: the arithmetic that they state, and what their words say."""

import pytest

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.cases import pools, servers
from pinchpoint.app.faults.catalogue import tuned

CASES = {case.name: case for case in (*pools.CASES, *servers.CASES)}


def option(words: tuple[str, ...], name: str) -> int:
    """Return the number behind an option."""
    return int(words[words.index(name) + 1])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_ceiling_falls_with_severity_and_the_next_wall_lies_above(case: Case) -> None:
    """A fault costs in proportion, and its cure raises the capacity by a quarter at least."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    light, middle, severe = case.severities
    assert case.ceiling_rps(light) > case.ceiling_rps(middle) > case.ceiling_rps(severe) > 15
    assert all(case.second_rps(one) >= 1.25 * case.ceiling_rps(one) for one in case.severities)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_is_a_pool_of_one_of_the_known_families(case: Case) -> None:
    """`tuned` raises for a family of neither half."""
    assert [label.class_ for label in case.labels] == ["pool"]
    assert tuned(case) in {True, False}


def test_forty_tokens_kept_for_a_tenth_of_a_second_serve_four_hundred() -> None:
    """The textbook figure, less what waking a thread costs."""
    ceiling = CASES["threadpool-sleep"].ceiling_rps
    assert ceiling is not None
    assert ceiling(1.0) == pytest.approx(400, rel=0.02)


def test_the_admission_limit_keeps_as_many_connections_as_are_let_in() -> None:
    """Uvicorn refuses the Nth connection, so N - 1 are served; the closed loop has twice as many."""
    for name in ("concurrency-limit", "concurrency-limit-threads"):
        case = CASES[name]
        assert option(case.target, "--limit-concurrency") == case.connections / 2 + 1
        assert case.cured_target is not None
        assert "--limit-concurrency" not in case.cured_target


def test_the_short_accept_queues_are_what_the_arithmetic_says() -> None:
    """Linux keeps one more than the backlog; with the one in service that makes backlog + 2 places."""
    assert option(CASES["backlog"].target, "--backlog") + 2 == 3
    assert option(CASES["backlog-bursts"].target, "--backlog") + 2 == 7


def test_the_default_executor_has_the_threads_that_python_gives_it() -> None:
    """Never more than 32."""
    assert 5 <= pools.default_executor() <= 32
