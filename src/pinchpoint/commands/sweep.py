"""`pinchpoint sweep`: the same load for each value of one knob, in random order and repeated, and the value to choose.

Every repeat is a block that holds each value once, in an order of its own (randomised multiple interleaved trials,
METHOD §1.8): a machine that warms up or slows down then favours nobody.
"""

import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import SHORTEST_BUDGET_S, RunConfig, check_dwell, split_cpus
from pinchpoint.commands.cooldown import Rest, cool_down
from pinchpoint.commands.knobs import WORKERS, Knob, Value
from pinchpoint.commands.run import RunResult, execute, interruptible, run_id
from pinchpoint.commands.sweep_table import Sweep, sweep_table, trial
from pinchpoint.errors import ExitCode, Interrupted, PinchpointError, UsageError
from pinchpoint.recording import new_run_folder, write_json
from pinchpoint.report.sweep import sweep_markdown
from pinchpoint.report.sweep_page import sweep_html
from pinchpoint.report.write import write_text

SWEEP_FILE, SWEEP_MARKDOWN, SWEEP_HTML = "sweep.json", "sweep.md", "sweep.html"
RUN_S = 30.0
"""A repeat gets no less when the budget is split: a shorter run finds the limit only coarsely."""
MOST_REPEATS = 3
"""Three tell noise from gain; a longer budget is better spent on longer runs."""
_REST_S = 2.0
"""What a cool-down is taken for before one was seen."""

Execute = Callable[[RunConfig, Console], RunResult]


@dataclass(frozen=True)
class SweepResult:
    """The table of a sweep and the exit code it earned."""

    sweep: Sweep
    folder: Path
    exit_code: ExitCode
    problem: str | None = None


@dataclass(frozen=True)
class Turn:
    """One run of a sweep."""

    value: Value
    repeat: int
    """From 1."""


