"""What ends a long load, and what judges the steps of a search by the server's signals."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pinchpoint.clientstats import client_figures
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.limits import limits_shown, load_shown, read_limits, recorded_thresholds, slo_of
from pinchpoint.commands.watch import KeptSamples, LoadStop
from support.digest_rows import START_S, digest, sample

if TYPE_CHECKING:
    from pinchpoint.rows import SampleRow


def config(**texts: Any) -> RunConfig:
    """Return a configuration with these limits."""
    words: dict[str, Any] = {"thresholds": [], "autostop": [], **texts}
    return RunConfig(**read_limits("rate", None, words["thresholds"], words["autostop"], "poisson", None))


def test_a_long_load_ends_with_the_second_that_decides() -> None:
    """Its clock begins with the first row; nothing is said before the window is full, and the same from then on."""
    now = [START_S]
    stop = LoadStop(config(autostop=["http(5xx,50%,2s)"]), lambda: now[0], list)
    said = []
    for index, errors in enumerate([{}, {"503": 5}, {"503": 5}, {}]):
        now[0] = START_S + index + 1.1
        said.append(stop([digest(index, [5.0] * 5, errors)]))

    assert said[:2] == [None, None]
    assert said[2] == said[3] == "responses 5xx at 50 % or more in every second of 2 s (http(5xx,50%,2s))"
    assert stop.stop is not None
    assert (stop.stop.since_s, stop.stop.at_s, stop.stop.last_good_s) == (START_S + 1, START_S + 3, START_S)


def test_steps_of_a_search_are_judged_by_the_collectors_rows_too() -> None:
    """A criterion on a server signal is a breach of the step in which it fires; rows are kept as they come."""
    latest: list[SampleRow | None] = [None]
    quiet = SimpleNamespace(tick=lambda _rows: None)
    kept = KeptSamples(quiet, lambda: latest[0])
    slo = slo_of(config(autostop=["metric_higher(cpu_cores,0.5,2s)"]), kept.rows)
    window = client_figures([digest(index, [5.0]) for index in range(3)], START_S, START_S + 3)

    (rule,) = slo.thresholds
    assert rule.breach(window) is None
    for t_s in (-0.1, 0.5, 0.5, 0.9, 1.9, 2.9):
        latest[0] = sample(t_s, cpu_s=0.8 * t_s + 1)
        kept.tick([])
    assert len(kept.rows()) == 5
    assert rule.breach(window) == (
        "autostop metric_higher(cpu_cores,0.5,2s): cpu_cores above 0.5 in every second of 2 s"
    )


def test_what_was_asked_is_recorded_and_understood_again() -> None:
    """Limits that thresholds replace are null; thresholds that this version does not know are left out."""
    asked = config(thresholds=["p(99)<300,abortOnFail", "rate<2%"])

    assert limits_shown(asked) == {"p95_ms": None, "max_error_rate": 0.02}
    assert load_shown(asked)["thresholds"] == ["p(99)<300,abortOnFail", "rate<0.02"]
    recorded = {"thresholds": [*load_shown(asked)["thresholds"], "p(99)~300"]}
    assert tuple(recorded_thresholds(recorded)) == asked.thresholds
    assert recorded_thresholds({}) == []
