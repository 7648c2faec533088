"""A load profile against a simulated generator, target and clock: slices, early ends, the budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.limits import read_limits, slo_of
from pinchpoint.commands.staged import LEAST_OVERHEAD_S, OVERHEAD_S, Staged
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.rows import DigestRow
from support.digest_rows import START_S, digest

CAPACITY_RPS = 100.0
LATENCY_MS = 10.0


def area(pieces: Sequence[Sequence[Any]]) -> Callable[[float], float]:
    """Return the arrivals of straight lines up to a time."""

    def integral(t_s: float) -> float:
        total = 0.0
        for _, start, end, seconds in pieces:
            gone_s = min(max(t_s, 0.0), seconds)
            total += gone_s * (start + (end - start) * gone_s / seconds / 2)
            t_s -= seconds
        return total

    return integral


class World:
    """A clock that moves when somebody sleeps, and a queue in front of a server of known capacity."""

    def __init__(self) -> None:
        self.now_s = START_S
        self.backlog = 0.0
        self.segment = 0
        self.offer: Callable[[float], float] = lambda _: 0.0
        self.begun_s = self.ends_s = START_S
        self.row_s = START_S
        self.fresh: list[DigestRow] = []
        self.dies_at_s = float("inf")
        self.users: list[int] = []

    def clock(self) -> float:
        """Read the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass; a row for every whole second of the load level in force."""
        self.now_s = round(self.now_s + seconds, 6)
        while self.row_s + 1 <= min(self.now_s, self.ends_s) + 1e-9:
            self.row_s += self.emit(1.0)

    def emit(self, seconds: float) -> float:
        """Serve for a while and report it."""
        t_s = self.row_s - self.begun_s
        arrivals = self.offer(t_s + seconds) - self.offer(t_s)
        served = min(self.backlog + arrivals, CAPACITY_RPS * seconds)
        self.backlog += arrivals - served
        latency_ms = LATENCY_MS + 1000 * self.backlog / CAPACITY_RPS
        row = digest(
            self.row_s - START_S,
            [latency_ms] * round(served),
            scheduled=round(arrivals),
            inflight=round(self.backlog),
            seconds=seconds,
            segment=self.segment,
        )
        self.fresh.append(row)
        return seconds


@dataclass
class FakeGenerator:
    """The generator's handle over a `World`."""

    world: World
    parts: int = 1
    lost: list[Any] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def segment(self, model: str, duration_s: float, **load: Any) -> tuple[int, float]:
        """Put a load level in force at once, or where the last one ends."""
        world = self.world
        self.asked.append({"model": model, "seconds": duration_s, **load})
        world.segment += 1
        if model == "users":
            world.users.append(load["users"])
            world.offer = lambda t_s: 20.0 * t_s
        elif load.get("curve"):
            world.offer = area(load["curve"])
        else:
            world.offer = lambda t_s: load["rate_rps"] * t_s
        world.begun_s = world.row_s = load.get("at_s") or world.now_s
        world.ends_s = world.begun_s + duration_s
        return world.segment, world.begun_s

    def idle(self) -> None:
        """Stop; what was in force is reported."""
        world = self.world
        left_s = min(world.now_s, world.ends_s) - world.row_s
        if left_s > 0.01:
            world.row_s += world.emit(left_s)
        world.ends_s = world.row_s
        world.segment += 1

    def wait_drained(self, timeout_s: float) -> bool:
        """Let the queue drain."""
        self.world.now_s += self.world.backlog / CAPACITY_RPS
        self.world.backlog = 0.0
        return True

    def rows(self) -> list[DigestRow]:
        """Return new rows."""
        rows, self.world.fresh = self.world.fresh, []
        return rows


@dataclass
class FakeSession:
    """What a staged run needs of a session."""

    world: World
    config: RunConfig
    generator: FakeGenerator | None = None
    sampler: None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    plan: Any = field(default_factory=lambda: SimpleNamespace(base_url="http://127.0.0.1:1"))

    @property
    def clock(self) -> Callable[[], float]:
        """The world's clock."""
        return self.world.clock

    def start_target(self, deadline_s: float) -> float:
        """Boot in two seconds."""
        self.world.now_s += 2.0
        return 2.0

    def start_generator(self, deadline_s: float) -> None:
        """Make the generator."""
        self.generator = FakeGenerator(self.world)

    def check(self) -> None:
        """Raise once the target's hour has come."""
        if self.world.now_s >= self.world.dies_at_s:
            raise TargetError("the target exited with code -9")

    def event(self, kind: str, **data: Any) -> None:
        """Record."""
        self.events.append((kind, data))


