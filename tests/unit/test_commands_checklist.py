"""A checklist without servers: how it spends its budget, what it asks of its three runs, and every way out."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest
from rich.console import Console

from pinchpoint.commands.cache_watch import CacheWatch
from pinchpoint.commands.checklist import run as checklist_run
from pinchpoint.commands.checklist.run import ChecklistResult, addressed, run_checklist
from pinchpoint.commands.checklist.times import Times, profile, soak_seconds, split
from pinchpoint.commands.config import RunConfig, SoakAsk
from pinchpoint.commands.run import RunResult
from pinchpoint.diagnosis.checklist.evidence import Run
from pinchpoint.errors import ExitCode, TargetError, UsageError
from pinchpoint.stress.stages import parse_stages
from support.checklist_runs import Shop
from support.sample_run import sample_diagnosis, sample_recording
from support.sweep_runs import Runs

LIMIT_RPS = 94.0
"""What the made-up search finds."""


class Looked(CacheWatch):
    """Looks once, without a thread."""

    def __enter__(self) -> Self:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        return


def looked(url: str) -> CacheWatch:
    """Return a watch over a server that has no metrics."""
    return Looked(url, fetch=lambda _: (404, "not found"), clock=lambda: 0.0)


class Made:
    """Stands for `execute`, and for what it leaves on disk; each run takes as long as it may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shop: Shop | None = None, **codes: ExitCode) -> None:
        self.now_s = 0.0
        self.runs = Runs(self._answer)
        self._codes = codes
        search = Run(sample_recording(Path()), sample_diagnosis())
        self._found = {"limit": search, "load": (shop or Shop()).run(), "soak": search}
        monkeypatch.setattr(checklist_run, "load_recording", lambda folder: self._found[folder.name].recording)

    def _answer(self, config: RunConfig, _: int) -> RunResult:
        assert config.out is not None
        name = config.out.name
        seconds = config.stages.seconds + 20.0 if config.stages is not None else config.budget_s
        self.now_s += seconds
        code = self._codes.get(name, ExitCode.DONE)
        rebuilt = cast("Any", SimpleNamespace(diagnosis=self._found[name].diagnosis, report={}))
        failed = code in {ExitCode.TARGET_FAILED, ExitCode.INTERRUPTED}
        problem = None if code == ExitCode.DONE else f"{name} broke"
        return RunResult(config.out, None if failed else rebuilt, code, problem)

    def __call__(
        self, tmp_path: Path, peak_rps: float | None = None, **config: Any
    ) -> tuple[ChecklistResult, list[RunConfig], str]:
        """Return the checklist, what was asked of each run, and what was said."""
        out = io.StringIO()
        whole = RunConfig(**{"budget_s": 300.0, "root": tmp_path, **config})
        result = run_checklist(
            whole, peak_rps, Console(file=out, width=200), self.runs, looked, clock=lambda: self.now_s
        )
        return result, self.runs.configs, out.getvalue()


@pytest.mark.parametrize(
    ("budget_s", "known", "search_s", "light_s", "peak_s"),
    [
        (300.0, False, 84.0, 21.0, 21.0),
        (300.0, True, 0.0, 33.0, 33.0),
        (100.0, True, 0.0, 7.0, 7.0),
        (70.0, False, 25.0, 6.0, 7.0),
        (45.0, True, 0.0, 6.0, 7.0),
        (7200.0, False, 120.0, 80.0, 80.0),
    ],
)
def test_the_budget_is_split_and_the_soak_gets_what_is_left(
    budget_s: float, known: bool, search_s: float, light_s: float, peak_s: float
) -> None:
    """No search where the peak is known; no load so short that it says nothing, and none without end."""
    found = split(budget_s, peak_known=known)

    assert found.search_s == pytest.approx(search_s)
    assert (found.light_s, found.peak_s) == (light_s, peak_s)


@pytest.mark.parametrize(
    ("budget_s", "known", "words"),
    [(44.0, True, "it needs 45s, and 105s with the soak"), (69.0, False, "it needs 70s, and 130s .* saves 25 s")],
)
def test_a_budget_that_holds_not_even_the_loads_is_refused(budget_s: float, known: bool, words: str) -> None:
    """With what would do."""
    with pytest.raises(UsageError, match=words):
        split(budget_s, peak_known=known)


