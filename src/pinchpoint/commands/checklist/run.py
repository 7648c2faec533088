"""`pinchpoint checklist`: up to three runs under one budget, and the lines that come of them.

The search, the staged load and the soak are those of `run`, `run --stages` and `soak`, each in a folder of its own
below the checklist's, with a whole report: the checklist says that something is wrong, they say what.
"""

import datetime as dt
import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pinchpoint import units
from pinchpoint.commands.cache_watch import CacheWatch
from pinchpoint.commands.checklist.times import SOAK_OVERHEAD_S, Times, profile, soak_seconds, split
from pinchpoint.commands.checks import PORT, validated
from pinchpoint.commands.config import HOST, RunConfig, SoakAsk
from pinchpoint.commands.run import RunResult, execute, interruptible, run_id
from pinchpoint.commands.staged import stages_budget
from pinchpoint.diagnosis.checklist.evidence import PEAK_SHARE, Evidence, Run, checklist, held_arrivals, invalid_because
from pinchpoint.diagnosis.checklist.lines import ITEMS
from pinchpoint.diagnosis.checklist.load import BEYOND_PEAK, Limits
from pinchpoint.errors import ExitCode, Interrupted, PinchpointError, UsageError
from pinchpoint.readiness import free_port
from pinchpoint.recording import load_recording, new_run_folder, write_json
from pinchpoint.report.checklist import checklist_markdown
from pinchpoint.report.write import write_text
from pinchpoint.stress.request_names import methods_of, named_requests
from pinchpoint.stress.scenarios import SCENARIOS
from pinchpoint.stress.stages import parse_stages

SCHEMA = "pinchpoint.checklist/1"
JSON_FILE, MARKDOWN_FILE, CACHES_FILE = "checklist.json", "checklist.md", "caches.json"
LIMIT, LOAD, SOAK = "limit", "load", "soak"
"""The folders of the three runs."""

DEFAULT_SCENARIO = "items"
INTERRUPTED = "interrupted before it was measured"
Execute = Callable[[RunConfig, Console], RunResult]
Watch = Callable[[str], CacheWatch]


@dataclass(frozen=True)
class ChecklistResult:
    """The checklist, where its runs lie, and the exit code it earned."""

    checklist: dict[str, Any]
    folder: Path
    exit_code: ExitCode
    problem: str | None = None

    @property
    def paths(self) -> dict[str, Path]:
        """The files written."""
        return {name: self.folder / name for name in (JSON_FILE, MARKDOWN_FILE)}


def run_checklist(
    config: RunConfig,
    peak_rps: float | None,
    console: Console,
    execute: Execute = execute,
    watch: Watch = CacheWatch,
    clock: Callable[[], float] = time.monotonic,
) -> ChecklistResult:
    """Measure every line; what fails or does not fit leaves lines that say why they were not measured.

    Args:
        config: target, load and limits; `budget_s` is for everything together.
        peak_rps: the load to expect, in arrivals per second; None: a share of the limit that a search finds.
        console: for what is told meanwhile.
        execute: carries out one run.
        watch: looks at the caches of the server at an address, while the load is on.
        clock: monotonic seconds.

    Raises:
        UsageError: the configuration makes no sense, or the budget is too short; nothing was started.

    """
    if config.model != "rate":
        raise UsageError("a checklist offers arrivals per second: leave --model out")
    times = split(config.budget_s, peak_known=peak_rps is not None)
    config, base_url = addressed(config)
    validated(config)
    folder = new_run_folder(config.root, f"{run_id()}-checklist", config.out, force=config.force, latest=False)
    bare = replace(config, profile=False, aftermath=False, thresholds=(), autostop=(), stages=None, soak=None)
    live = _Live(bare, times, folder, base_url, console, execute, watch, clock, peak_rps)
    try:
        with interruptible():
            live.run()
    except (Interrupted, KeyboardInterrupt):
        live.ended = (ExitCode.INTERRUPTED, "interrupted")
        live.evidence = replace(live.evidence, no_load=INTERRUPTED, no_soak=INTERRUPTED)
    return live.result()


def addressed(config: RunConfig) -> tuple[RunConfig, str]:
    """Return the configuration with its port chosen, and the server's address: all runs are at the same one."""
    open_port = config.port is None and (config.url is None or PORT in config.url) and not config.runs_already
    port = free_port() if open_port else config.port
    url = config.url or f"http://{HOST}:{PORT}"
    return replace(config, port=port), url.replace(PORT, str(port)).rstrip("/")


