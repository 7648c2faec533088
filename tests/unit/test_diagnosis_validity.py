"""Each gate at, below and above its limits, without its figure, and never better for a worse value."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.clientstats import OUT_OF_DESCRIPTORS, OUT_OF_PORTS
from pinchpoint.diagnosis.gates import Judged, softened
from pinchpoint.diagnosis.generator_gates import (
    cpu_gate,
    lag_gate,
    loop_gate,
    run_queue_gate,
    stall_gate,
    started_gate,
    user_cap_gate,
)
from pinchpoint.diagnosis.resource_gates import (
    calibration_gate,
    cores_gate,
    descriptors_gate,
    imbalance_gate,
    lost_agent_gate,
    lost_workers_gate,
    ports_gate,
    silence_gate,
)
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.steps import ladder
from pinchpoint.diagnosis.surroundings import Calibration, Split, Surroundings, surroundings_of
from pinchpoint.diagnosis.validity import (
    GENERATOR_GATES,
    generator_failed,
    generator_to_blame,
    server_is_at_its_limit,
    validity,
)
from pinchpoint.measures import ClientFigures, ServerFigures, Step, WorkerFigures
from pinchpoint.recording import Recording
from pinchpoint.records import Gate

RANK = {"ok": 0, "warn": 1, "fail": 2}
MAX_USERS = 128
MACHINE = Machine(cores=1.0, shared=False)


def client(**changes: Any) -> ClientFigures:
    """Return what a generator that keeps up sees."""
    quiet: dict[str, Any] = {
        "cpu_share": 0.1, "runq_share": 0.01, "send_lag_ms_p99": 0.5, "scheduled": 1000, "started": 1000, "unsent": 0,
        "ok": 1000, "failed": 0, "inflight_mean": 1.0, "users": 16, "service_ms_p50": 5.0,
    }  # fmt: skip
    return ClientFigures(**{**quiet, **changes})


def server(**changes: Any) -> ServerFigures:
    """Return an idle server with one worker."""
    names = [
        name
        for name, one in ServerFigures.__dataclass_fields__.items()
        if one.default.__class__.__name__ == "_MISSING_TYPE" and one.default_factory.__class__.__name__ != "type"
    ]
    idle: dict[str, Any] = {
        **dict.fromkeys(names), "cpu_cores": 0.2, "runq_cores": 0.0, "loop_busy": 0.2, "foreign_cpu_cores": 0.0,
        "samples_received": 20, "samples_expected": 20, "requests_rps": 500.0,
    }  # fmt: skip
    idle.update(changes)
    return ServerFigures(**idle)


def step(*, passed: bool = True, load: float = 500.0, model: Any = "rate", **changes: Any) -> Step:
    """Return a step of two seconds; `client_…` and `server_…` change the figures of one side."""
    of_client = {key.removeprefix("client_"): value for key, value in changes.items() if key.startswith("client_")}
    of_server = {key.removeprefix("server_"): value for key, value in changes.items() if key.startswith("server_")}
    return Step(
        index=0, phase="ramp", model=model, t_start_s=0.0, t_end_s=2.0, settle_s=0.0,
        offered_rps=load if model == "rate" else None, users=None if model == "rate" else int(load),
        started_rps=load, goodput_rps=load, error_rate=0.0, latency_ms=None,
        client=client(**of_client), server=server(**of_server), passed=passed,
    )  # fmt: skip


def held(**changes: Any) -> Judged:
    """Return one step that held, judged alone."""
    one = step(**changes)
    return Judged([one], one)


def broken(**changes: Any) -> Judged:
    """Return a calm step that held, and one that broke with these figures."""
    return Judged([step()], step(passed=False, load=600.0, **changes))


def imbalanced(ratio: float) -> Judged:
    """Return two workers of which one serves `ratio` times the mean."""
    one = WorkerFigures(1, None, None, None, 100.0 * ratio, None, None, None)
    return held(server_per_worker=[one, replace(one, pid=2, requests_rps=100.0 * (2.0 - ratio))])


def calibrated(share: float | None) -> Surroundings:
    """Return a generator of which 500/s is this share."""
    return Surroundings(calibration=None if share is None else Calibration(max_rps=500.0 / share if share else 1e12))


def imbalance(ratio: float) -> Gate:
    """Return the gate for them."""
    gate = imbalance_gate(imbalanced(ratio))
    assert gate is not None
    return gate


GATES: dict[str, tuple[Callable[[float], Gate], float | None, float | None]] = {
    "generator-cpu": (lambda value: cpu_gate(held(client_cpu_peak=value)), 0.7, 0.9),
    "generator-loop": (lambda value: loop_gate(held(client_loop_busy=value)), 0.8, 0.9),
    "generator-stalls": (lambda value: stall_gate(broken(client_loop_stalled=value)), 0.2, 0.3),
    "generator-run-queue": (lambda value: run_queue_gate(held(client_runq_share=value)), 0.1, None),
    "send-lag": (lambda value: lag_gate(held(client_send_lag_ms_p99=value), 500.0), None, 50.0),
    "generator-fds": (lambda value: descriptors_gate(held(client_fds_share=value)), 0.8, 0.95),
    "generator-ports": (lambda value: ports_gate(held(), Surroundings(ports_share=value)), 0.5, 0.9),
    "calibration": (lambda value: calibration_gate(held(), calibrated(value)), 0.5, 0.9),
    "worker-imbalance": (imbalance, 1.3, None),
}
"""Gate -> (from its value, where it warns, where it fails)."""
JUST = 1e-6


@pytest.mark.parametrize("name", GATES)
def test_a_gate_warns_and_fails_from_its_limits_on(name: str) -> None:
    """Just below, at and just above each limit."""
    gate, warn, fail = GATES[name]
    if warn is not None:
        assert gate(warn - JUST).status == "ok"
        assert gate(warn + JUST).status == "warn"
    if fail is not None:
        assert gate(fail - JUST).status == "warn"
        assert gate(fail + JUST).status == "fail"
    assert gate(0.99 if name == "worker-imbalance" else 0.0).name == name


@given(name=st.sampled_from(sorted(GATES)), one=st.floats(0, 2), other=st.floats(0, 2))
def test_a_worse_value_never_has_a_better_status(name: str, one: float, other: float) -> None:
    """For any two values of any gate."""
    low, high = sorted((one, other))
    if name == "worker-imbalance":
        low, high = 1 + low / 2, 1 + high / 2
    gate = GATES[name][0]
    assert RANK[gate(low).status] <= RANK[gate(high).status]


@given(one=st.floats(0, 200), other=st.floats(0, 200), service=st.floats(0, 400))
def test_more_send_lag_never_has_a_better_status(one: float, other: float, service: float) -> None:
    """Whatever the service time that sets the limit."""
    low, high = sorted((one, other))
    gates = [lag_gate(held(client_send_lag_ms_p99=lag, client_service_ms_p50=service), 500.0) for lag in (low, high)]
    assert RANK[gates[0].status] <= RANK[gates[1].status]


@pytest.mark.parametrize(("lag_ms", "expected"), [(2.0, "ok"), (2.1, "warn"), (49.9, "warn"), (50.0, "fail")])
def test_send_lag_is_held_against_service_time_and_threshold(lag_ms: float, expected: str) -> None:
    """2 ms of lag beside 5 ms of service are fine; a tenth of the p95 limit is not."""
    assert lag_gate(held(client_send_lag_ms_p99=lag_ms), 500.0).status == expected


def test_users_that_wake_together_only_warn() -> None:
    """The latency of a closed load counts from the send."""
    crowd = held(client_send_lag_ms_p99=75.0, model="users")
    assert lag_gate(crowd, 500.0).status == "warn"


def test_send_lag_may_be_a_twentieth_of_a_slow_service() -> None:
    """20 ms beside 400 ms change nothing."""
    slow = held(client_send_lag_ms_p99=20.0, client_service_ms_p50=400.0)
    assert lag_gate(slow, 500.0).status == "ok"


@given(one=st.integers(0, 1000), other=st.integers(0, 1000), users=st.sampled_from([16, MAX_USERS]))
def test_fewer_arrivals_started_never_have_a_better_status(one: int, other: int, users: int) -> None:
    """Neither below the user cap nor at it."""
    many, few = sorted((one, other), reverse=True)
    statuses = []
    for started in (many, few):
        judged = held(client_started=started, client_users=users)
        gates = (started_gate(judged, MAX_USERS), user_cap_gate(judged, MAX_USERS))
        statuses.append([RANK[gate.status] for gate in gates if gate.status != "unavailable"])
    assert statuses[0] <= statuses[1]


@pytest.mark.parametrize(("started", "expected"), [(987, "ok"), (986, "warn"), (947, "warn"), (946, "fail")])
def test_arrivals_that_were_not_started_are_the_generators_below_the_cap(started: int, expected: str) -> None:
    """Of 1,000, with three that may straddle an edge."""
    judged = held(client_started=started)
    assert started_gate(judged, MAX_USERS).status == expected
    assert user_cap_gate(judged, MAX_USERS).status == "ok"


@pytest.mark.parametrize(("started", "expected"), [(988, "ok"), (986, "warn"), (940, "fail")])
def test_arrivals_that_were_not_started_are_censored_at_the_cap(started: int, expected: str) -> None:
    """A capped open load is a closed one: told by its own gate, with the way out."""
    judged = held(client_started=started, client_users=MAX_USERS)
    gate = user_cap_gate(judged, MAX_USERS)
    assert gate.status == expected
    assert ("--max-users" in gate.message) is (expected != "ok")
    assert started_gate(judged, MAX_USERS).status == "unavailable"


def test_a_cap_reached_in_the_step_that_broke_warns() -> None:
    """The limit found may be the population's; the server's own is then unknown."""
    broke = step(passed=False, load=600.0, client_users=MAX_USERS, client_started=800)
    assert user_cap_gate(Judged([step()], broke), MAX_USERS).status == "warn"
    assert user_cap_gate(Judged([step()], broke, exonerated=True), MAX_USERS).status == "ok"


@pytest.mark.parametrize(
    ("gate", "name"),
    [
        (cpu_gate(held(client_cpu_share=None)), "generator-cpu"),
        (loop_gate(held()), "generator-loop"),
        (stall_gate(held()), "generator-stalls"),
        (run_queue_gate(held(client_runq_share=None)), "generator-run-queue"),
        (lag_gate(held(client_send_lag_ms_p99=None), 500.0), "send-lag"),
        (started_gate(held(model="users"), None), "started-share"),
        (user_cap_gate(held(), None), "user-cap"),
        (user_cap_gate(held(model="users"), MAX_USERS), "user-cap"),
        (descriptors_gate(held()), "generator-fds"),
        (ports_gate(held(), Surroundings()), "generator-ports"),
        (calibration_gate(held(), Surroundings()), "calibration"),
        (calibration_gate(held(), Surroundings(calibration=Calibration(None, reason="why"))), "calibration"),
        (cores_gate(Surroundings()), "cores"),
    ],
)
def test_what_was_not_measured_is_unavailable(gate: Gate, name: str) -> None:
    """Never ok, never 0, and with a reason."""
    assert (gate.name, gate.status, gate.value) == (name, "unavailable", None)
    assert gate.message


def test_imbalance_needs_two_workers_that_are_counted() -> None:
    """One has nobody to differ from; one that was not counted may have served everything or nothing."""
    assert imbalance_gate(held()) is None
    workers = [WorkerFigures(pid, None, None, None, rate, None, None, None) for pid, rate in ((1, 100.0), (2, None))]
    gate = imbalance_gate(held(server_per_worker=workers))
    assert gate is not None
    assert gate.status == "unavailable"
    few = [replace(one, requests_rps=rate) for one, rate in zip(workers, (4.0, 0.5), strict=True)]
    gate = imbalance_gate(held(server_per_worker=few))
    assert gate is not None
    assert gate.status == "unavailable"


def test_pressure_stands_in_for_the_run_queue() -> None:
    """A kernel without schedstat still says for which share of the time somebody waited."""
    gate = run_queue_gate(held(client_runq_share=None, server_psi={"cpu_some": 0.3}))
    assert (gate.status, gate.value) == ("warn", 0.3)


def test_the_mean_stands_beside_the_busiest_second() -> None:
    """And for it, in a recording without one."""
    assert "0.95" in cpu_gate(held(client_cpu_share=0.4, client_cpu_peak=0.95)).message
    assert "0.40 on average" in cpu_gate(held(client_cpu_share=0.4, client_cpu_peak=0.95)).message
    assert cpu_gate(held(client_cpu_share=0.92)).status == "fail"


@pytest.mark.parametrize(
    ("kind", "gate"), [(OUT_OF_DESCRIPTORS, descriptors_gate), (OUT_OF_PORTS, lambda j: ports_gate(j, Surroundings()))]
)
def test_errors_of_the_generators_own_fail_a_gate(kind: str, gate: Callable[[Judged], Gate]) -> None:
    """Also in a step whose failure the server explains."""
    broke = step(passed=False, load=600.0, client_errors={kind: 7}, client_failed=7)
    assert gate(Judged([step()], broke, exonerated=True)).status == "fail"


def test_a_server_at_its_limit_excuses_a_busy_generator() -> None:
    """What failed only warns; what was only near stays as it was."""
    busy = Judged([step(client_cpu_peak=0.95, client_loop_busy=0.95)], step(passed=False), exonerated=True)
    assert [cpu_gate(busy).status, loop_gate(busy).status] == ["warn", "warn"]
    assert [softened(status, exonerated=True) for status in ("ok", "warn", "fail")] == ["ok", "warn", "warn"]
    near = Judged([step()], step(passed=False), exonerated=True)
    assert calibration_gate(near, calibrated(0.7)).status == "ok"
    assert calibration_gate(near, calibrated(0.95)).status == "warn"


def test_a_load_that_held_in_spite_of_stalls_held() -> None:
    """Its latencies count from the schedule, stalls included."""
    assert stall_gate(held(client_loop_stalled=0.6)).status == "warn"
    assert stall_gate(broken(client_loop_stalled=0.6)).status == "fail"


def test_a_generator_that_grew_on_its_own_cores_can_do_more_than_was_calibrated() -> None:
    """But nobody knows how much more it can do on the server's."""
    found = Calibration(max_rps=1000.0, processes=1)
    alone = Surroundings(calibration=found, split=Split(2, (2, 3), (0, 1)))
    shared = Surroundings(calibration=found, split=Split(2, (0, 1), (0,)))
    assert calibration_gate(held(), alone).value == pytest.approx(0.25)
    assert calibration_gate(held(), shared).value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (Split(1, (1,), (0,)), "server on CPU 0, load on CPU 1 with 1 process"),
        (Split(2, (0, 1), (0,)), "server on CPU 0, load on CPUs 0,1 with 2 processes; they shared cores"),
        (Split(3, (1,), (0,), "", 2), "server on CPU 0, load on CPU 1 with 1 process, and 2 on other hosts"),
        (Split(2, (1,), (0,), "", 2), "server on CPU 0, load from 2 processes on other hosts"),
        (Split(1, None, None), "server on any CPU, load on any CPU with 1 process; they shared cores"),
    ],
)
def test_the_split_of_the_cores_is_always_told(split: Split, expected: str) -> None:
    """In words, judged by nobody here."""
    gate = cores_gate(Surroundings(split=split))
    assert (gate.status, gate.message) == ("ok", expected)


