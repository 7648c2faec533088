"""A report as data for what reads k6's `handleSummary`: its shape, exact figures, thresholds where k6 has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from pinchpoint.packs import Part
from pinchpoint.report.build import build_report
from pinchpoint.report.k6_summary import covered, k6_summary
from pinchpoint.rows import DigestRow
from support.digest_rows import START_S, digest, name_row
from support.sample_run import sample_diagnosis, sample_recording, sample_run

CREATE = Part(name="Create User", endpoints=("/users",), presses="", p95_ms=50.0, max_error_rate=0.01)


def step(phase: str, start_s: float, end_s: float, **fields: Any) -> dict[str, Any]:
    """Return a step of `report.json`, as far as the summary reads it; times since `START_S`."""
    times = {"t_start_s": START_S + start_s, "t_end_s": START_S + end_s}
    return {"index": 0, "phase": phase, "settle_s": 0.0, "passed": True, "goodput_rps": 0.0, **times, **fields}


def report(*steps: dict[str, Any], model: str = "users", slo: Any = (), rate: float | None = None) -> dict[str, Any]:
    """Return a report, as far as the summary reads it."""
    return {
        "run": {"id": "r1", "load": {"model": model}, "slo": {"p95_ms": 500.0, "max_error_rate": 0.01}},
        "steps": list(steps),
        "capacity": {"sustainable_rps": rate, "slo": list(slo)},
        "verdict": {"summary": "Nothing broke."},
        "validity": {"status": "valid"},
    }


def rows() -> list[DigestRow]:
    """Return two seconds of two processes: 6 of 10 requests succeed in 10 to 60 ms; a login beside the load."""
    first = digest(0, [10, 20, 30], {"409": 1}, users=5, name="/users", started=4)
    second = digest(1, [40, 50, 60], {"409": 2, "timeout": 1}, users=7, name="/users", started=6, process=0)
    other = [digest(index, users=3, process=1, started=0) for index in (0, 1)]
    first["names"]["setup: /login"] = name_row([500.0])
    for row in (first, second):
        row["names"]["/users"]["bytes"] = 100
    return [first, second, *other]


def staged(**fields: Any) -> dict[str, Any]:
    """Return the summary of two seconds of stages."""
    return k6_summary(report(step("stage", 0, 1), step("stage", 1, 2), **fields), rows())


def test_the_shape_is_what_k6_hands_over() -> None:
    """The four sections, each metric with its type, what it contains and values; JSON without NaN."""
    summary = staged()

    assert summary["options"]["summaryTrendStats"] == ["avg", "min", "med", "max", "p(90)", "p(95)", "p(99)"]
    assert (summary["options"]["summaryTimeUnit"], summary["options"]["noColor"]) == ("", False)
    assert summary["state"] == {"isStdOutTTY": False, "isStdErrTTY": False, "testRunDurationMs": 2000.0}
    assert summary["root_group"] == {
        "name": "",
        "path": "",
        "id": "d41d8cd98f00b204e9800998ecf8427e",
        "groups": [],
        "checks": [],
    }
    assert {(name.partition("{")[0], one["type"], one["contains"]) for name, one in summary["metrics"].items()} == {
        ("http_reqs", "counter", "default"),
        ("http_req_failed", "rate", "default"),
        ("http_req_duration", "trend", "time"),
        ("iterations", "counter", "default"),
        ("data_received", "counter", "data"),
        ("vus", "gauge", "default"),
        ("vus_max", "gauge", "default"),
    }
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_counts_and_rates_are_of_the_load() -> None:
    """Ten requests within two seconds; the login is none of them. `passes` are the failures: k6 counts what is true."""
    values = {name: one["values"] for name, one in staged()["metrics"].items()}

    assert values["http_reqs"] == {"count": 10, "rate": 5.0}
    assert values["iterations"] == {"count": 10, "rate": 5.0}
    assert values["http_req_failed"] == {"rate": 0.4, "passes": 4, "fails": 6}
    assert values["data_received"] == {"count": 200, "rate": 100.0}
    assert values["vus"] == {"value": 10, "min": 8, "max": 10}
    assert values["vus_max"] == {"value": 10, "min": 10, "max": 10}


def test_durations_are_of_successful_requests() -> None:
    """10 to 60 ms, to the tenth of a percent that a bucket is wide."""
    metrics = staged()["metrics"]
    values = metrics["http_req_duration"]["values"]

    expected = {"avg": 35, "min": 10, "med": 30, "max": 60, "p(90)": 60, "p(95)": 60, "p(99)": 60}
    assert values == pytest.approx(expected, rel=1e-3)
    assert list(values) == list(expected)
    assert metrics["http_req_duration{expected_response:true}"]["values"] == values


def test_each_endpoint_is_a_submetric() -> None:
    """By the tag that thresholds name them with; logins before the load are none."""
    names = [name for name in staged()["metrics"] if "{name:" in name]

    assert names == ["http_reqs{name:/users}", "http_req_failed{name:/users}", "http_req_duration{name:/users}"]


def test_the_users_thresholds_stand_with_their_metric() -> None:
    """As they were judged; one on a name that never was asked for keeps its verdict without figures."""
    judged = [("p(95)<50", False), ("rate<0.5", True), ("http_reqs:rate>4", True)]
    judged += [("http_req_duration{name:/users}:avg<=40", True), ("http_req_failed{name:/no}:rate<0.1", False)]
    slo = [{"threshold": text, "ok": ok, "observed": 1.0, "asked": True} for text, ok in judged]

    metrics = staged(slo=slo)["metrics"]

    assert {name: one["thresholds"] for name, one in metrics.items() if "thresholds" in one} == {
        "http_req_duration": {"p(95)<50": {"ok": False}},
        "http_req_failed": {"rate<0.5": {"ok": True}},
        "http_reqs": {"rate>4": {"ok": True}},
        "http_req_duration{name:/users}": {"avg<=40": {"ok": True}},
        "http_req_failed{name:/no}": {"rate<0.1": {"ok": False}},
    }
    assert metrics["http_req_failed{name:/no}"]["values"] == {}


def test_defaults_are_held_against_the_figures_shown() -> None:
    """They were judged at another load; a figure at its limit holds. What is no threshold is left out."""
    texts = ("p(95)<500", "error_rate<0.01", "p95 <= 500 ms")
    slo = [{"threshold": text, "ok": True, "observed": 0.0, "asked": False} for text in texts]

    metrics = staged(slo=slo)["metrics"]

    assert metrics["http_req_duration"]["thresholds"] == {"p(95)<500": {"ok": True}}
    assert metrics["http_req_failed"]["thresholds"] == {"rate<0.01": {"ok": False}}


def test_a_part_is_a_scenario_with_its_own_limits() -> None:
    """p95 60 ms is above its 50 ms, though below the run's 500; a part nobody used holds nothing."""
    unused = Part(name="Login", endpoints=("/login",), presses="")

    metrics = k6_summary(report(step("stage", 0, 2)), rows(), [CREATE, unused])["metrics"]

    assert metrics["http_reqs{scenario:Create User}"]["values"]["count"] == 10
    assert metrics["http_req_duration{scenario:Create User}"]["thresholds"] == {"p(95)<50": {"ok": False}}
    assert metrics["http_req_failed{scenario:Create User}"]["thresholds"] == {"rate<0.01": {"ok": False}}
    assert metrics["http_req_duration{scenario:Login}"] == {
        "type": "trend",
        "contains": "time",
        "values": {},
        "thresholds": {"p(95)<500": {"ok": False}},
    }


