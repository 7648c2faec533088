"""What a recording of stages says: which slices count, thresholds, spikes, the early end; and how it is shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.diagnosis.stage_steps import counted
from pinchpoint.diagnosis.staged import crossings, judged, staged
from pinchpoint.measures import Step
from pinchpoint.recording import Recording
from pinchpoint.report import staged as shown
from pinchpoint.report.build import build_report, validate
from pinchpoint.report.markdown import render_markdown
from pinchpoint.rows import DigestRow, EventRow
from pinchpoint.stress.stages import parse_stages
from pinchpoint.stress.thresholds import parse_threshold
from support.digest_rows import START_S, digest
from support.sample_run import sample_diagnosis, sample_run, sample_steps


def slices(*loads: tuple[float, bool]) -> list[Step]:
    """Return stage slices of these loads, held or broken."""
    steps = []
    for index, (load, passed) in enumerate(loads):
        start_s = 100.0 + 5 * index
        step = replace(sample_steps()[1], index=index, phase="stage", offered_rps=load, passed=passed)
        steps.append(replace(step, t_start_s=start_s, t_end_s=start_s + 5.0))
    return steps


@pytest.mark.parametrize(
    ("loads", "indices"),
    [
        ([(50, True), (100, True), (50, True)], [0, 1, 2]),
        ([(50, True), (400, False), (50, False), (50, True)], [0, 1]),
        ([(50, True), (100, False), (200, True), (150, False), (300, False)], [0, 1, 2, 4]),
        ([(0, True), (50, True)], [1]),
        ([(80, False), (80, False), (80, True), (80, True), (80, True)], [0, 1, 2, 3, 4]),
    ],
)
def test_slices_count_up_to_the_first_break_and_then_only_at_the_heaviest_load(
    loads: list[tuple[float, bool]], indices: list[int]
) -> None:
    """On the way down from a break a slice inherits its queue; one as heavy that holds shows a disturbance."""
    assert [step.index for step in counted(slices(*loads))] == indices


def recording(text: str, rows: list[DigestRow], **stop: Any) -> Recording:
    """Return a recording of a profile, ended where the rows end."""
    profile = parse_stages(text, "rate")
    stages = [
        {"name": one.name, "kind": one.kind, "start_s": at_s, "seconds": one.seconds, "from": one.start, "to": one.end}
        for one, at_s in zip(profile.stages, profile.borders, strict=False)
    ]
    spikes = [
        {"start_s": one.start_s, "end_s": one.end_s, "base": one.base, "peak": one.peak} for one in profile.spikes()
    ]
    begin = {"text": profile.text, "model": "rate", "t_start_s": START_S, "seconds": profile.seconds}
    end_s = max(row["t1_s"] for row in rows)
    step = {"index": 0, "phase": "stage", "t_start_s": START_S, "t_end_s": end_s, "offered_rps": 1.0, "users": None}
    events = [
        EventRow(kind="stages", t_s=START_S, data={**begin, "stages": stages, "spikes": spikes}),
        EventRow(kind="step", t_s=end_s, data=step),
    ]
    events += [EventRow(kind="stop", t_s=end_s, data=stop)] if stop else []
    return Recording(events, [], rows, {"load": {"model": "rate"}, "slo": {"max_error_rate": 0.01}}, Path())


CALM, QUEUED, FAILING = [10.0] * 20, [900.0] * 20, [10.0] * 15


def spike_rows() -> list[DigestRow]:
    """Four calm seconds, two of a peak, two of a queue, one of failures, three calm ones."""
    kinds: list[tuple[list[float], dict[str, int]]] = [(CALM, {})] * 4 + [(QUEUED, {})] * 4 + [(FAILING, {"503": 5})]
    kinds += [(CALM, {})] * 3
    return [digest(index, ok_ms, errors) for index, (ok_ms, errors) in enumerate(kinds)]


def test_a_spike_has_recovered_once_latency_and_errors_are_back() -> None:
    """Queued for two seconds and failing for one after its end at second 6: back three seconds later."""
    found = staged(recording("spike(20,40,4s,2s,6s)", spike_rows()), [], 0.01)

    assert found is not None
    (spike,) = found.spikes
    assert (spike.recovered, spike.recovery_s, spike.peak_error_rate) == (True, 3.0, 0.0)
    assert spike.before_ms == pytest.approx(10.0, rel=0.002)


def test_a_spike_that_is_never_over_says_so() -> None:
    """The load ended, or rose again, before the app was back."""
    found = staged(recording("spike(20,40,4s,2s,6s)", spike_rows()[:8]), [], 0.01)
    cut = staged(recording("spike(20,40,4s,2s,6s)", spike_rows()[:6]), [], 0.01)

    assert found is not None
    assert cut is not None
    assert (found.spikes[0].recovered, found.spikes[0].recovery_s) == (False, None)
    assert cut.spikes[0].recovered is None


def test_thresholds_are_judged_over_the_whole_and_per_stage() -> None:
    """Two of the three stages hold; over everything the threshold is crossed."""
    limits = [parse_threshold("p(95)<500"), parse_threshold("http_reqs:count>=200")]
    found = staged(recording("spike(20,40,4s,2s,6s)", spike_rows()), limits, 0.01)

    assert found is not None
    assert [one.ok for one in found.limits] == [False, True]
    assert [stage.limits[0].ok for stage in found.stages] == [True, False, False]
    assert [stage.requests for stage in found.stages] == [80, 40, 120]
    assert [point.offered_rps for point in found.series] == [20.0] * 12


def test_what_fails_a_run_depends_on_what_it_was_for() -> None:
    """With stages every threshold that is crossed, and an early end; in a search only what was asked of throughput."""
    limits = [parse_threshold("p(95)<500"), parse_threshold("http_reqs:rate>1000")]
    stop = {"criterion": "limit(5s)", "message": "the load took 5 s", "second": 4.0, "at_s": START_S + 5}
    taken = recording("spike(20,40,4s,2s,6s)", spike_rows(), **stop)
    plain = replace(taken, events=[])
    diagnosis = sample_diagnosis()

    said = crossings("stages", judged(diagnosis, taken, limits), taken)
    assert [line.split(" was ")[0] for line in said[:2]] == ["threshold p(95)<500", "threshold http_reqs:rate>1000"]
    assert said[2] == "stopped early: the load took 5 s (limit(5s))"
    searched = judged(diagnosis, plain, limits)
    assert crossings("search", searched, plain) == ("threshold http_reqs:rate>1000 was crossed",)
    assert crossings("search", judged(diagnosis, plain, [parse_threshold("http_reqs:rate>90")]), plain) == ()


def test_the_outputs_tell_the_profile_its_limits_and_its_end() -> None:
    """A valid report, the point of imbalance in words, and markup in a name shown as text."""
    stop = {
        "criterion": "quantile(90,300ms,2s)",
        "message": "p90 above 300 ms",
        "second": 4.0,
        "at_s": START_S + 6,
        "offered_rps": 40.0,
        "last_good_s": 3.0,
        "last_good_load": 20.0,
    }
    taken = recording("spike(20,40,4s,2s,6s)", spike_rows(), **stop)
    limits = [parse_threshold("http_req_duration{name:<b>}:p(95)<500"), parse_threshold("p(95)<500")]
    report = build_report(sample_run(), judged(sample_diagnosis(), taken, limits), [])

    assert validate(report) == []
    page = render_markdown(report)
    assert "Point of imbalance: 40/s at second 4; the last good second was 3, at 20/s" in page
    assert "Spike from 20/s to 40/s at second 4: back to normal 3 s after its end" in page
    assert "open: arrivals/s" in page
    assert "<b>" not in page
    chart = shown.chart(report)
    assert chart is not None
    assert chart["limits_ms"] == [{"ms": 500.0, "text": one.condition} for one in limits]
    assert chart["stop"] == {"t_s": 4.0, "text": "quantile(90,300ms,2s)"}
    assert shown.headline(build_report({}, sample_diagnosis(), [])) is None