def test_a_soak_that_would_show_nothing_is_left_out() -> None:
    """A slope needs forty seconds, and a soak twenty to begin and to end."""
    assert [soak_seconds(left_s) for left_s in (195.5, 65.0, 64.9, -3.0)] == [170.0, 40.0, None, None]


@pytest.mark.parametrize(
    ("peak_rps", "levels"),
    [
        (60.0, [12.0, 60.0, 90.0]),
        (1000.0, [20.0, 1000.0, 1500.0]),
        (0.5, [0.5, 0.5, 0.75]),
        (56.39999, [11.28, 56.4, 84.6]),
    ],
)
def test_the_loads_are_a_light_one_the_peak_and_half_as_much_again(peak_rps: float, levels: list[float]) -> None:
    """In the words of --stages, each held from its first moment on."""
    stages = parse_stages(profile(peak_rps, Times(0.0, 6.0, 7.0)), "rate").stages

    held = [stage for stage in stages if stage.seconds > 0]
    assert [stage.start for stage in held] == [stage.end for stage in held] == pytest.approx(levels)
    assert [stage.seconds for stage in held] == [6.0, 7.0, 7.0]


def test_three_runs_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search; the loads at 0.6 of what it found; a soak at that peak for the time that is left."""
    made = Made(monkeypatch)
    result, (search, load, soak), said = made(tmp_path)

    peak = 0.6 * LIMIT_RPS
    assert [config.out for config in made.runs.configs] == [result.folder / name for name in ("limit", "load", "soak")]
    assert (search.stages, search.soak) == (None, None)
    assert search.budget_s == pytest.approx(84.0)
    assert load.stages is not None
    assert load.stages.seconds == 63.0
    assert load.stages.peak == pytest.approx(1.5 * peak)
    assert soak.soak is not None
    assert soak.soak.seconds == 300.0 - 84.0 - 83.0 - 25.0
    assert soak.soak.rate_rps == pytest.approx(peak)
    assert [config.calibrate for config in (search, load, soak)] == [True, False, False]
    assert {(config.profile, config.aftermath, config.port) for config in (search, load, soak)} == {
        (False, False, search.port)
    }
    assert made.now_s <= 300.0
    assert (result.exit_code, result.problem) == (ExitCode.DONE, None)
    assert "60 % of the limit of 94/s that a search found" in said


def test_the_files_hold_the_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a pipeline and for a reader; the endpoints are judged by what the Locust file sends."""
    result, _, _ = Made(monkeypatch)(tmp_path)

    stored = json.loads((result.folder / "checklist.json").read_text())
    assert stored == result.checklist
    assert (stored["schema"], stored["runs"], stored["exit_code"]) == (
        "pinchpoint.checklist/1",
        ["limit", "load", "soak"],
        0,
    )
    by_name = {line["name"]: line for line in stored["lines"]}
    assert by_name["/items/create"]["how"].endswith("held to the row 'create operations': POST")
    assert by_name["Cache hit rate"]["how"] == "the app answers /metrics with status 404"
    assert json.loads((result.folder / "caches.json").read_text()) == []
    assert (result.folder / "checklist.md").read_text().startswith("# Pre-deployment checklist: ")


def test_a_peak_that_is_given_needs_no_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is the soak's."""
    result, (load, soak), said = Made(monkeypatch)(tmp_path, 40.0)

    assert (load.calibrate, soak.calibrate) == (True, False)
    assert soak.soak == SoakAsk(300.0 - 119.0 - 25.0, 40.0)
    assert (result.checklist["peak_rps"], result.checklist["limit_rps"]) == (40.0, None)
    assert "as given with --peak" in said


def test_a_failed_line_is_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem names it."""
    result, _, _ = Made(monkeypatch, Shop(cpu_ms=24.0))(tmp_path, 40.0)

    assert (result.exit_code, result.problem) == (
        ExitCode.THRESHOLD_CROSSED,
        "failed: CPU, Busiest event loop",
    )


def test_without_time_for_a_soak_its_lines_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured in less than it takes."""
    result, configs, said = Made(monkeypatch)(tmp_path, 40.0, budget_s=60.0)

    leak = next(line for line in result.checklist["lines"] if line["name"] == "Memory leak")
    assert len(configs) == 1
    assert leak["status"] == "not measured"
    assert leak["how"] == "20 s were left, and a soak needs a minute: give a longer --budget"
    assert "no soak: " in said


