"""The engine against a simulated generator, target and clock: phases, budget and ways out, without waiting."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint import histograms
from pinchpoint.clientstats import ClientWindow
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.engine import Engine
from pinchpoint.commands.plan import make_plan
from pinchpoint.errors import MeasurementError, TargetError
from pinchpoint.rows import DigestRow, NameRow
from pinchpoint.stress.ramp import Judgement, Slo

BOOT_S = 2.0
ROW_S = 0.5


class World:
    """A clock that only moves when somebody sleeps, and a server that serves up to `capacity` requests per second."""

    def __init__(self, capacity: float) -> None:
        self.now_s = 100.0
        self.capacity = capacity
        self.backlog = 0.0
        self.rate = 0.0
        self.segment = 0
        self.dies_at_s: float | None = None
        self.silent = False
        self.hangs_at_s: float | None = None
        self.fresh: list[DigestRow] = []
        self.unreported_s = 0.0

    def clock(self) -> float:
        """Read the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass, half a second of rows at a time."""
        self.now_s += seconds
        self.unreported_s += seconds
        while self.unreported_s >= ROW_S:
            self.report(ROW_S)

    def report(self, seconds: float) -> None:
        """Emit one row for the time that has passed."""
        self.unreported_s = max(0.0, self.unreported_s - seconds)
        if self.silent or seconds <= 0:
            return
        arrivals = self.rate * seconds
        served = min(arrivals + self.backlog, self.capacity * seconds)
        if self.hangs_at_s is not None and self.now_s >= self.hangs_at_s:
            served = 0.0
        self.backlog += arrivals - served
        latency_ms = 5.0 + 1000 * self.backlog / self.capacity
        self.fresh.append(self._row(seconds, arrivals, served, latency_ms))

    def _row(self, seconds: float, arrivals: float, served: float, latency_ms: float) -> DigestRow:
        histogram = histograms.new()
        histograms.record_all(histogram, [round(latency_ms * 1000)] * round(served))
        name = NameRow(
            ok=round(served),
            failed=0,
            errors={},
            bytes=0,
            latency_ok=histograms.encode(histogram),
            latency_failed=None,
            service_ok=None,
        )
        t1_s = self.now_s - self.unreported_s
        return DigestRow(
            process=0,
            pid=1,
            segment=self.segment,
            t0_s=t1_s - seconds,
            t1_s=t1_s,
            scheduled=round(arrivals),
            started=round(arrivals),
            unsent=0,
            inflight=round(self.backlog),
            inflight_s=self.backlog * seconds,
            users=16,
            cpu_s=0.1,
            runq_s=0.0,
            send_lag=None,
            names={"GET /": name},
        )


class FakeGenerator:
    """The generator's handle over a `World`."""

    parts = 1

    def __init__(self, world: World) -> None:
        self.world = world
        self.lost: list[Any] = []

    def segment(
        self, model: str, duration_s: float, *, rate_rps: float = 0.0, users: int = 0, spacing: str = "poisson"
    ) -> tuple[int, float]:
        """Start a load level."""
        self.world.report(self.world.unreported_s)
        self.world.segment += 1
        self.world.rate = rate_rps
        return self.world.segment, self.world.now_s

    def idle(self) -> None:
        """Stop the load; what was in force is reported."""
        self.world.report(self.world.unreported_s)
        self.world.segment += 1
        self.world.rate = 0.0

    def wait_drained(self, timeout_s: float) -> bool:
        """Let the backlog drain."""
        hangs = self.world.hangs_at_s is not None and self.world.now_s >= self.world.hangs_at_s
        needed_s = 1e9 if hangs else self.world.backlog / self.world.capacity
        self.world.backlog = 0.0
        self.world.now_s += min(needed_s, timeout_s)
        return needed_s <= timeout_s

    def rows(self) -> list[DigestRow]:
        """Return new rows."""
        rows, self.world.fresh = self.world.fresh, []
        return rows