def test_a_lost_worker_whose_step_was_repeated_leaves_the_run_valid() -> None:
    """One that nothing made up for does not."""
    cured = lost_workers_gate(Surroundings(lost_workers=["b was lost"], uncured_losses=0))
    open_ = lost_workers_gate(Surroundings(lost_workers=["b was lost"], uncured_losses=1))
    assert (cured.status, open_.status, lost_workers_gate(Surroundings()).status) == ("ok", "warn", "ok")
    assert "b was lost" in cured.message


def test_what_is_lost_or_silent_is_a_gate_only_then() -> None:
    """A lost agent warns, a silent generator fails."""
    assert lost_agent_gate(Surroundings()) is None
    assert silence_gate(Surroundings()) is None
    agent, silence = lost_agent_gate(Surroundings(lost_agent="gone")), silence_gate(Surroundings(silent="no word"))
    assert agent is not None
    assert silence is not None
    assert (agent.status, silence.status) == ("warn", "fail")
    assert silence.name in GENERATOR_GATES


def test_a_silent_generator_is_named_even_when_no_step_was_finished() -> None:
    """Then there is nothing else to say."""
    found = validity(ladder([]), MACHINE, 500.0, 0.01, Surroundings(silent="no word"))
    assert (found.status, generator_failed(found)) == ("invalid", True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_errors": {"503": 200}, "client_failed": 200}, True),
        ({"client_errors": {"timeout": 200}, "client_failed": 200}, False),
        ({"client_errors": {OUT_OF_PORTS: 200}, "client_failed": 200}, False),
        ({"server_loop_busy": 0.95}, True),
        ({}, False),
    ],
)
def test_a_server_is_at_its_limit_by_its_own_signals_only(changes: dict[str, Any], expected: bool) -> None:
    """A timeout may as well be the generator's, which was stopped when the answer came."""
    assert server_is_at_its_limit(step(passed=False, **changes), MACHINE, 0.01) is expected


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"client_cpu_peak": 0.95}, "95% of a core"),
        ({"client_loop_busy": 0.95}, "no time to wait"),
        ({"client_loop_stalled": 0.4}, "stopped"),
        ({"client_send_lag_ms_p99": 60.0}, "60 ms late"),
        ({"client_started": 900}, "arrivals were started"),
        ({"client_started": 900, "client_loop_busy": 0.3}, None),
        ({"client_started": 900, "client_users": MAX_USERS}, None),
        ({"client_cpu_peak": 0.95, "server_loop_busy": 0.95}, None),
        ({}, None),
    ],
)
def test_a_generator_is_to_blame_where_it_had_no_time_and_the_server_had(
    changes: dict[str, Any], word: str | None
) -> None:
    """And where nothing says so, nobody is."""
    why = generator_to_blame(step(passed=False, **changes), MACHINE, 500.0, 0.01, MAX_USERS)
    assert (why is not None and word in why) if word is not None else why is None


