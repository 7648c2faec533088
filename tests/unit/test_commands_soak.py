"""The soak's driver: which rate, which slices, and every way out, on a made-up session."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pinchpoint.clientstats import ClientWindow
from pinchpoint.commands.config import SoakAsk, parse_soak
from pinchpoint.commands.soak import Soaker, slice_seconds, slices
from pinchpoint.errors import MeasurementError, TargetError, UsageError
from pinchpoint.rows import DigestRow
from pinchpoint.stress.ramp import Judgement, Slo
from support.synthetic_soak import digest

SECOND_S = 1.0


class Quiet:
    """Progress that nobody watches; keeps what was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Ignore it."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Ignore it."""

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Keep the line."""
        self.told.append(f"{name} {offered:g} {'ok' if judgement.passed else 'broke'}")

    def note(self, message: str) -> None:
        """Keep it."""
        self.told.append(message)


@dataclass
class World:
    """A clock that sleeping moves, and a target that answers up to `capacity` at 20 ms, above it slowly."""

    capacity: float = 100.0
    dies_at_s: float = 1e9
    silent_from_s: float = 1e9
    now_s: float = 1000.0
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    curve: list[list[Any]] = field(default_factory=list)
    started_s: float = 0.0
    told_s: float = 0.0
    segment_id: int = 0
    parts: int = 1
    lost: list[Any] = field(default_factory=list)

    def clock(self) -> float:
        """Monotonic seconds."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    def check(self) -> None:
        """Raise once the target's hour has come."""
        if self.now_s >= self.dies_at_s:
            raise TargetError("the target was killed by SIGKILL")

    def event(self, kind: str, **data: Any) -> None:
        """Record."""
        self.events.append((kind, data))

    def segment(self, _model: str, duration_s: float, **asked: Any) -> tuple[int, float]:
        """Put a load in force at once."""
        self.segment_id += 1
        rate = asked.get("rate_rps", 0.0)
        self.curve = [list(one) for one in asked.get("curve") or [["line", rate, rate, duration_s]]]
        self.started_s = self.told_s = self.now_s
        return self.segment_id, self.now_s

    def rows(self) -> list[DigestRow]:
        """Return a row for every whole second since the last call."""
        found: list[Any] = []
        while (
            self.told_s + SECOND_S <= self.now_s + 1e-9 and self._rate(self.told_s) and self.now_s < self.silent_from_s
        ):
            rate = self._rate(self.told_s)
            slow = rate > self.capacity
            row = digest(self.told_s + SECOND_S, round(min(rate, self.capacity)), 4000.0 if slow else 20.0)
            found.append({**row, "segment": self.segment_id, "scheduled": round(rate), "started": round(rate)})
            self.told_s += SECOND_S
        return found

    def _rate(self, at_s: float) -> float:
        begun_s = self.started_s
        for _, rate, _, seconds in self.curve:
            if begun_s <= at_s + 1e-9 < begun_s + seconds:
                return float(rate)
            begun_s += seconds
        return 0.0

    def idle(self) -> None:
        """End the load."""

    def wait_drained(self, _timeout_s: float) -> bool:
        """Nothing is in flight."""
        return True


def soaker(world: World, ask: SoakAsk, **more: Any) -> Soaker:
    """Return a driver on that world."""
    session = SimpleNamespace(
        config=SimpleNamespace(model="rate", processes=1, spacing="poisson"),
        generator=world,
        clock=world.clock,
        check=world.check,
        event=world.event,
        start_target=lambda _s: 1.0,
        start_generator=lambda _s: None,
        plan=SimpleNamespace(base_url="http://127.0.0.1:1"),
    )
    slo = Slo(500.0, 0.01)
    return Soaker(cast("Any", session), ask, slo, Quiet(), 15.0, sleep=world.sleep, **more)


def steps(world: World, phase: str) -> list[dict[str, Any]]:
    """Return the recorded steps of a phase."""
    return [data for kind, data in world.events if kind == "step" and data["phase"] == phase]


