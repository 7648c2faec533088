"""When the load generator is the limit, give it more before giving up; keep what helps by measurement only.

Asked before every step that failed is recorded. When the generator explains the failure and the server's own signals
say that it was not full, the generator gets cores or a process, the step is void, and the same load is tried again. If
the started rate then did not rise, the generator's size was not its problem, and nothing more is tried.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from pinchpoint.commands.session import Session
from pinchpoint.commands.stepper import Held
from pinchpoint.diagnosis.saturation import Machine, cpu_use
from pinchpoint.diagnosis.validity import generator_to_blame
from pinchpoint.diagnosis.windows import Samples, machine_of, server_figures
from pinchpoint.errors import MeasurementError
from pinchpoint.measures import Step
from pinchpoint.recording import SERVER_FILE, LineTail
from pinchpoint.rows import SampleRow
from pinchpoint.stress.ramp import Slo

RISE = 1.05
"""METHOD §2 rule 5: more than 5 % more with more processes means that the generator was the limit."""

SERVER_TO_SPARE = 0.7
"""Share of its cores that the server may use at most where the load is to share them."""

GROW_S = 5.0
"""A load process imports Locust and the Locust file, and logs its first users in."""

LOOK_BACK_S = 1.0
"""Rows kept from before a step: tables and PSS are read less often."""


@dataclass
class Escalation:
    """One run's generator: what it has, what was tried, and whether that helped."""

    session: Session
    slo: Slo
    spare_s: Callable[[], float]
    """Seconds of the budget that are left for a change and the step's repetition."""
    allowed: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))
    """CPUs that the generator might have."""
    _load_cpus: frozenset[int] | None = None
    _before: Held | None = None
    """The step that the last change was made for."""
    _over: bool = False
    _rows: list[SampleRow] = field(default_factory=list)
    _tail: LineTail | None = None

    def __post_init__(self) -> None:
        self._load_cpus = self.session.config.load_cpus
        self._tail = LineTail(self.session.folder / SERVER_FILE)

    def voids(self, held: Held) -> str | None:
        """Return why a step that just ended must be repeated, the generator having been changed; else None."""
        if held.judgement.passed:
            self._before = None
            return None
        if self._over or not held.window.rows:
            return None
        step = self._step(held)
        why = generator_to_blame(step, self._machine, self.slo.p95_ms, self.slo.max_error_rate, self._max_users)
        if why is None or self._useless(held):
            return None
        return self._changed(held, step, why)

    @property
    def _max_users(self) -> int:
        return self.session.config.max_users

    @property
    def _machine(self) -> Machine:
        config = self.session.config
        pinned = {"server_cpus": _listed(config.server_cpus), "load_cpus": _listed(self._load_cpus)}
        return machine_of(pinned, self._rows)

    def _useless(self, held: Held) -> bool:
        """Tell whether the last change, made for this very load, brought nothing; then nothing more is tried."""
        before = self._before
        if before is None or before.load != held.load:
            return False
        self._over = max(_gain(before.window.started_rps, held.window.started_rps), _goodput_gain(before, held)) <= RISE
        if self._over:
            self._give_back("a larger load generator started no more, so its size is not what limits it")
        return self._over

    def _give_back(self, reason: str) -> None:
        """Leave the server's cores to it again; the added process stays, it idles as well as one."""
        self.session.note(reason)
        own, generator = self.session.config.load_cpus, self.session.generator
        if generator is not None and own is not None and self._load_cpus != own:
            generator.pin(own)
            self._load_cpus = own
            self.session.tell_split(len(generator.workers), own, reason)

    def _changed(self, held: Held, step: Step, why: str) -> str | None:
        """Give the generator more; return the sentence that voids the step, None when there is nothing to give."""
        generator, config = self.session.generator, self.session.config
        if generator is None or not config.grow or self.spare_s() < GROW_S + held.seconds:
            return None
        local = len(generator.pids)
        if local == 0 or local >= len(self.allowed):
            return None
        reasons = []
        if self._load_cpus is not None and local >= len(self._load_cpus):
            use = cpu_use(step, self._machine)
            if not config.pin or use is None or use > SERVER_TO_SPARE:
                return None
            generator.pin(self.allowed)
            self._load_cpus = self.allowed
            reasons.append("the load may use the server's cores, which were not busy")
        try:
            generator.grow(deadline_s=GROW_S)
        except MeasurementError as error:
            self._over = True  # one that died ends the run at the next look; one that is late joins in later
            self.session.note(f"no load process could be added in time: {error}")
            return None
        reasons.append(f"a load process was added ({local + 1} now)")
        self._before = held
        told = f"{why} while the server was not full: {' and '.join(reasons)}"
        self.session.tell_split(len(generator.workers), self._load_cpus, told)
        return told

    def _step(self, held: Held) -> Step:
        """Return what client and server saw, as diagnosis will see it."""
        window, rows = held.window, held.window.rows
        t0_s, t1_s = min(row["t0_s"] for row in rows), max(row["t1_s"] for row in rows)
        self._read(t0_s)
        open_model = self.session.config.model == "rate"
        return Step(
            index=0,
            phase="search",
            model="rate" if open_model else "users",
            t_start_s=t0_s,
            t_end_s=t1_s,
            settle_s=0.0,
            offered_rps=held.load if open_model else None,
            users=None if open_model else round(held.load),
            started_rps=window.started_rps,
            goodput_rps=window.goodput_rps,
            error_rate=window.error_rate,
            latency_ms=window.latency,
            client=window.figures,
            server=server_figures(Samples(self._rows), rows, t0_s, t1_s),
            passed=False,
        )

    def _read(self, t0_s: float) -> None:
        """Take in what the collector has written since the last look, and forget what is older than the step."""
        fresh: list[SampleRow] = self._tail.poll() if self._tail is not None else []  # type: ignore[assignment]
        self._rows = [row for row in (*self._rows, *fresh) if row["t_s"] >= t0_s - LOOK_BACK_S]


def _gain(before: float, after: float) -> float:
    return after / before if before > 0 else float("inf") if after > 0 else 1.0


def _goodput_gain(before: Held, after: Held) -> float:
    return _gain(before.window.goodput_rps, after.window.goodput_rps)


def _listed(cpus: frozenset[int] | None) -> list[int] | None:
    return None if cpus is None else sorted(cpus)