def test_the_surroundings_are_read_from_events_and_settings() -> None:
    """The last word counts; a loss before another step is cured, one after the last is not."""
    events: list[Any] = [
        {
            "kind": "generator",
            "t_s": 0.0,
            "data": {"processes": 1, "load_cpus": [1], "server_cpus": [0], "reason": "a"},
        },
        {"kind": "calibration", "t_s": 0.5, "data": {"max_rps": 900.0, "answered_rps": 950.0, "processes": 1}},
        {"kind": "worker-lost", "t_s": -1.0, "data": {"message": "b is gone"}},
        {"kind": "worker-lost", "t_s": 3.0, "data": {"message": "c is gone"}},
        {"kind": "generator", "t_s": 2.0, "data": {"processes": 2, "load_cpus": [0, 1], "reason": "grown"}},
    ]
    samples: list[Any] = [{"t_s": 1.0, "host": {"tcp_time_wait": 50, "local_ports": 100}}]
    recording = Recording(events, samples, [], {"load": {"max_users": 64, "processes": 1}}, None)  # type: ignore[arg-type]
    found = surroundings_of(recording, [step()])
    assert found.calibration == Calibration(900.0, 950.0, None, 1, "")
    assert found.split == Split(2, (0, 1), None, "grown")
    assert (found.max_users, found.changes, found.ports_share) == (64, ["grown"], 0.5)
    assert (found.lost_workers, found.uncured_losses) == (["b is gone", "c is gone"], 1)
    assert found.sharing({"load_cpus": [1]}) == {"load_cpus": [0, 1]}