def test_a_soak_holds_the_rate_half_of_it_and_none_in_slices_without_a_gap() -> None:
    """60, 30 and 10 % of a minute."""
    world = World()

    assert soaker(world, SoakAsk(60.0, rate_rps=80.0)).run() == "soaked"

    found = steps(world, "soak")
    edges = [(one["t_start_s"], one["t_end_s"]) for one in found]
    seconds = {rate: sum(b - a for (a, b), one in zip(edges, found, strict=True) if one["offered_rps"] == rate)
               for rate in (80.0, 40.0, 0.0)}  # fmt: skip
    assert seconds == pytest.approx({80.0: 36, 40.0: 18, 0.0: 6})
    assert [one["passed"] for one in found] == [True] * len(found)
    pressed = [edge for edge, one in zip(edges, found, strict=True) if one["offered_rps"]]
    assert [b for _, b in pressed[:-1]] == [a for a, _ in pressed[1:]]


def test_without_a_rate_a_share_of_the_highest_that_held_is_taken() -> None:
    """100/s is the limit: the search ends within 6 % below it, the soak runs at 60 % of that."""
    world = World()
    soaker(world, SoakAsk(60.0)).run()
    held = max(
        one["offered_rps"] for phase in ("baseline", "ramp", "search") for one in steps(world, phase) if one["passed"]
    )

    assert 90 <= held <= 100
    assert steps(world, "soak")[0]["offered_rps"] == pytest.approx(0.6 * held)


def test_a_target_that_holds_no_rate_is_told() -> None:
    """Not even one request per second: give a rate, or mend it."""
    with pytest.raises(MeasurementError, match="give one with --rate"):
        soaker(World(capacity=0.1), SoakAsk(60.0)).run()


def test_a_reason_to_stop_ends_the_load_and_is_recorded() -> None:
    """`--autostop`, ten seconds into the load."""
    world = World()

    @dataclass
    class Stopper:
        stop: Any = None

        def __call__(self, _rows: list[DigestRow]) -> str | None:
            return "errors above 10 %" if world.now_s > world.started_s + 10 and world.segment_id == 2 else None

    assert soaker(world, SoakAsk(60.0, rate_rps=80.0), stop=Stopper()).run() == "stopped"
    stop = next(data for kind, data in world.events if kind == "stop")
    assert (stop["message"], stop["offered_rps"]) == ("errors above 10 %", 80.0)
    assert sum(one["t_end_s"] - one["t_start_s"] for one in steps(world, "soak")) == pytest.approx(10, abs=0.3)


def test_a_target_that_dies_is_told_with_the_slice_it_died_in() -> None:
    """What was measured until then is in the recording."""
    world = World(dies_at_s=1020.0)

    with pytest.raises(TargetError, match="SIGKILL"):
        soaker(world, SoakAsk(60.0, rate_rps=80.0)).run()
    last = steps(world, "soak")[-1]
    assert (last["passed"], last["breaches"]) == (False, ["the target was killed by SIGKILL"])


def test_a_silent_generator_is_no_result() -> None:
    """Rows stop coming: the generator, not the server, was silent."""
    with pytest.raises(MeasurementError, match="silent"):
        soaker(World(silent_from_s=1015.0), SoakAsk(60.0, rate_rps=80.0)).run()


@pytest.mark.parametrize(("seconds", "slice_s"), [(40, 2.0), (60, 2.0), (400, 2.0), (1800, 9.0), (8 * 3600, 144.0)])
def test_slices_are_few_and_of_whole_seconds(seconds: float, slice_s: float) -> None:
    """Two hundred at most: eight hours of two seconds each would be a recording nobody reads."""
    assert slice_seconds(seconds) == slice_s


def test_no_slice_is_too_short_to_judge() -> None:
    """The last one of a load takes the rest in."""
    found = list(slices([(10.0, 5.0), (5.0, 3.0)], 0.0, 2.0))

    assert found == [(10.0, 0.0, 2.0), (10.0, 2.0, 5.0), (5.0, 5.0, 8.0)]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("10s", None, None), "too short"), (("soon", None, None), "not a duration"), (("1h", 5.0, 0.5), "one of them")],
)
def test_what_makes_no_sense_is_refused(words: tuple[str, float | None, float | None], said: str) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=said):
        parse_soak(*words)


def test_a_soak_is_asked_for_in_the_words_of_a_budget() -> None:
    """`--for 1h30m --rate 50`."""
    assert parse_soak("1h30m", 50.0, None) == SoakAsk(5400.0, 50.0, 0.6)
    assert parse_soak("40", None, 0.8) == SoakAsk(40.0, None, 0.8)