@dataclass
class FakeSession:
    """What the engine needs of a session."""

    world: World
    config: RunConfig
    generator: FakeGenerator | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    plan: Any = field(default_factory=lambda: SimpleNamespace(base_url="http://127.0.0.1:1"))

    @property
    def clock(self) -> Callable[[], float]:
        """The world's clock."""
        return self.world.clock

    def start_target(self, deadline_s: float) -> float:
        """Boot in two seconds."""
        self.world.now_s += BOOT_S
        return BOOT_S

    def start_generator(self, deadline_s: float) -> None:
        """Make the generator."""
        self.generator = FakeGenerator(self.world)

    def check(self) -> None:
        """Raise once the target's hour has come."""
        if self.world.dies_at_s is not None and self.world.now_s >= self.world.dies_at_s:
            raise TargetError("the target exited with code -9; its last words: Killed")

    def event(self, kind: str, **data: Any) -> None:
        """Record."""
        self.events.append((kind, data))


class Silence:
    """A progress that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Ignore."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Ignore."""

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Ignore."""

    def note(self, message: str) -> None:
        """Keep."""
        self.notes.append(message)


def build(capacity: float, budget_s: float = 60.0, *, profile: bool = True) -> tuple[Engine, FakeSession]:
    """Make an engine over a simulated server."""
    world = World(capacity)
    session = FakeSession(world, RunConfig(budget_s=budget_s))
    profiled: list[str] = []

    def profiler(_: Any, phase: str, seconds: float, share: float) -> list[str]:
        world.sleep(seconds)
        profiled.append(phase)
        return []

    engine = Engine(
        session,  # type: ignore[arg-type]
        make_plan(budget_s, profile=profile),
        Slo(500.0, 0.01),
        Silence(),
        profiler if profile else None,
        sleep=world.sleep,
    )
    return engine, session


def steps(session: FakeSession) -> list[dict[str, Any]]:
    """Return the recorded steps."""
    return [data for kind, data in session.events if kind == "step"]


@pytest.mark.parametrize("capacity", [70.0, 700.0, 6_000.0])
def test_a_minute_holds_every_phase_and_brackets_the_capacity(capacity: float) -> None:
    """Warm-up to profiles within 60 s, at least five steps, bounds on both sides of the truth."""
    engine, session = build(capacity)
    started_s = session.world.now_s

    outcome = engine.run(started_s)

    recorded = steps(session)
    phases = [step["phase"] for step in recorded]
    searched = [step for step in recorded if step["phase"] in {"baseline", "ramp", "search"}]
    passed = max(step["offered_rps"] for step in searched if step["passed"])
    failed = min(step["offered_rps"] for step in searched if not step["passed"])
    assert outcome == "failure-found"
    assert len(searched) >= 5
    assert passed <= capacity * 1.05
    assert failed >= capacity * 0.95
    assert failed / passed < 1.5
    assert phases[0] == "warmup"
    assert phases[-4:] == ["overload", "recovery", "profile-baseline", "profile-limit"]
    assert session.world.now_s - started_s <= 60.0


def test_a_longer_budget_narrows_the_bracket() -> None:
    """Three minutes end within the search's own width."""
    engine, session = build(700.0, budget_s=180.0)
    engine.run(session.world.now_s)
    searched = [step for step in steps(session) if step["phase"] in {"baseline", "ramp", "search"}]
    passed = max(step["offered_rps"] for step in searched if step["passed"])
    failed = min(step["offered_rps"] for step in searched if not step["passed"] and step["offered_rps"] > passed)

    assert failed / passed <= 1.07


def test_a_target_that_dies_under_load_is_a_breaking_point() -> None:
    """The step in which it died is recorded as failed, and the run ends in order."""
    engine, session = build(5_000.0)
    session.world.dies_at_s = session.world.now_s + 16.0

    assert engine.run(session.world.now_s) == "target-died"
    last = steps(session)[-1]
    assert last["passed"] is False
    assert "exited with code -9" in last["breaches"][0]


def test_a_target_that_dies_before_the_baseline_is_an_error() -> None:
    """Exit code 4 is for targets that were never measured."""
    engine, session = build(5_000.0)
    session.world.dies_at_s = session.world.now_s + BOOT_S + 1.0

    with pytest.raises(TargetError, match="before a baseline was measured"):
        engine.run(session.world.now_s)


def test_a_generator_that_reports_nothing_ends_the_run() -> None:
    """Silence of the generator is no silence of the server."""
    engine, session = build(700.0)
    session.world.silent = True

    with pytest.raises(MeasurementError, match="was silent"):
        engine.run(session.world.now_s)


