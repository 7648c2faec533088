"""A sweep without servers: order, repeats, budget, failures, Ctrl-C, and what lands in its table."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.cooldown import Rest, cool_down
from pinchpoint.commands.knobs import Knob
from pinchpoint.commands.run import RunResult
from pinchpoint.commands.sweep import SweepResult, order, run_sweep, split_budget
from pinchpoint.errors import ExitCode, TargetError, UsageError
from support.sweep_runs import Runs, failed, ran, report

WORKERS = Knob("workers", (1, 2, 3))
QUIET = Rest(1.2, 0.02, quiet=True)


def swept(
    tmp_path: Path, runs: Runs, knob: Knob = WORKERS, repeats: int | None = None, **config: Any
) -> tuple[SweepResult, str]:
    """Return a sweep over made-up runs, and what it said."""
    out = io.StringIO()
    console = Console(file=out, width=200)
    whole = RunConfig(**{"budget_s": 90.0, "root": tmp_path, **config})
    return run_sweep(whole, knob, repeats, console, 2, execute=runs, rest=lambda: QUIET), out.getvalue()


def scales(config: RunConfig, _: int) -> RunResult:
    """80 requests/s for each worker."""
    assert config.out is not None
    return ran(config.out, report(80.0 * config.workers))


@pytest.mark.parametrize(
    ("budget_s", "asked", "expected"),
    [
        (90, None, (3, 30)),
        (300, None, (3, 100)),
        (60, None, (2, 30)),
        (59, None, (1, 59)),
        (20, None, (1, 20)),
        (100, 5, (5, 20)),
    ],
)
def test_the_budget_of_a_value_is_split_into_repeats_of_30_s(
    budget_s: float, asked: int | None, expected: tuple[int, float]
) -> None:
    """Three at most, unless asked for."""
    assert split_budget(budget_s, asked) == expected


def test_repeats_that_leave_a_run_too_little_are_refused() -> None:
    """With the way out: what --budget is for."""
    with pytest.raises(UsageError, match=r"leaves 10 s for each run.*--budget is for all runs of one value"):
        split_budget(30, 3)


def test_each_repeat_is_a_block_with_an_order_of_its_own() -> None:
    """Every value once a block; the same seed gives the same order, another one another."""
    turns = order((1, 2, 3, 4), 6, seed=5)
    blocks = [[turn.value for turn in turns if turn.repeat == repeat] for repeat in range(1, 7)]

    assert [sorted(block) for block in blocks] == [[1, 2, 3, 4]] * 6
    assert [turn.repeat for turn in turns] == sorted(turn.repeat for turn in turns)
    assert len({tuple(block) for block in blocks}) > 1
    assert order((1, 2, 3, 4), 6, seed=5) == turns
    assert order((1, 2, 3, 4), 6, seed=6) != turns


def test_every_run_gets_its_share_and_the_same_cpus(tmp_path: Path) -> None:
    """Nine runs of 30 s in folders of their own; no profiles; one split of the cores, that of the largest count."""
    runs = Runs(scales)
    result, said = swept(tmp_path, runs)

    assert {config.budget_s for config in runs.configs} == {30.0}
    assert len({config.out for config in runs.configs}) == 9
    assert len({(config.server_cpus, config.load_cpus) for config in runs.configs}) == 1
    assert {config.pin or config.profile or config.aftermath for config in runs.configs} == {False}
    enough = len(os.sched_getaffinity(0)) > 3
    assert (result.sweep["cpus"]["load"] is not None) == enough
    assert "run 1 of 9: " in said
    assert "repeat 3 of 3; at most 30 s left; quiet after 1.2 s" in said


def test_the_table_is_written_after_every_run(tmp_path: Path) -> None:
    """A sweep that is killed keeps what it has."""
    seen: list[int] = []

    def look(config: RunConfig, number: int) -> RunResult:
        stored = list(tmp_path.glob("*-sweep-workers/sweep.json"))
        seen.append(sum(len(row["repeats"]) for row in json.loads(stored[0].read_text())["rows"]) if stored else 0)
        return scales(config, number)

    result, _ = swept(tmp_path, Runs(look), repeats=1)
    assert seen == [0, 1, 2]
    assert json.loads((result.folder / "sweep.json").read_text()) == result.sweep
    assert (result.folder / "sweep.md").read_text().startswith("# 3 workers")
    assert (result.folder / "sweep.html").stat().st_size > 1_000_000


def test_a_run_that_fails_stays_in_the_table_and_the_sweep_goes_on(tmp_path: Path) -> None:
    """With its reason; its value is judged by the runs that count."""

    def sometimes(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        if config.workers == 2 and str(config.out).endswith("r1"):
            return failed(config.out, ExitCode.TARGET_FAILED, "the target exited with code 1")
        if config.workers == 3:
            return ran(config.out, report(500.0, valid=False))
        return scales(config, number)

    result, said = swept(tmp_path, Runs(sometimes))
    rows = {row["value"]: row for row in result.sweep["rows"]}

    assert result.exit_code == ExitCode.DONE
    assert (rows[2]["counted"], rows[2]["sustainable_rps"]) == (2, pytest.approx(160))
    assert rows[2]["repeats"][0]["problem"] == "the target exited with code 1"
    assert rows[2]["repeats"][0]["exit_code"] == 4
    assert (rows[3]["counted"], rows[3]["validity"], rows[3]["sustainable_rps"]) == (0, "invalid", None)
    assert rows[3]["problem"] == "invalid: the generator's core was full"
    assert result.sweep["best"]["value"] == 2
    assert "this run does not count: the target exited with code 1" in said


def test_an_error_that_a_run_raises_costs_that_run_only(tmp_path: Path) -> None:
    """A port that somebody took in the meantime."""

    def taken(config: RunConfig, number: int) -> RunResult:
        if number == 2:
            raise TargetError("port 8000 is taken")
        return scales(config, number)

    result, _ = swept(tmp_path, Runs(taken), repeats=1)
    assert sorted(row["counted"] for row in result.sweep["rows"]) == [0, 1, 1]


def test_what_makes_no_sense_from_the_start_is_raised(tmp_path: Path) -> None:
    """The first run's usage error is everybody's."""

    def refuse(config: RunConfig, number: int) -> RunResult:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        swept(tmp_path, Runs(refuse))


def test_without_any_valid_run_the_first_failure_is_told(tmp_path: Path) -> None:
    """And its exit code is the sweep's; nothing is recommended."""

    def never(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        return failed(config.out, ExitCode.TARGET_FAILED, "no module named shop")

    runs = Runs(never)
    result, said = swept(tmp_path, runs)
    assert len(runs.configs) == 3  # a second round would go no better
    assert "none is tried again" in said
    assert (result.exit_code, result.problem) == (ExitCode.TARGET_FAILED, "no run counts: no module named shop")
    assert result.sweep["best"] is None


def test_ctrl_c_keeps_what_is_there(tmp_path: Path) -> None:
    """In a run, whose partial figures do not count, as between two runs."""

    def interrupted(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        if number == 3:
            return replace(ran(config.out, report(10.0)), exit_code=ExitCode.INTERRUPTED, problem="interrupted")
        return scales(config, number)

    result, _ = swept(tmp_path, Runs(interrupted))
    trials = [one for row in result.sweep["rows"] for one in row["repeats"]]
    assert (result.exit_code, result.problem) == (ExitCode.INTERRUPTED, "interrupted")
    assert sorted(one["counted"] for one in trials) == [False, True, True]
    assert result.sweep["runs_asked"] == 9

    def between(config: RunConfig, number: int) -> RunResult:
        if number == 2:
            raise KeyboardInterrupt
        return scales(config, number)

    result, _ = swept(tmp_path, Runs(between))
    assert result.exit_code == ExitCode.INTERRUPTED
    assert json.loads((result.folder / "sweep.json").read_text())["best"]["value"] in {1, 2, 3}


def test_an_app_that_scales_and_one_that_does_not(tmp_path: Path) -> None:
    """The largest count of those tried while the curve rises; one worker where the others bring nothing."""

    def shared(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        return ran(config.out, report(97.0 + number % 3))

    rising, _ = swept(tmp_path, Runs(scales), repeats=2)
    flat, _ = swept(tmp_path, Runs(shared), repeats=1)

    assert rising.sweep["best"]["value"] == rising.sweep["best"]["workers"] == 3
    assert rising.sweep["best"]["still_rises"] is True
    assert rising.sweep["scaling"]["model"] == "ceilings"  # six runs: enough for AICc
    assert rising.sweep["scaling"]["each_rps"] == pytest.approx(80)
    assert (flat.sweep["best"]["value"], flat.sweep["best"]["still_rises"]) == (1, False)
    assert flat.sweep["rule_of_thumb"] == 5


def test_a_value_that_never_reached_its_limit_is_a_lower_bound(tmp_path: Path) -> None:
    """It is said, and a smaller value is not held to be worse for it."""

    def capped(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        return ran(config.out, report(80.0 * config.workers, reached=config.workers != 1))

    result, _ = swept(tmp_path, Runs(capped), repeats=1)
    assert result.sweep["best"]["value"] == 1
    assert any("lower bounds" in note for note in result.sweep["notes"])


def test_a_limit_lies_below_what_broke_and_below_the_plateau(tmp_path: Path) -> None:
    """160/s broke, yet no more than 84/s were ever served: 80/s is the limit within 10 %, not within 100 %."""

    def coarse(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        return ran(config.out, report(80.0 * config.workers, bracket=2.0))

    result, _ = swept(tmp_path, Runs(coarse), repeats=1)
    assert [row["resolution"] for row in result.sweep["rows"]] == pytest.approx([1.05**2] * 3)
    assert result.sweep["best"]["value"] == 3
    assert (
        "some runs were too short to find the limit closer than 10 %; a longer --budget does" in result.sweep["notes"]
    )


def test_names_and_variables_are_swept_without_a_law(tmp_path: Path) -> None:
    """Worker classes have no order, and twice a cache's time to live is not twice anything."""

    def classes(config: RunConfig, number: int) -> RunResult:
        assert config.out is not None
        return ran(config.out, report({"sync": 100.0, "gthread": 150.0}.get(str(config.worker_class), 120.0)))

    result, _ = swept(
        tmp_path, Runs(classes), Knob("worker-class", ("sync", "gthread")), repeats=1, target="json:loads"
    )
    assert (result.sweep["best"]["value"], result.sweep["scaling"], result.sweep["rule_of_thumb"]) == (
        "gthread",
        None,
        None,
    )
    varied, _ = swept(tmp_path, Runs(classes), Knob("TTL", (1, 2, 3), "TTL"), repeats=1)
    assert (varied.sweep["scaling"], varied.sweep["best"]["value"]) == (None, 1)
    assert varied.sweep["rows"][0]["label"] == "TTL=1"


def test_the_cool_down_waits_for_a_quiet_second() -> None:
    """A core and a half is busy for 2 s, then nothing is."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    rest = cool_down(lambda: 1.5 * min(now, 2.0), cores=2, clock=lambda: now, sleep=sleep)
    assert (rest.quiet, rest.seconds) == (True, 3.0)


def test_the_cool_down_ends_on_a_machine_that_is_never_quiet() -> None:
    """After 10 s, and says so."""
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    rest = cool_down(lambda: 0.6 * now, cores=2, clock=lambda: now, sleep=sleep)
    assert (rest.quiet, rest.seconds) == (False, 10.0)
    assert str(rest) == "not quiet after 10 s: 30% of the cores' time is in use"
