"""Cases with more than one wall, and of generators: their arithmetic, their labels, their Locust files."""

import ast
from pathlib import Path

import pytest

from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.cases import generators, mixed
from pinchpoint.app.faults.catalogue import tuned

MIXED = {case.name: case for case in mixed.CASES}
GENERATORS = {case.name: case for case in generators.CASES}
TIE = 1.1


def of(family: str) -> list[Case]:
    """Return the cases of a family."""
    return [case for case in mixed.CASES if case.family == family]


@pytest.mark.parametrize("case", [*MIXED.values(), *GENERATORS.values()], ids=[*MIXED, *GENERATORS])
def test_every_case_is_of_a_known_family(case: Case) -> None:
    """`tuned` raises for a family of neither half."""
    assert case.family.startswith((case.kind, "generator"))
    assert tuned(case) in {True, False}


@pytest.mark.parametrize("case", MIXED.values(), ids=MIXED)
def test_the_ceiling_falls_with_severity_and_stays_within_what_a_run_can_see(case: Case) -> None:
    """Between 20 and 800 requests per second."""
    assert case.ceiling_rps is not None
    light, middle, severe = (case.ceiling_rps(one) for one in case.severities)
    assert 800 > light > middle > severe > 20


@pytest.mark.parametrize("case", [*of("mixed-equal"), *of("mixed-alternating")], ids=lambda case: case.name)
def test_equal_walls_are_within_a_tenth_of_each_other_at_every_severity(case: Case) -> None:
    """Both bind, so both are the label; and both would have to grow."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    for severity in case.severities:
        first, second = sorted((case.ceiling_rps(severity), case.second_rps(severity)))
        assert second <= TIE * first
    assert len(case.labels) == 2


@pytest.mark.parametrize("case", of("mixed-masked"), ids=lambda case: case.name)
def test_a_masked_wall_lies_a_quarter_above_the_first_at_least(case: Case) -> None:
    """Only the first binds; behind it comes the one that is named as the next wall."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    assert all(case.second_rps(one) >= 1.25 * case.ceiling_rps(one) for one in case.severities)
    assert len(case.labels) == 1


@pytest.mark.parametrize("case", of("mixed-nested"), ids=lambda case: case.name)
def test_what_is_full_only_because_of_what_is_behind_it_is_no_label(case: Case) -> None:
    """The root alone, and never a pool or slots."""
    assert [label.class_ for label in case.labels] != ["pool"]
    assert len(case.labels) == 1


def test_routes_of_a_mix_are_pressed_alike() -> None:
    """Half of the requests each is what the arithmetic assumes."""
    for case in (*of("mixed-equal"), MIXED["alternating-routes"]):
        assert case.load[::2] == ("--get", "--get")
        assert len(set(case.load[1::2])) == 2


def test_no_case_pairs_a_core_with_something_else_as_equals() -> None:
    """A virtual core's speed changes by more than a tenth within minutes."""
    paired = [case for case in mixed.CASES if len(case.labels) > 1]
    assert paired
    assert not [case.name for case in paired if any(label.class_ == "cpu" for label in case.labels)]


@pytest.mark.parametrize("case", GENERATORS.values(), ids=GENERATORS)
def test_a_generators_case_accuses_the_generator_and_states_no_ceiling(case: Case) -> None:
    """What the app could do nobody finds out."""
    assert [(label.class_, label.cause) for label in case.labels] == [("generator", "generator-bound")]
    assert case.ceiling_rps is None
    assert (case.keeps is not None) == (case.family == "generator-quota")


def test_the_locust_files_are_there_and_hold_a_user() -> None:
    """Read, not imported: importing locust replaces this process's sockets and threads."""
    files = [Path(case.load[1]) for case in generators.CASES if case.family == "generator-file"]
    assert len(files) == 3
    for file in files:
        classes = [node for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
        assert [ast.unparse(one.bases[0]).endswith("HttpUser") for one in classes] == [True]
