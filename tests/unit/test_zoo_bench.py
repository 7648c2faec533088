"""The benches of the zoo: order and rotation, what is done already, what is hidden, and what it adds up to."""

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pinchpoint.app.faults.catalogue import all_cases, tuned

TUNED = next(one for one in all_cases() if tuned(one) and one.kind == "single")
HELD_OUT = next(one for one in all_cases() if not tuned(one) and one.kind == "single")


@pytest.fixture
def bench(checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what imports a module of scripts/bench; files of results go to a folder of the test's own."""
    monkeypatch.syspath_prepend(checkout / "scripts" / "bench")
    monkeypatch.chdir(tmp_path)

    def module(name: str) -> ModuleType:
        return importlib.import_module(name)

    return module


def row(bench: Any, case: Any = TUNED, round_: int = 1, **fields: Any) -> dict[str, Any]:
    """Return the row of a run that found the right answer."""
    answer = case.labels[0]
    said = {
        "verdict": {"class": answer.class_, "cause": answer.cause, "confidence": 0.95, "co_bottlenecks": []},
        "capacity": {"sustainable_rps": 90.0, "saturation_rps": 99.0},
        "baselines": {"longest-queue": ["none", "not-saturated"]},
        "wall_s": 60.0,
        "exit_code": 0,
        "run": "folder",
    }
    return {**bench("zoo_results").stated(case, case.severities[0], round_), "ceiling_rps": 100.0, **said, **fields}


def test_three_rounds_hold_every_case_at_each_of_its_severities(bench: Any) -> None:
    """In an order that the seed decides, and another one each round."""
    turns = bench("zoo").turns(all_cases(), (1, 2, 3), 20)
    by_case: dict[str, list[float]] = {}
    for turn in turns:
        by_case.setdefault(turn.case.name, []).append(turn.severity)
    assert {name: sorted(found) for name, found in by_case.items()} == {
        one.name: sorted(one.severities) for one in all_cases()
    }
    orders = [[turn.case.name for turn in turns if turn.round == one] for one in (1, 2, 3)]
    assert orders[0] != orders[1] != orders[2]
    assert [one.case.name for one in bench("zoo").turns(all_cases(), (1,), 20)] == orders[0]
    assert [one.case.name for one in bench("zoo").turns(all_cases(), (1,), 21)] != orders[0]


def test_a_case_alone_has_the_severity_that_it_has_in_the_whole_round(bench: Any) -> None:
    """So that a round may be made in parts."""
    whole = {turn.case.name: turn.severity for turn in bench("zoo").turns(all_cases(), (2,), 20)}
    alone = bench("zoo").turns([HELD_OUT], (2,), 1)
    assert [turn.severity for turn in alone] == [whole[HELD_OUT.name]]


def test_a_run_is_done_when_its_recording_is_there_and_the_case_is_the_same(bench: Any, tmp_path: Path) -> None:
    """One that was skipped is tried again."""
    results = bench("zoo_results")
    results.append(row(bench, run=str(tmp_path)))
    results.append(row(bench, round_=2, run=str(tmp_path / "gone")))
    results.append(row(bench, round_=3, run=str(tmp_path), fingerprint="another"))
    results.append({**row(bench, HELD_OUT, run=str(tmp_path)), "skipped": "it needs root"})
    assert [results.done(TUNED, one) for one in (1, 2, 3)] == [True, False, False]
    assert results.done(HELD_OUT, 1) is False


def test_a_run_that_the_hypervisor_took_is_made_again_but_not_for_ever(bench: Any, tmp_path: Path) -> None:
    """Whatever was said of it; what it said is kept, so that the page can tell."""
    results, void, held = bench("zoo_results"), [], []
    for share in (0.3, 0.2, None, 0.4, 0.5, 0.6):
        results.append(row(bench, run=str(tmp_path), stolen_share=share))
        held.append(results.done(TUNED, 1))
        void.append(len(results.replaced(all_cases())))
    assert held == [False, False, True, False, False, True]
    assert void == [0, 1, 2, 2, 3, 4]


def test_a_void_run_does_not_count_until_it_was_made_often_enough(bench: Any, tmp_path: Path) -> None:
    """Nor does one of a case that has changed since; one that could not be made is told."""
    results = bench("zoo_results")
    fine, void = row(bench, run=str(tmp_path)), row(bench, run=str(tmp_path), round_=2, stolen_share=0.5)
    changed, skipped = row(bench, round_=3, fingerprint="another"), {**row(bench), "skipped": "it needs root"}
    for again in (False, False, True):
        results.append(void)
        found = results.counting([fine, void, changed, skipped], all_cases())
        assert found == ([fine, void, skipped] if again else [fine, skipped])


def test_what_was_stolen_is_a_share_of_all_cores_from_the_first_sample_to_the_last(bench: Any) -> None:
    """Unknown where the kernel does not tell."""

    def samples(*stolen_s: float | None) -> list[Any]:
        return [
            {"t_s": 10.0 * place, "host": {"cpu_steal_s": one, "per_cpu_busy_s": [1.0, 2.0]}}
            for place, one in enumerate(stolen_s)
        ]

    share = bench("zoo_results").stolen_share
    assert share(samples(5.0, 6.0, 11.0)) == 0.15
    assert [share(samples(*one)) for one in ((), (1.0,), (None, None), (1.0, None))] == [None] * 4


def test_rows_that_a_crash_has_cut_are_left_out(bench: Any) -> None:
    """What was written whole stays; of several rows of one run the last one counts, unless it was skipped."""
    results = bench("zoo_results")
    results.append(row(bench, wall_s=1.0))
    results.append(row(bench, wall_s=2.0))
    results.append({**row(bench), "skipped": "it needs root"})
    with results.RESULTS.open("a") as file:
        file.write('{"case": "cut')
    assert [one["wall_s"] for one in results.latest(results.RESULTS, all_cases())] == [2.0]


def test_what_was_said_of_a_held_out_case_is_shown_only_on_demand(bench: Any) -> None:
    """Rules may not be tuned on it, so nobody should see it by chance."""
    told = bench("zoo").told
    hidden = told(row(bench, HELD_OUT), show=False)
    assert hidden.endswith("recorded in 60 s (held out)")
    assert HELD_OUT.labels[0].cause not in hidden
    assert told(row(bench, HELD_OUT), show=True).startswith("right")
    assert told(row(bench), show=False).startswith("right")
    wrong = {"class": "none", "cause": "not-saturated", "confidence": 0.8, "co_bottlenecks": []}
    assert told(row(bench, verdict=wrong), show=False).startswith("WRONG")


def test_a_label_stands_when_every_severity_was_measured_and_none_was_off(bench: Any) -> None:
    """Of the case as it is now; a generator's label needs no closed loop."""
    labels = bench("zoo_labels")
    mark, whole = labels.fingerprint(TUNED), {f"{one:g}": {"problem": None} for one in TUNED.severities}
    off = {**whole, f"{TUNED.severities[1]:g}": {"problem": "-40 %"}}
    part = {f"{TUNED.severities[0]:g}": {"problem": None}}

    def stands(severities: dict[str, Any], fingerprint: str = mark) -> bool | None:
        entry = {"fingerprint": fingerprint, "problem": None, "severities": severities}
        found: bool | None = labels.valid(TUNED, {TUNED.name: entry})
        return found

    assert (stands(whole), stands(off), stands(part), stands(whole, "another")) == (True, False, None, None)
    assert labels.valid(TUNED, {}) is None
    generator = next(one for one in all_cases() if one.kind == "generator")
    assert labels.valid(generator, {}) is True


def test_a_ceiling_is_right_within_fifteen_percent_and_a_cure_gives_a_quarter_more(bench: Any) -> None:
    """Where memory runs out, growth per request or a death stands for that."""
    labels = bench("zoo_labels")

    def measured(rate: float, grown: float = 0.0, *, died: bool = False) -> Any:
        return labels.Measured(rate, 400, 0, 10.0, 0.1, 1.0, grown, died)

    expected = TUNED.ceiling_rps(1.0) if TUNED.ceiling_rps else 0.0
    judge = labels._judge
    assert judge(TUNED, 1.0, measured(expected * 0.86), measured(expected * 1.3)).problem is None
    assert "off the ceiling" in judge(TUNED, 1.0, measured(expected * 0.84), measured(expected * 2)).problem
    assert "only 1.20 times" in judge(TUNED, 1.0, measured(expected), measured(expected * 1.2)).problem
    leak = next(one for one in all_cases() if one.name == "leak-async")
    cured = measured(1000.0, 10.0)
    cure = labels._cure
    assert cure(leak, None, measured(1000.0, 60_000.0), cured) is None
    assert cure(leak, None, measured(1000.0, died=True), cured) is None
    assert "memory grows" in cure(leak, None, measured(1000.0, 20.0), cured)


def test_few_answers_are_counted_by_their_slope(bench: Any) -> None:
    """Ten at once every 100 ms are 100 per second, wherever the window cuts them."""
    rate_of = bench("zoo_press").rate_of
    grouped = [0.1 * group + 0.0001 * one for group in range(1, 31) for one in range(10)]
    assert rate_of(grouped, 0.0, 3.05) == pytest.approx(100.0, rel=0.02)
    assert rate_of([0.001 * one for one in range(1, 1000)], 0.0, 1.0) == pytest.approx(999.0)
    assert rate_of([], 0.0, 4.0) == 0.0


def test_the_figures_leave_out_cases_whose_label_does_not_stand(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And say how many those are."""
    figures = bench("zoo_figures")
    monkeypatch.setattr(figures, "discarded", lambda _: {HELD_OUT.name: "its label was not checked as it is now"})
    rows = [row(bench), row(bench, HELD_OUT, verdict=None)]
    found = {one.name: one for one in figures.figures(rows, all_cases())}
    assert found["single: class right (1 of 1)"].value == 1.0
    assert found["capacity within 10% of the ceiling (1 of 1)"].ok is True
    left_out = found["cases left out: label does not stand, or not checked"]
    assert (left_out.value, left_out.ok) == (1.0, False)
    assert found["longest-queue: cause right (0 of 1)"].value == 0.0


def test_results_are_json_lines_of_the_agreed_fields(bench: Any) -> None:
    """Others read them."""
    results = bench("zoo_results")
    results.append(row(bench))
    (line,) = results.RESULTS.read_text().splitlines()
    wanted = {"case", "family", "kind", "half", "severity", "round", "labels", "verdict", "capacity", "ceiling_rps"}
    wanted |= {"second_rps", "wall_s", "exit_code", "run", "baselines"}
    assert wanted <= set(json.loads(line))
