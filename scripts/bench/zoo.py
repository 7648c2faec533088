"""How often is the verdict right? Every case of the zoo, by the public command line, in fresh processes.

A round runs each case once, in random order; the severities rotate, so that three rounds hold every case at all three.
What is done already is not run again: a round that was stopped goes on where it stood. A run in which the hypervisor
took much of the machine for others is void and made again, whatever was said of it. Results of held-out families are
counted and not shown, as rules may not be tuned on them. Recordings stay in `runs/bench/zoo/ROUND/CASE`.
"""

import argparse
import datetime as dt
import multiprocessing
import random
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import zoo_results
from figures import report
from rich.console import Console
from zoo_figures import figures, shown
from zoo_server import database, pin_database, wanted_cases

from pinchpoint.accuracy import result_of
from pinchpoint.app.faults.case import Case
from pinchpoint.app.faults.catalogue import tuned
from pinchpoint.commands.config import parse_budget
from pinchpoint.commands.run import interruptible
from pinchpoint.commands.zoo_case import pace_at_limit, prepared, run, unmet
from pinchpoint.errors import ExitCode, Interrupted, PinchpointError

ROUNDS = (1, 2, 3)
SEED = 20
"""Of the order of a round, with its number."""
OVERHEAD_S = 6.0
"""Of a run beside its budget, as long as none has been measured."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """One run to be made."""

    case: Case
    round: int
    severity: float

    @property
    def folder(self) -> Path:
        """Of its recording."""
        return zoo_results.ZOO / str(self.round) / self.case.name


def main(words: Sequence[str]) -> int:
    """Run what is asked for and is not done yet; return 0 when every target is met, 1 when one is missed."""
    asked = _parser().parse_args(words)
    console, talk = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)
    say: Say = partial(talk.print, highlight=False, markup=False)
    started = dt.datetime.now(tz=dt.UTC)
    cases = [one for one in wanted_cases(asked.case, asked.family, spare=asked.all) if _of_half(one, asked.only)]
    if asked.rediagnose:
        source = rediagnose(cases, say)
    elif not asked.summary:
        source = zoo_results.RESULTS
        try:
            with interruptible():
                _run_all(cases, asked, say)
        except (Interrupted, KeyboardInterrupt):
            say("interrupted; the same command goes on from here")
            return int(ExitCode.INTERRUPTED)
    else:
        source = zoo_results.RESULTS
    rows = zoo_results.counting(zoo_results.latest(source, cases), cases)
    for line in shown(rows, cases, show_held_out=asked.show_held_out):
        console.print(line, highlight=False, markup=False)
    made = figures(rows, cases)
    return 0 if report("zoo", " ".join(["scripts/bench.sh zoo", *words]), started, made, console) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench.sh zoo", description="How often is the verdict right?")
    parser.add_argument("--round", type=int, choices=ROUNDS, action="append", default=[], help="default: all three")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--family", action="append", default=[], help="only the cases of this family; repeatable")
    parser.add_argument("--all", action="store_true", help="spare variants too, which a pass leaves out")
    parser.add_argument("--only", choices=("tuned", "held-out"), help="only one half of the families")
    parser.add_argument("--budget", default="60s", help="of each run; default 60s")
    parser.add_argument("--again", action="store_true", help="run also what is done already")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the random order; default {SEED}")
    parser.add_argument("--rediagnose", action="store_true", help="no run: the present rules on the kept recordings")
    parser.add_argument("--summary", action="store_true", help="no run: what the results say already")
    parser.add_argument("--show-held-out", action="store_true", help="show single results of held-out families too")
    return parser


def _of_half(case: Case, only: str | None) -> bool:
    return only is None or tuned(case) is (only == "tuned")


# --- running ---------------------------------------------------------------------------------------------------------


def turns(cases: Iterable[Case], rounds: Sequence[int], seed: int) -> list[Turn]:
    """Return every run of some rounds, in the order they are made.

    The severity of a case depends on its name and on the round alone, its place in the order on the seed too.
    """
    found = []
    for round_ in rounds:
        order = sorted(cases, key=lambda one: one.name)
        random.Random(f"{seed}-{round_}").shuffle(order)  # noqa: S311 - an order, no secret
        found += [Turn(one, round_, one.severities[(zlib.crc32(one.name.encode()) + round_) % 3]) for one in order]
    return found


def _run_all(cases: Sequence[Case], asked: argparse.Namespace, say: Say) -> None:
    budget_s = parse_budget(asked.budget)
    every = turns(cases, asked.round or ROUNDS, asked.seed)
    todo = [one for one in every if asked.again or not zoo_results.done(one.case, one.round)]
    say(f"{len(todo)} of {len(every)} runs to make, budget {budget_s:g} s each, order from seed {asked.seed}")
    started_s, made, number = time.monotonic(), 0, 0
    with database(any(one.case.database == "postgresql" for one in todo)) as postgres:
        while number < len(todo):
            turn, number = todo[number], number + 1
            elapsed_s = time.monotonic() - started_s
            each_s = elapsed_s / made if made else budget_s + OVERHEAD_S
            left_s = each_s * (len(todo) - number + 1)
            what = f"[{number}/{len(todo)}] {_minutes(elapsed_s)} gone, {_minutes(left_s)} left"
            row = _turn(turn, budget_s, postgres)
            made += not row.get("skipped")
            zoo_results.append(row)
            say(f"{what}  round {turn.round}  {told(row, show=asked.show_held_out)}")
            if zoo_results.void(row) and not zoo_results.done(turn.case, turn.round):
                say(f"void: the hypervisor took {row['stolen_share']:.0%} of the machine; made again at the end")
                todo.append(turn)


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def _turn(turn: Turn, budget_s: float, postgres: str | None) -> zoo_results.Row:
    """Make one run; a case that cannot be run here, or prepared, is a row that says so."""
    row = zoo_results.stated(turn.case, turn.severity, turn.round)
    if (reason := unmet(turn.case, postgres)) is not None:
        return {**row, "skipped": reason}
    shutil.rmtree(turn.folder, ignore_errors=True)
    turn.folder.with_suffix(".log").unlink(missing_ok=True)
    turn.folder.parent.mkdir(parents=True, exist_ok=True)
    at, began_s = dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"), time.monotonic()
    try:
        with prepared(turn.case, severity=turn.severity, postgres=postgres) as ready:
            pin_database(postgres if turn.case.database == "postgresql" else None, ready.cores.server)
            done = run(ready, turn.folder, budget_s, ("--seed", str(turn.round)))
    except Interrupted:
        raise
    except PinchpointError as error:
        return {**row, "at": at, "skipped": f"it could not be prepared: {error}"}
    row = zoo_results.stated(turn.case, turn.severity, turn.round, pace_at_limit(done, turn.folder))
    found = zoo_results.ended(done, turn.folder)
    return {**row, "at": at, "budget_s": budget_s, "took_s": round(time.monotonic() - began_s, 2), **found}


def told(row: zoo_results.Row, *, show: bool) -> str:
    """Return one result as a line; what was said of a held-out case only where that is asked for."""
    name = f"{row['case']} x{row['severity']:g}"
    if row.get("skipped"):
        return f"{name}: skipped, {row['skipped']}"
    if row["half"] == "held-out" and not show:
        return f"{name}: recorded in {row['wall_s']:.0f} s (held out)"
    result = result_of(row)
    right = "right" if result.right else "right class" if result.class_right else "WRONG"
    labels = " or ".join("/".join(one) for one in row["labels"])
    also = f" + {', '.join(result.co_bottlenecks)}" if result.co_bottlenecks else ""
    sure = "" if result.confidence is None else f" ({result.confidence:.2f})"
    rate = "n/a" if result.capacity_rps is None else f"{result.capacity_rps:.1f}/s"
    ceiling = "" if result.ceiling_rps is None else f" of {result.ceiling_rps:.1f}/s"
    ending = f"exit {row['exit_code']}, {row['wall_s']:.0f} s"
    return f"{right:11} {name}: {'/'.join(result.answer)}{also}{sure}, label {labels}; {rate}{ceiling}; {ending}"


# --- the present rules on what was recorded ---------------------------------------------------------------------------


def rediagnose(cases: Sequence[Case], say: Say) -> Path:
    """Diagnose every kept recording anew, into a file of its own; return that."""
    known = {one.name: one for one in cases}
    kept = [one for one in zoo_results.latest(zoo_results.RESULTS, cases) if not one.get("skipped")]
    kept = [one for one in kept if Path(one["run"]).is_dir()]
    started_s = time.monotonic()
    with multiprocessing.get_context("spawn").Pool() as pool:
        data = [
            (row, zoo_results.stated(known[row["case"]], row["severity"], row["round"], row.get("pace")))
            for row in kept
        ]
        made = pool.starmap(zoo_results.again, data, chunksize=1)
    zoo_results.store(made, zoo_results.REDIAGNOSED)
    say(f"{len(made)} recordings diagnosed with {zoo_results.commit()} in {time.monotonic() - started_s:.0f} s")
    return zoo_results.REDIAGNOSED