class Silence:
    """A progress that says nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        """Take anything."""
        return lambda *_args, **_words: None


def build(
    stages: str, *, model: str = "rate", thresholds: Sequence[str] = (), autostop: Sequence[str] = ()
) -> tuple[Staged, FakeSession]:
    """Make a staged run over a simulated server."""
    found = read_limits(model, stages, thresholds, autostop, "even", None)
    config = RunConfig(model=model, **found)
    session = FakeSession(World(), config)
    slo = slo_of(config)
    staged = Staged(
        session,  # type: ignore[arg-type]
        found["stages"],
        slo,
        Silence(),
        config.thresholds,
        config.autostop,
        sleep=session.world.sleep,
    )
    return staged, session


def steps(session: FakeSession, phase: str = "stage") -> list[dict[str, Any]]:
    """Return the recorded steps of a phase."""
    return [data for kind, data in session.events if kind == "step" and data["phase"] == phase]


def event(session: FakeSession, kind: str) -> dict[str, Any]:
    """Return the one event of a kind."""
    (found,) = [data for each, data in session.events if each == kind]
    return found


def test_a_profile_is_one_segment_recorded_as_slices() -> None:
    """Warm-up and baseline before it, recovery after it; each slice with its mean load, judged by the limits."""
    staged, session = build("const(50,4s),const(200,4s),const(50,8s)")

    assert staged.run(START_S) == "completed"
    slices = [(one["offered_rps"], one["t_end_s"] - one["t_start_s"], one["passed"]) for one in steps(session)]
    assert slices == [(50.0, 4.0, True), (200.0, 4.0, False), (50.0, 4.0, False), (50.0, 4.0, False)]
    assert [len(steps(session, phase)) for phase in ("warmup", "baseline", "recovery")] == [1, 1, 1]
    assert session.generator is not None
    profile = next(one for one in session.generator.asked if one.get("curve"))
    assert (profile["seconds"], profile["spacing"]) == (16.0, "even")
    assert event(session, "stages")["spikes"] == [{"start_s": 4.0, "end_s": 8.0, "base": 50.0, "peak": 200.0}]


def test_an_autostop_names_the_point_of_imbalance() -> None:
    """The load at which the breach began and the last good second before it; the rest is not offered."""
    staged, session = build("line(0,300,30s)", autostop=["quantile(90,200ms,3s)"])

    assert staged.run(START_S) == "stopped"
    stop = event(session, "stop")
    assert stop["criterion"] == "quantile(90,200ms,3s)"
    # 10 rps more every second pass 100 rps at second 10; after second 11, 5 + 15 requests wait: 0.2 s.
    assert stop["second"] == 11.0
    assert stop["offered_rps"] == pytest.approx(115.0)
    assert (stop["last_good_s"], stop["last_good_load"]) == (10.0, pytest.approx(105.0))
    assert max(one["t_end_s"] for one in steps(session)) - staged._begun_s < 18.0
    assert len(steps(session, "recovery")) == 1


def test_a_threshold_that_aborts_waits_for_its_delay() -> None:
    """Judged over everything since the load began; what crossed it first is where the breach began."""
    staged, session = build("line(0,300,30s)", thresholds=["p(90)<200,abortOnFail,delayAbortEval=20s"])

    assert staged.run(START_S) == "stopped"
    stop = event(session, "stop")
    assert stop["at_s"] - staged._begun_s == 20.0
    assert stop["second"] == 11.0
    assert "p(90)<200 is crossed" in stop["message"]


def test_users_are_offered_one_population_after_the_other() -> None:
    """Each announced before it begins, from exactly where the last one ends."""
    staged, session = build("0s:2,3s:2,2s:8", model="users")

    assert staged.run(START_S) == "completed"
    assert session.generator is not None
    offered = [one for one in session.generator.asked if one["model"] == "users"][2:-1]
    assert [(one["seconds"], one["users"]) for one in offered] == [(3.0, 2), (1.0, 4), (1.0, 7)]
    assert [one["at_s"] - staged._begun_s for one in offered[1:]] == [3.0, 4.0]
    assert [one["users"] for one in steps(session)] == [2, 5]


def test_a_target_that_dies_ends_the_profile_with_its_last_slice() -> None:
    """The slice is recorded as broken, and the run goes on to its report."""
    staged, session = build("const(50,20s)")
    session.world.dies_at_s = START_S + 2.0 + 5.0 + 8.0

    assert staged.run(START_S) == "target-died"
    assert steps(session)[-1]["breaches"] == ["the target exited with code -9"]


def test_a_lost_load_worker_voids_its_slice_and_the_others_take_over() -> None:
    """The rest of the curve is offered anew, shared by those that remain."""
    staged, session = build("const(50,12s)")
    world = session.world

    def sleep(seconds: float) -> None:
        world.sleep(seconds)
        generator = session.generator
        if generator is not None and not generator.lost and world.now_s >= START_S + 13.0:
            generator.lost.append(SimpleNamespace(process=1, name="far", message="far was lost", segment=5))

    staged.sleep = sleep
    assert staged.run(START_S) == "completed"
    assert len(steps(session, "void")) == 1
    assert event(session, "worker-lost")["name"] == "far"
    assert session.generator is not None
    again = [one for one in session.generator.asked if one.get("curve")]
    assert len(again) == 2
    assert again[0]["seconds"] == 12.0 > again[1]["seconds"] > 4.0


def test_a_budget_is_as_long_as_the_stages_need() -> None:
    """Unless one was given; one that is too short is refused before anything starts."""
    text = "const(50,100s)"

    assert read_limits("rate", text, [], [], "poisson", None)["budget_s"] == 100 + OVERHEAD_S
    assert read_limits("rate", text, [], [], "poisson", 130.0)["budget_s"] == 130.0
    with pytest.raises(UsageError, match=r"the stages take 100 s.*at least 120s"):
        read_limits("rate", text, [], [], "poisson", 100 + LEAST_OVERHEAD_S - 1)
    with pytest.raises(UsageError, match="limit"):
        read_limits("rate", None, [], ["limit(1m)"], "poisson", None)
    with pytest.raises(UsageError, match="--arrivals"):
        read_limits("rate", None, [], [], "random", None)


def test_what_is_in_flight_may_grow_with_the_load() -> None:
    """From 50 to 100 rps, twice as many in flight is the same latency (Little); four times as many is a queue."""
    staged, _ = build("10s:100")
    staged._begun_s = START_S
    staged._backlog = {START_S + 5.0: 12, START_S + 10.0: 24}
    assert staged._queue(START_S, START_S + 10.0, 300).grows is False

    staged._backlog[START_S + 10.0] = 48
    assert staged._queue(START_S, START_S + 10.0, 300).grows is True