def test_without_profiling_the_time_goes_to_the_search() -> None:
    """No profile phases, and a narrower bracket than none."""
    engine, session = build(700.0, profile=False)
    engine.run(session.world.now_s)

    assert {"profile-baseline", "profile-limit"}.isdisjoint(step["phase"] for step in steps(session))


def test_an_app_that_never_fails_within_the_budget_says_so() -> None:
    """No upper bound, no overload, no recovery to speak of."""
    engine, session = build(1e6, budget_s=30.0, profile=False)

    assert engine.run(session.world.now_s) in {"out-of-time", "highest-load"}
    assert "overload" not in {step["phase"] for step in steps(session)}


@pytest.mark.parametrize("budget_s", [20.0, 30.0, 60.0])
@pytest.mark.parametrize("hangs_after_s", [BOOT_S, BOOT_S + 6.0])
def test_a_target_that_hangs_is_named_and_costs_no_more_than_the_budget(budget_s: float, hangs_after_s: float) -> None:
    """No completed request is a breach; waiting for what never comes stays within the budget and a drain."""
    engine, session = build(700.0, budget_s=budget_s, profile=False)
    started_s = session.world.now_s
    session.world.hangs_at_s = started_s + hangs_after_s

    assert engine.run(started_s) == "failure-found"
    recorded = steps(session)
    assert any("not one request completed" in breach for step in recorded for breach in step["breaches"])
    assert recorded[-1]["phase"] == "recovery"
    assert recorded[-1]["passed"] is False
    assert session.world.now_s - started_s <= budget_s + 3.0


@pytest.mark.parametrize("capacity", [3.0, 8.0])
def test_a_slow_app_is_measured_at_loads_it_can_hold(capacity: float) -> None:
    """The baseline goes down to what the first look saw, and the ramp starts there."""
    engine, session = build(capacity, budget_s=60.0, profile=False)

    engine.run(session.world.now_s)

    recorded = steps(session)
    assert next(step for step in recorded if step["phase"] == "baseline")["passed"] is True
    passed = max(step["offered_rps"] for step in recorded if step["passed"])
    assert passed <= capacity * 1.2  # a step of a dozen arrivals resolves no less
    assert any(step["phase"] in {"ramp", "search"} and not step["passed"] for step in recorded)


def test_a_target_that_dies_as_a_step_ends_still_leaves_that_step() -> None:
    """The breaking load is recorded also when the death is noticed while the last digests are read."""
    engine, session = build(5_000.0)

    class Dying(FakeGenerator):
        """Kills the target once the second ramp step has ended."""

        def idle(self) -> None:
            super().idle()
            if len(steps(session)) >= 3:
                session.world.dies_at_s = session.world.now_s

    def start(deadline_s: float) -> None:
        session.generator = Dying(session.world)

    session.start_generator = start  # type: ignore[method-assign]

    assert engine.run(session.world.now_s) == "target-died"
    assert steps(session)[-1]["index"] == 3
    assert steps(session)[-1]["passed"] is False


def test_what_cannot_be_profiled_is_told_once() -> None:
    """Both profile steps miss py-spy; one sentence is enough."""
    engine, session = build(700.0)
    engine.profile = lambda *_: ["No profiles: py-spy is not installed"]

    engine.run(session.world.now_s)

    assert [data for kind, data in session.events if kind == "note" and "py-spy" in data["message"]] == [
        {"message": "No profiles: py-spy is not installed"}
    ]


def test_a_slow_app_that_serves_what_nobody_waits_for_gets_a_second_baseline() -> None:
    """Clients give up after their timeout; the server does not, and the first baseline pays for it."""
    engine, session = build(3.0, budget_s=60.0, profile=False)
    drained = FakeGenerator.wait_drained

    class Abandoned(FakeGenerator):
        """Clients give up at once; the server goes on."""

        def wait_drained(self, timeout_s: float) -> bool:
            backlog = self.world.backlog
            finished = drained(self, 0.0)
            self.world.backlog = max(0.0, backlog - 30.0)
            return finished

    def start(deadline_s: float) -> None:
        session.generator = Abandoned(session.world)

    session.start_generator = start  # type: ignore[method-assign]
    engine.run(session.world.now_s)

    baselines = [step["passed"] for step in steps(session) if step["phase"] == "baseline"]
    assert baselines == [False, True]