def test_dropped_iterations_are_the_open_models() -> None:
    """Users of a closed model drop none, and k6 has no such metric then."""
    open_model = staged(model="rate")["metrics"]

    assert open_model["dropped_iterations"]["values"] == {"count": 0, "rate": 0.0}
    assert "dropped_iterations" not in staged()["metrics"]


def test_a_search_is_summed_up_by_the_load_that_held() -> None:
    """The step nearest to the sustainable rate, without its settling time; warm-up and overload never count."""
    steps = [
        step("warmup", 0, 1, goodput_rps=99.0),
        step("ramp", 1, 4, index=1, goodput_rps=50.0),
        step("search", 4, 8, index=2, goodput_rps=98.0, settle_s=1.0),
        step("search", 8, 12, index=3, goodput_rps=101.0, passed=False),
        step("overload", 12, 16, index=4, goodput_rps=100.0),
    ]

    assert covered(report(*steps, rate=100.0)) == (
        "the sustainable load (step 2)",
        [(START_S + 5, START_S + 8)],
    )


def test_where_nothing_held_the_whole_search_is_summed_up() -> None:
    """And says so."""
    steps = [step("ramp", 0, 2, passed=False), step("search", 2, 4, passed=False), step("recovery", 4, 6)]

    assert covered(report(*steps)) == (
        "all steps of the search; none held",
        [(START_S, START_S + 2), (START_S + 2, START_S + 4)],
    )


def test_a_run_that_measured_nothing_has_no_metrics() -> None:
    """Nothing was measured, so nothing is 0."""
    summary = k6_summary(report(), [])

    assert summary["metrics"] == {}
    assert summary["state"]["testRunDurationMs"] == 0


def test_a_real_report_and_its_recording_fit_together(tmp_path: Path) -> None:
    """The sample run's sustainable step: as many requests as its rows hold, and a word on what it covers."""
    recording = sample_recording(tmp_path)
    built = build_report(sample_run(), sample_diagnosis(), [])

    summary = k6_summary(built, recording.digests)

    (start_s, end_s) = covered(built)[1][0]
    inside = [row for row in recording.digests if start_s <= (row["t0_s"] + row["t1_s"]) / 2 < end_s]
    count = sum(entry["ok"] for row in inside for entry in row["names"].values())
    assert count > 0
    assert summary["metrics"]["http_reqs"]["values"]["count"] == count
    assert summary["metrics"]["http_req_failed"]["values"] == {"rate": 0.0, "passes": 0, "fails": count}
    assert summary["pinchpoint"]["run"] == sample_run()["id"]
    assert summary["pinchpoint"]["covers"].startswith("the sustainable load")