def split_budget(budget_s: float, repeats: int | None) -> tuple[int, float]:
    """Return the repeats of each value and the seconds of each.

    Raises:
        UsageError: so many repeats leave none of them enough time.

    """
    if repeats is None:
        repeats = max(1, min(MOST_REPEATS, int(budget_s // RUN_S)))
    if budget_s / repeats < SHORTEST_BUDGET_S:
        raise UsageError(
            f"--repeats {repeats} leaves {budget_s / repeats:.0f} s for each run, and a run needs "
            f"{SHORTEST_BUDGET_S:.0f} s: --budget is for all runs of one value"
        )
    return repeats, budget_s / repeats


def order(values: Sequence[Value], repeats: int, seed: int) -> list[Turn]:
    """Return all runs: block after block, each with every value once in an order of its own."""
    shuffler = random.Random(seed)  # noqa: S311 - an order, not a secret
    turns = []
    for repeat in range(1, repeats + 1):
        block = list(values)
        shuffler.shuffle(block)
        turns += [Turn(value, repeat) for value in block]
    return turns


def run_sweep(
    config: RunConfig,
    knob: Knob,
    repeats: int | None,
    console: Console,
    cores: int,
    execute: Execute = execute,
    rest: Callable[[], Rest] = cool_down,
) -> SweepResult:
    """Run every value as often as asked for, and compare.

    A run that fails stays in the table with its reason. Ctrl-C ends the sweep with what is there.

    Raises:
        UsageError: the configuration makes no sense; nothing was started.

    """
    repeats, run_s = split_budget(config.budget_s, repeats)
    check_dwell(config.dwell_s, run_s)
    config = replace(_pinned(config, knob), budget_s=run_s, profile=False, aftermath=False)
    validated(knob.turned(config, knob.values[0]))
    folder = new_run_folder(config.root, _sweep_id(knob), config.out, force=config.force, latest=False)
    live = _Live(config, knob, repeats, folder, cores, console, execute, rest)
    try:
        with interruptible():
            live.run()
    except (Interrupted, KeyboardInterrupt):
        live.ended = (ExitCode.INTERRUPTED, "interrupted")
    live.store()
    code, problem = live.ended or _earned(live.sweep)
    return SweepResult(live.sweep, folder, code, problem)


def _pinned(config: RunConfig, knob: Knob) -> RunConfig:
    """Choose one split of the cores for all runs, by the value that needs most: another split is another machine."""
    most = max(int(value) for value in knob.values) if knob.name == WORKERS else config.workers
    server_cpus, load_cpus = split_cpus(most) if config.pin else (None, None)
    return replace(
        config,
        pin=False,
        server_cpus=config.server_cpus or server_cpus,
        load_cpus=config.load_cpus or load_cpus,
    )


def _sweep_id(knob: Knob) -> str:
    return f"{run_id()}-sweep-{_slug(knob.name)}"


def _slug(value: Value) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", str(value))


@dataclass
class _Live:
    """A sweep in progress."""

    config: RunConfig
    knob: Knob
    repeats: int
    folder: Path
    cores: int
    console: Console
    execute: Execute
    rest: Callable[[], Rest]
    trials: list[dict[str, Any]] = field(default_factory=list)
    rests_s: list[float] = field(default_factory=list)
    sweep: Sweep = field(default_factory=dict)
    ended: tuple[ExitCode, str | None] | None = None
    started_s: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        turns = order(self.knob.values, self.repeats, self.config.seed)
        self._announce(len(turns))
        for number, turn in enumerate(turns, start=1):
            rest = self._rest() if number > 1 else None
            self._tell(number, turns, turn, rest)
            result = self._one(turn, number)
            self.trials.append(trial(turn.value, turn.repeat, number, result, rest))
            if result.exit_code == ExitCode.INTERRUPTED:
                self.ended = (ExitCode.INTERRUPTED, result.problem)
                return
            self._tell_result()
            self.store()
            if number == len(self.knob.values) and self._hopeless:
                self._say("no value's server could be measured at all, so none is tried again", style="yellow")
                return

    @property
    def _hopeless(self) -> bool:
        return all(one["exit_code"] == ExitCode.TARGET_FAILED for one in self.trials)

    def _one(self, turn: Turn, number: int) -> RunResult:
        out = self.folder / f"{_slug(self.knob.name)}-{_slug(turn.value)}-r{turn.repeat}"
        # The generator is the same in all runs: what it can do by itself is measured once.
        calibrate = self.config.calibrate and number == 1
        one = replace(self.knob.turned(self.config, turn.value), out=out, root=self.folder, calibrate=calibrate)
        try:
            return self.execute(one, self.console)
        except UsageError as error:
            if number == 1:
                raise  # nothing was measured yet, and nothing of it will go better
            return RunResult(out, None, error.exit_code, str(error))
        except PinchpointError as error:
            return RunResult(out, None, error.exit_code, str(error))

    def _rest(self) -> Rest:
        rest = self.rest()
        self.rests_s.append(rest.seconds)
        return rest

    def _announce(self, runs: int) -> None:
        values = ", ".join(str(value) for value in self.knob.values)
        self._say(
            f"{self.knob.name} = {values}: {runs} runs of {self.config.budget_s:.0f} s in random order"
            f" ({self.repeats} of each value), about {_minutes(runs * (self.config.budget_s + _REST_S))}"
        )

    def _tell(self, number: int, turns: list[Turn], turn: Turn, rest: Rest | None) -> None:
        mean_s = sum(self.rests_s) / len(self.rests_s) if self.rests_s else _REST_S
        runs = len(turns) - number + 1
        left_s = runs * self.config.budget_s + (runs - 1) * mean_s
        waited = f"; {rest}" if rest is not None else ""
        again = f", repeat {turn.repeat} of {self.repeats}" if self.repeats > 1 else ""
        what = f"run {number} of {len(turns)}: {self.knob.called(turn.value)}{again}"
        self._say(f"{what}; at most {_minutes(left_s)} left{waited}", style="bold")

    def _tell_result(self) -> None:
        problem = self.trials[-1]["problem"]
        if problem is not None:
            self._say(f"this run does not count: {problem}", style="yellow")

    def _say(self, text: str, style: str | None = None) -> None:
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def store(self) -> None:
        """Write the table after every run, so that a sweep that is killed keeps what it has."""
        self.sweep = sweep_table(self.config, self.knob, self.repeats, self.trials, self.cores, self.folder.name)
        write_json(self.folder / SWEEP_FILE, self.sweep)
        write_text(self.folder / SWEEP_MARKDOWN, sweep_markdown(self.sweep))
        write_text(self.folder / SWEEP_HTML, sweep_html(self.sweep))


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"  # noqa: PLR2004 - two minutes


def _earned(sweep: Sweep) -> tuple[ExitCode, str | None]:
    """One run that counts is a result; without any, the first failure says why."""
    trials = [one for row in sweep["rows"] for one in row["repeats"]]
    if any(one["counted"] for one in trials) or not trials:
        return ExitCode.DONE, None
    first = min(trials, key=lambda one: int(one["order"]))
    codes = [ExitCode(one["exit_code"]) for one in trials]
    worst = next((code for code in codes if code != ExitCode.DONE), ExitCode.INVALID_MEASUREMENT)
    return worst, f"no run counts: {first['problem']}"