@dataclass
class _Live:
    """A checklist in progress."""

    config: RunConfig
    times: Times
    folder: Path
    base_url: str
    console: Console
    execute: Execute
    watch: Watch
    clock: Callable[[], float]
    peak_rps: float | None
    limit_rps: float | None = None
    peak_from: str = "as given with --peak"
    evidence: Evidence = field(init=False)
    ended: tuple[ExitCode, str | None] | None = None
    """What ended it early, or voids it; the first one stands."""
    started_at: str = field(init=False)
    _started_s: float = field(init=False)
    _runs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started_s = self.clock()
        self.started_at = dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds")
        self.evidence = Evidence(Limits(self.config.p95_ms, self.config.max_error_rate))

    def run(self) -> None:
        self._say(f"checklist: about {units.seconds(self.config.budget_s)}, in {self.folder}", style="bold")
        if self.peak_rps is None:
            self._find_limit()
        if self.peak_rps is None:
            return
        self._offer(self.peak_rps)
        if self.ended is not None and self.ended[0] != ExitCode.INVALID_MEASUREMENT:
            self.evidence = replace(self.evidence, no_soak=f"the run before it failed: {self.ended[1]}")
            return
        self._soak(self.peak_rps)

    def _end(self, code: ExitCode, problem: str | None) -> None:
        self.ended = self.ended or (code, problem)

    # --- the runs ---------------------------------------------------------------------------------------------------

    def _find_limit(self) -> None:
        self._say(f"the limit, in {units.seconds(self.times.search_s)}: nobody said which peak to expect (--peak)")
        run, problem = self._one(LIMIT, replace(self.config, budget_s=self.times.search_s))
        found = held_arrivals(run) if run is not None and problem is None else None
        if found is None:
            missing = f"the limit was not found ({problem or 'no load held'}), so there is no peak to offer"
            self.evidence = replace(self.evidence, no_load=missing, no_soak=missing)
            code = self.ended[0] if self.ended is not None else ExitCode.INVALID_MEASUREMENT
            way_out = "; say with --peak what load to expect" if code == ExitCode.INVALID_MEASUREMENT else ""
            self.ended = (code, missing + way_out)
            return
        self.limit_rps, self.peak_rps = found, PEAK_SHARE * found
        self.peak_from = f"{units.percent(PEAK_SHARE)} of the limit of {units.rps(found)} that a search found"

    def _offer(self, peak_rps: float) -> None:
        self._say(f"the load: {units.rps(peak_rps)} ({self.peak_from}) and {units.rps(BEYOND_PEAK * peak_rps)}")
        stages = parse_stages(profile(peak_rps, self.times), "rate")
        config = replace(self.config, stages=stages, budget_s=stages_budget(stages, None))
        with self.watch(self.base_url) as caches:
            run, problem = self._one(LOAD, config)
        write_json(self.folder / CACHES_FILE, [asdict(look) for look in caches.looks])
        self.evidence = replace(
            self.evidence,
            load=run,
            no_load=problem or "nothing of it was recorded",
            methods=self._methods(run),
            caches=tuple(caches.looks),
            no_caches=caches.why_none,
        )

    def _soak(self, peak_rps: float) -> None:
        left_s = self.config.budget_s - (self.clock() - self._started_s)
        seconds = soak_seconds(left_s)
        if seconds is None:
            missing = f"{units.seconds(max(0.0, left_s))} were left, and a soak needs a minute: give a longer --budget"
            self.evidence = replace(self.evidence, no_soak=missing)
            self._say(f"no soak: {missing}", style="yellow")
            return
        self._say(f"the soak: {units.seconds(seconds)} at {units.rps(peak_rps)}, half of that, and nothing")
        config = replace(self.config, soak=SoakAsk(seconds, peak_rps), budget_s=seconds + SOAK_OVERHEAD_S)
        run, problem = self._one(SOAK, config)
        self.evidence = replace(self.evidence, soak=run, no_soak=problem or "nothing of it was recorded")

    def _one(self, name: str, config: RunConfig) -> tuple[Run | None, str | None]:
        """Carry out one run; return what was recorded, and why it does not count, if it does not."""
        # The generator is the same in all of them: what it can do by itself is measured once.
        calibrate = config.calibrate and not self._runs
        self._runs.append(name)
        asked = replace(config, out=self.folder / name, root=self.folder, calibrate=calibrate)
        try:
            result = self.execute(asked, self.console)
        except PinchpointError as error:
            self._end(error.exit_code, str(error))
            return None, str(error)
        run = self._recorded(result)
        problem = result.problem or (invalid_because(run.diagnosis.validity) if run is not None else None)
        if result.exit_code == ExitCode.INTERRUPTED:
            raise Interrupted(problem or INTERRUPTED)
        if result.exit_code not in {ExitCode.DONE, ExitCode.THRESHOLD_CROSSED}:
            self._end(result.exit_code, problem)
        return run, problem

    @staticmethod
    def _recorded(result: RunResult) -> Run | None:
        if result.rebuilt is None:
            return None
        return Run(load_recording(result.folder), result.rebuilt.diagnosis)

    def _methods(self, run: Run | None) -> dict[str, frozenset[str]]:
        """Return what the request names stand for, as far as the Locust file's text says it."""
        names = {name for row in run.recording.digests for name in row["names"]} if run is not None else set()
        if self.config.get_paths:
            return dict.fromkeys(names, frozenset({"GET"}))
        path = self.config.locustfile or SCENARIOS[self.config.scenario or DEFAULT_SCENARIO].path
        return methods_of(names, named_requests(path))

    # --- the result -------------------------------------------------------------------------------------------------

    def result(self) -> ChecklistResult:
        """Judge what there is, and write it.

        Raises:
            MeasurementError: the files cannot be written.

        """
        lines = [asdict(line) for line in checklist(self.evidence)]
        failed = [line["name"] for line in lines if line["status"] == "failed"]
        code, problem = ExitCode.DONE, None
        if self.ended is not None:
            code, problem = self.ended
        elif failed:
            code, problem = ExitCode.THRESHOLD_CROSSED, f"failed: {', '.join(failed)}"
        found = {
            "schema": SCHEMA,
            "id": self.folder.name,
            "started_at": self.started_at,
            "duration_s": self.clock() - self._started_s,
            "budget_s": self.config.budget_s,
            "argv": list(self.config.argv),
            "peak_rps": self.peak_rps,
            "peak_from": self.peak_from if self.peak_rps is not None else None,
            "limit_rps": self.limit_rps,
            "exit_code": int(code),
            "problem": problem,
            "items": {str(number): text for number, text in ITEMS.items()},
            "lines": lines,
            "runs": self._runs,
        }
        write_json(self.folder / JSON_FILE, found)
        write_text(self.folder / MARKDOWN_FILE, checklist_markdown(found))
        return ChecklistResult(found, self.folder, code, problem)

    def _say(self, text: str, style: str | None = None) -> None:
        tell = functools.partial(self.console.print, highlight=False, markup=False, soft_wrap=True)
        tell(text, style=style)
