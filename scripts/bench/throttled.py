"""Is a limit of the load generator called one? Twenty runs with a throttled generator, and six honest server limits.

Ten runs cut the CPU of the load processes (`pinchpoint.commands.quota`), ten use Locust files that burn or sleep; all
must end with class `generator` and exit code 3. The others press servers with a known limit, some with a generator that
is busy as well, and must keep their class. Every run's folder stays in `runs/bench/throttled/`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import FOLDER, Figure

from pinchpoint.commands.quota import Quota

HERE = Path(__file__).resolve().parent
BUDGET_S = 30
GRACE_S = 30.0
RUNS = FOLDER / "throttled"
EXIT_INVALID = 3
QUICK = 4
"""Every how many-th run --quick takes."""

TINY = ("--cwd", str(HERE), "bench_app:app")
REFERENCE: tuple[str, ...] = ()
LOCUSTFILE = '''"""Made by scripts/bench/throttled.py: a generator that {what}."""

import time

from gevent import monkey
from locust import FastHttpUser, constant, task

real_sleep = monkey.get_original("time", "sleep")


class Slow(FastHttpUser):
    wait_time = constant(0)

    @task
    def press(self):
        {work}
        self.client.get("{path}", name="{path}")
'''
BURN = "end = time.thread_time() + {seconds}\n        while time.thread_time() < end:\n            pass"
SLEEP = "real_sleep({seconds})"


@dataclass(frozen=True)
class Case:
    """One run: target, load, what holds the generator back, and what the verdict must be."""

    name: str
    words: tuple[str, ...]
    expected: tuple[str, str] = ("generator", "generator-bound")
    keep: float | None = None
    """Share of the CPU that a quota leaves to the load processes."""
    period_s: float = 0.1
    work: str | None = None
    """What every task does before its request."""
    path: str = "/items/42"

    @property
    def generator_bound(self) -> bool:
        """True when the generator is the limit."""
        return self.expected[0] == "generator"


def _cut(app: str, words: tuple[str, ...], keep: float, period_s: float = 0.1) -> Case:
    name = f"{app}: quota of {keep:.0%} in {1000 * period_s:.0f} ms"
    return Case(name, words, keep=keep, period_s=period_s)


def _slow(app: str, words: tuple[str, ...], work: str, ms: float, path: str, *model: str) -> Case:
    verb = "burns" if work is BURN else "sleeps, blocking,"
    told = " (closed: users)" if model else ""
    return Case(
        f"{app}: a Locust file that {verb} {ms:g} ms per task{told}",
        (*model, *words),
        work=work.format(seconds=ms / 1000),
        path=path,
    )


USERS = ("--model", "users", "--users", "10,50,100")
TINY_GET = ("--get", "/items/42", *TINY)
CASES = (
    *(_cut("tiny app", TINY_GET, keep) for keep in (0.5, 0.4, 0.3, 0.2, 0.1)),
    _cut("tiny app", TINY_GET, 0.3, 0.05),
    _cut("tiny app", TINY_GET, 0.2, 0.2),
    *(_cut("reference app", REFERENCE, keep) for keep in (0.05, 0.04, 0.03)),
    *(_slow("tiny app", TINY, BURN, ms, "/items/42") for ms in (10, 20, 30)),
    *(_slow("tiny app", TINY, SLEEP, ms, "/items/42") for ms in (10, 30)),
    *(_slow("reference app", REFERENCE, BURN, ms, "/items/1") for ms in (10, 30)),
    _slow("reference app", REFERENCE, SLEEP, 20, "/items/1"),
    _slow("tiny app", TINY, BURN, 20, "/items/42", *USERS),
    _slow("reference app", REFERENCE, SLEEP, 25, "/items/1", *USERS),
)
BUSY = BURN.format(seconds=0.0015)
CONTROLS = (
    Case("control: python-cpu", ("--fault", "python-cpu"), ("cpu", "python-code")),
    Case("control: db-pool", ("--fault", "db-pool"), ("pool", "db-pool")),
    Case("control: sync-call", ("--fault", "sync-call"), ("blocking", "sync-call")),
    Case("control: slow-query", ("--fault", "slow-query"), ("io", "slow-query")),
    Case("control: python-cpu, busy Locust file", ("--fault", "python-cpu"), ("cpu", "python-code"), None, 0.1, BUSY),
    Case("control: db-pool, generator cut to 70 %", ("--fault", "db-pool"), ("pool", "db-pool"), 0.7),
)


def throttled(quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """Run every case; with `quick` every fourth."""
    cases = [*CASES, *CONTROLS][:: QUICK if quick else 1]
    shutil.rmtree(RUNS, ignore_errors=True)
    figures, found = [], []
    for number, case in enumerate(cases):
        right, told = press(case, RUNS / f"{number:02d}")
        found.append((case, right))
        say(f"{'ok    ' if right else 'WRONG '} {case.name}: {told}")
        figures.append(Figure(f"{case.name}: {told}", float(right), "", None, "higher", None, 1))
    return [*_shares(found), *figures]


def _shares(found: list[tuple[Case, bool]]) -> list[Figure]:
    made = []
    for name, bound in (("throttled generators called `generator`, exit 3", True), ("server limits named", False)):
        right = [ok for case, ok in found if case.generator_bound is bound]
        if right:
            made.append(Figure(name, sum(right) / len(right), "share", 1.0, "higher", None, len(right)))
    return made


def press(case: Case, folder: Path) -> tuple[bool, str]:
    """Run one case; return whether the verdict is right, and what it was."""
    folder.mkdir(parents=True)
    words = list(case.words)
    if case.work is not None:
        file = folder / "slow.py"
        file.write_text(LOCUSTFILE.format(what=case.name, work=case.work, path=case.path), encoding="utf-8")
        words = ["-f", str(file), *words]
    out = folder / "run"
    command = [sys.executable, "-m", "pinchpoint", "run", "--budget", f"{BUDGET_S}s", "--no-profile", "--out", str(out)]
    with (folder / "said.log").open("wb") as log:
        child = subprocess.Popen([*command, *words], stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"})
        quota = None if case.keep is None else Quota(child.pid, out / "events.jsonl", case.keep, case.period_s)
        if quota is not None:
            quota.start()
        try:
            code = child.wait(BUDGET_S + GRACE_S)
        except subprocess.TimeoutExpired:
            child.terminate()
            code = child.wait(GRACE_S)
        finally:
            if quota is not None:
                quota.end()
    return judged(case, code, out)


def judged(case: Case, code: int, out: Path) -> tuple[bool, str]:
    """Hold the report against what is expected."""
    try:
        report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False, f"exit {code}, no report"
    verdict = report["verdict"]
    named = (verdict["class"], verdict["cause"])
    right = named == case.expected and (code == EXIT_INVALID if case.generator_bound else code == 0)
    capacity = report["capacity"]["sustainable_rps"]
    failing = [gate["name"] for gate in report["validity"]["gates"] if gate["status"] == "fail"]
    rate = "no capacity" if capacity is None else f"{capacity:,.0f}/s"
    return right, f"{named[0]}/{named[1]}, exit {code}, {rate}{', failing: ' if failing else ''}{', '.join(failing)}"
