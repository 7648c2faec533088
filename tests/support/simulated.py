"""A simulated server, generator and clock behind the real engine: tokens x hold, noise, stolen seconds, collapse.

Requests are simulated one by one (first come, first served, `tokens` servers), so a run of 90 s takes a fraction of a
second. Everything random has a seed.
"""

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pinchpoint import histograms
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.engine import Engine
from pinchpoint.commands.plan import make_plan
from pinchpoint.commands.stepper import Held
from pinchpoint.recording import Recording
from pinchpoint.rows import DigestRow, EventRow, NameRow
from pinchpoint.stress.ramp import Slo

BOOT_S = 3.0
TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Server:
    """What is measured; its ceiling is `tokens / mean hold`."""

    tokens: int
    hold_s: float
    spread: float = 0.0
    """Standard deviation of the hold over its mean (gamma distributed); 0: the same every time."""
    slow_share: float = 0.0
    """Share of the requests that take `slow_factor` times as long."""
    slow_factor: float = 10.0
    stolen: float = 0.0
    """Share of the seconds in which nothing moves."""
    collapse_at: float = 0.0
    """Queue at which a hold takes twice as long (in proportion below and above, three times at most); 0: never."""
    failing: float = 0.0
    """Share of the requests that fail at once when the queue is longer than a second's work; 0: none."""
    drift: float = 0.0
    """Growth of the hold per thousand requests, as a share."""

    @property
    def ceiling_rps(self) -> float:
        """The most requests per second."""
        return self.tokens / (self.hold_s * (1 + self.slow_share * (self.slow_factor - 1)))