@pytest.mark.parametrize(
    ("code", "way_out"),
    [(ExitCode.INVALID_MEASUREMENT, "; say with --peak what load to expect"), (ExitCode.TARGET_FAILED, "")],
)
def test_without_a_limit_there_is_no_peak(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: ExitCode, way_out: str
) -> None:
    """And nothing else is run."""
    result, configs, _ = Made(monkeypatch, limit=code)(tmp_path)

    assert (len(configs), result.exit_code) == (1, code)
    assert {line["status"] for line in result.checklist["lines"]} == {"not measured"}
    assert result.checklist["peak_rps"] is None
    assert result.problem == f"the limit was not found (limit broke), so there is no peak to offer{way_out}"


@pytest.mark.parametrize(
    ("code", "runs"), [(ExitCode.INVALID_MEASUREMENT, 2), (ExitCode.TARGET_FAILED, 1), (ExitCode.INTERRUPTED, 1)]
)
def test_a_load_that_does_not_count_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: ExitCode, runs: int
) -> None:
    """A soak is worth its time only where the target can be had; the files are written all the same."""
    result, configs, _ = Made(monkeypatch, load=code)(tmp_path, 40.0)

    assert (len(configs), result.exit_code) == (runs, code)
    assert (result.folder / "checklist.md").is_file()


def test_a_run_that_cannot_be_made_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason stands on every line."""
    made = Made(monkeypatch)

    def refuse(_config: RunConfig, _number: int) -> RunResult:
        raise TargetError("port 8000 is in use")

    made.runs = Runs(refuse)
    result, configs, _ = made(tmp_path, 40.0)

    assert (len(configs), result.exit_code, result.problem) == (1, ExitCode.TARGET_FAILED, "port 8000 is in use")
    assert {line["how"] for line in result.checklist["lines"] if line["item"] != 5} == {"port 8000 is in use"}


def test_the_users_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peak is arrivals; nothing is written."""
    with pytest.raises(UsageError, match="leave --model out"):
        Made(monkeypatch)(tmp_path, 40.0, model="users")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        (RunConfig(), False),
        (RunConfig(url="http://127.0.0.1:{port}/", command=("serve", "{port}")), False),
        (RunConfig(command=("serve", "{port}")), False),
        (RunConfig(port=8123), True),
        (RunConfig(url="http://127.0.0.1:8123", command=("serve",)), True),
        (RunConfig(url="http://127.0.0.1:8123/", pid=4242), True),
    ],
)
def test_all_runs_are_at_one_address(config: RunConfig, kept: bool) -> None:
    """Chosen here where the user's words leave it open, so that its metrics can be asked for."""
    found, base_url = addressed(config)

    assert (found.port == config.port) is kept
    assert base_url == f"http://127.0.0.1:{8123 if kept else found.port}"


# --- caches -----------------------------------------------------------------------------------------------------------


def watch(*answers: tuple[int, str] | None) -> tuple[CacheWatch, Callable[[], list[str]]]:
    """Return a watch over a server that answers like this, and the addresses it was asked for."""
    asked: list[str] = []
    left = list(answers)

    def fetch(url: str) -> tuple[int, str] | None:
        asked.append(url)
        return left.pop(0)

    return CacheWatch("http://127.0.0.1:1", fetch, clock=lambda: 5.0 * len(asked), every_s=0.001), lambda: asked


def test_what_the_metrics_count_is_kept_with_its_time() -> None:
    """A server that is not up yet is asked again; a page without counters says so."""
    seen, asked = watch(None, (200, "up 1\n"), (200, "cache_hits_total 3\ncache_misses_total 1\n"))

    assert [seen.look(), seen.look()] == [True, True]
    assert seen.why_none == "the app's /metrics counts no cache hits or misses"
    assert seen.look()
    assert [(look.t_s, look.counts) for look in seen.looks] == [(10.0, {"cache": (3.0, 1.0)})]
    assert asked() == ["http://127.0.0.1:1/metrics"] * 3


def test_an_app_without_metrics_is_asked_once() -> None:
    """Every further 404 would stand in its figures; leaving the watch leaves no thread."""
    seen, asked = watch((404, ""))
    with seen:
        seen._thread.join(timeout=10.0)

    assert (asked(), seen.looks) == (["http://127.0.0.1:1/metrics"], [])
    assert seen.why_none == "the app answers /metrics with status 404"