@dataclass
class World:
    """Time, arrivals and the server's tokens."""

    server: Server
    seed: int = 1
    even: bool = False
    now_s: float = 100.0
    segment: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    served: int = 0
    parts: int = 1
    lost: list[Any] = field(default_factory=list)
    _arrivals: list[float] = field(default_factory=list)
    _done: list[tuple[float, float, bool]] = field(default_factory=list)
    """(completion, scheduled arrival, success), by completion."""
    _free: list[float] = field(default_factory=list)
    _reported: int = 0
    _stolen: dict[int, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw nothing yet."""
        self.random = random.Random(self.seed)  # noqa: S311 - a simulation
        self._thief = random.Random(self.seed + 7)  # noqa: S311 - a simulation
        self._free = [0.0] * self.server.tokens

    def clock(self) -> float:
        """Read the time."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    # --- the server -------------------------------------------------------------------------------------------------

    def _running(self, t_s: float) -> float:
        """Return the first moment from `t_s` on at which the server runs."""
        while self.server.stolen and self._is_stolen(int(t_s)):
            t_s = float(int(t_s) + 1)
        return t_s

    def _is_stolen(self, second: int) -> bool:
        while len(self._stolen) <= second:
            self._stolen[len(self._stolen)] = self._thief.random() < self.server.stolen
        return self._stolen[second]

    def _hold(self, queue: float) -> float:
        server = self.server
        hold_s = server.hold_s * (1 + server.drift * self.served / 1000)
        if server.spread:
            shape = 1 / server.spread**2
            hold_s *= self.random.gammavariate(shape, 1 / shape)
        if server.slow_share and self.random.random() < server.slow_share:
            hold_s *= server.slow_factor
        if server.collapse_at:
            hold_s *= 1 + min(2.0, queue / server.collapse_at)
        return hold_s

    def _serve(self) -> None:
        pending: list[float] = []
        for due_s in self._arrivals:
            while pending and pending[0] <= due_s:
                heapq.heappop(pending)
            queue = max(0, len(pending) - self.server.tokens)
            if self.server.failing and queue > self.server.ceiling_rps and self.random.random() < self.server.failing:
                self._done.append((self._running(due_s + 0.001), due_s, False))
                continue
            begin_s = self._running(max(due_s, self._free[0]))
            end_s = self._running(begin_s + self._hold(queue))
            heapq.heapreplace(self._free, end_s)
            heapq.heappush(pending, end_s)
            self.served += 1
            self._done.append((min(end_s, due_s + TIMEOUT_S), due_s, end_s - due_s <= TIMEOUT_S))
        self._done.sort()

    # --- the generator ----------------------------------------------------------------------------------------------

    def offer(self, duration_s: float, *, rate_rps: float = 0.0, **_: Any) -> tuple[int, float]:
        """Start a load level."""
        self.segment += 1
        self.start_s, self.end_s = self.now_s + 0.05, self.now_s + 0.05 + duration_s
        count = round(rate_rps * duration_s)
        if self.even:
            self._arrivals = [self.start_s + (k + 0.5) * duration_s / count for k in range(count)]
        else:
            self._arrivals = sorted(self.random.uniform(self.start_s, self.end_s) for _ in range(count))
        self._done, self._reported = [], 0
        self._serve()
        return self.segment, self.start_s

    def idle(self) -> None:
        """Stop the load: it has ended by itself."""

    def wait_drained(self, timeout_s: float) -> bool:
        """Wait for what is in flight."""
        last_s = self._done[-1][0] if self._done else self.now_s
        drained = last_s <= self.now_s + timeout_s
        self.now_s = max(self.now_s, min(last_s, self.now_s + timeout_s)) + 0.05
        return drained

    def rows(self) -> list[DigestRow]:
        """Return the rows that have come since the last call."""
        found = []
        while self.start_s + self._reported < self.end_s:
            t0_s = self.start_s + self._reported
            t1_s = min(t0_s + 1.0, self.end_s)
            if self.now_s < t1_s:
                break
            self._reported += 1
            found.append(self._row(t0_s, t1_s))
        return found

    def _row(self, t0_s: float, t1_s: float) -> DigestRow:
        scheduled = bisect_left(self._arrivals, t1_s) - bisect_left(self._arrivals, t0_s)
        first, last = (bisect_left(self._done, (t_s, 0.0, False)) for t_s in (t0_s, t1_s))
        done = self._done[first:last]
        latencies = [int((end_s - due_s) * 1e6) for end_s, due_s, ok in done if ok]
        encoded = histograms.encode_values(latencies)
        failed = len(done) - len(latencies)
        unserved = bisect_left(self._arrivals, t1_s) - last
        return DigestRow(
            process=0, pid=1, segment=self.segment, t0_s=t0_s, t1_s=t1_s, scheduled=scheduled, started=scheduled,
            unsent=0, inflight=unserved, inflight_s=unserved * (t1_s - t0_s), users=128, cpu_s=0.1, runq_s=0.0,
            send_lag=None,
            names={"GET /": NameRow(
                ok=len(latencies), failed=failed, errors={"timeout": failed} if failed else {}, bytes=0,
                latency_ok=encoded, latency_failed=None, service_ok=encoded,
            )},
        )  # fmt: skip


class Handle:
    """The generator's handle that a session holds."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.parts = 1
        self.lost: list[Any] = []

    def segment(self, _model: str, duration_s: float, **load: Any) -> tuple[int, float]:
        """Start a load level."""
        return self._world.offer(duration_s, **load)

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the world."""
        return getattr(self._world, name)


@dataclass
class Session:
    """What the engine needs of a session."""

    world: World
    config: RunConfig
    generator: Handle | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    digests: list[DigestRow] = field(default_factory=list)
    plan: Any = field(default_factory=lambda: SimpleNamespace(base_url="http://127.0.0.1:1"))

    @property
    def clock(self) -> Callable[[], float]:
        """The world's clock."""
        return self.world.clock

    def recording(self) -> Recording:
        """Return what a run folder would hold."""
        slo = {"p95_ms": 500.0, "max_error_rate": 0.01}
        return Recording(
            root=Path(),
            settings={"load": {}, "slo": slo},
            events=cast("list[EventRow]", self.events),
            samples=[],
            digests=self.digests,
        )

    def start_target(self, _deadline_s: float) -> float:
        """Boot."""
        self.world.now_s += BOOT_S
        return BOOT_S

    def start_generator(self, _deadline_s: float) -> None:
        """Make the handle."""
        self.generator = Handle(self.world)

    def check(self) -> None:
        """See that the target lives: it does."""

    def event(self, kind: str, **data: Any) -> None:
        """Record."""
        self.events.append({"kind": kind, "t_s": self.world.now_s, "data": data})


class Watcher:
    """A progress that keeps the rows, as the recording does."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def phase(self, *_: Any) -> None:
        """Ignore."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Keep."""
        self._session.digests.extend(rows)

    def done(self, *_: Any) -> None:
        """Ignore."""

    def note(self, _message: str) -> None:
        """Ignore."""


def search(
    server: Server,
    *,
    seed: int = 1,
    budget_s: float = 90.0,
    profile: bool = False,
    even: bool = False,
    voids: Callable[[Held], str | None] | None = None,
) -> tuple[str, Session, float]:
    """Run the engine against the server; return (outcome, session, seconds used)."""
    world = World(server, seed, even)
    session = Session(world, RunConfig(budget_s=budget_s))

    def profiler(_session: Any, _phase: str, seconds: float, _share: float) -> list[str]:
        world.sleep(seconds)
        return []

    engine = Engine(
        session,  # type: ignore[arg-type]
        make_plan(budget_s, profile=profile),
        Slo(500.0, 0.01),
        Watcher(session),
        profiler if profile else None,
        sleep=world.sleep,
        voids=voids,
    )
    started_s = world.now_s
    outcome = engine.run(started_s)
    return outcome, session, world.now_s - started_s
