"""A load over time in the words people know: k6's stages and Yandex.Tank's words, mixed at will. Pure.

`30s:100` is a straight line from the last target (0 at first) to 100 within 30 s, `0s:100` jumps. `const(100,1m)`,
`line(1,100,30s)`, `step(10,100,10,5s)`, `spike(50,400,10s,5s,15s)` and `sine(50,150,20s,1m)` name their own start.
Numbers are arrivals per second (`100/s` and `6000/m` are allowed), or users in the users model.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from pinchpoint.measures import Model
from pinchpoint.stress.grammar import DIGITS, Scanner, plain, seconds_text

WORDS = "const, line, step, spike or sine"
MOST_STAGES = 1000
SHORTEST_STAGE_S = 0.1
"""Apart from jumps: a stage that no digest row can tell from its neighbours is a slip of the pen."""
SEPARATORS = (",", ";")
SPIKE_FACTOR = 1.5
"""A peak at least this many times the load before it, which then goes back, is a spike."""
BACK_AT_BASE = 1.1
LINES_A_WAVE = 24


@dataclass(frozen=True, slots=True)
class Stage:
    """One piece of a profile. Loads in arrivals per second, or users."""

    name: str
    kind: Literal["line", "sine"]
    start: float
    """A sine's lowest load."""
    end: float
    """A sine's highest load."""
    seconds: float
    """0 for a jump."""
    period_s: float = 0.0

    def level(self, t_s: float) -> float:
        """Return the load `t_s` seconds into the stage."""
        if self.kind == "sine":
            mean, amplitude = (self.start + self.end) / 2, (self.end - self.start) / 2
            return mean + amplitude * math.sin(2 * math.pi * t_s / self.period_s)
        if self.seconds == 0:
            return self.end
        return self.start + (self.end - self.start) * min(1.0, max(0.0, t_s / self.seconds))

    def area(self, t_s: float) -> float:
        """Return the integral of the load over the first `t_s` seconds."""
        if self.kind == "sine":
            mean, amplitude = (self.start + self.end) / 2, (self.end - self.start) / 2
            turn = 2 * math.pi / self.period_s
            return mean * t_s + amplitude * (1 - math.cos(turn * t_s)) / turn
        return (self.start + self.level(t_s)) / 2 * t_s

    @property
    def last(self) -> float:
        """The load at its end."""
        return self.level(self.seconds)

    def piece(self) -> list[Any]:
        """Return the piece of a `Segment.curve`."""
        if self.kind == "sine":
            return ["sine", (self.start + self.end) / 2, (self.end - self.start) / 2, self.period_s, self.seconds]
        return ["line", self.start, self.end, self.seconds]


@dataclass(frozen=True, slots=True)
class Spike:
    """A peak that goes back to where it came from; seconds since the profile began."""

    start_s: float
    end_s: float
    """When the offered load is back."""
    base: float
    peak: float


@dataclass(frozen=True)
class LoadProfile:
    """What `--stages` asks for."""

    text: str
    """In one spelling, whatever the user's was; reading it gives the same profile."""
    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak(self) -> float:
        """The highest load."""
        return max(max(stage.start, stage.end) for stage in self.stages)

    @property
    def curve(self) -> list[list[Any]]:
        """The pieces for `Generator.segment`."""
        return [stage.piece() for stage in self.stages if stage.seconds > 0]

    @property
    def borders(self) -> list[float]:
        """When each stage begins, and the end of the last, in seconds since the profile began."""
        times = [0.0]
        for stage in self.stages:
            times.append(times[-1] + stage.seconds)
        return times

    def level(self, t_s: float) -> float:
        """Return the load at a time; at a border that of the later stage."""
        found, begun_s = 0.0, 0.0
        for stage in self.stages:
            if t_s < begun_s:
                break
            found = stage.level(t_s - begun_s)
            begun_s += stage.seconds
        return found if t_s <= begun_s else 0.0

    def mean(self, t0_s: float, t1_s: float) -> float:
        """Return the mean load between two times."""
        if t1_s <= t0_s:
            return self.level(t0_s)
        total, begun_s = 0.0, 0.0
        for stage in self.stages:
            first = min(max(t0_s - begun_s, 0.0), stage.seconds)
            last = min(max(t1_s - begun_s, 0.0), stage.seconds)
            total += stage.area(last) - stage.area(first)
            begun_s += stage.seconds
        return total / (t1_s - t0_s)

    def rest(self, t_s: float) -> list[list[Any]]:
        """Return the pieces from a time on; what is left of a wave in short lines: waves begin at their mean."""
        pieces: list[list[Any]] = []
        begun_s = 0.0
        for stage in self.stages:
            gone_s = max(0.0, t_s - begun_s)
            left_s = stage.seconds - gone_s
            begun_s += stage.seconds
            if left_s <= 0:
                continue
            if gone_s == 0:
                pieces.append(stage.piece())
                continue
            count = max(1, math.ceil(left_s / stage.period_s * LINES_A_WAVE)) if stage.kind == "sine" else 1
            cuts = [gone_s + left_s * number / count for number in range(count + 1)]
            pieces += [["line", stage.level(a), stage.level(b), b - a] for a, b in pairwise(cuts)]
        return pieces

    def populations(self) -> list[tuple[float, float, int]]:
        """Return the load in whole users: (from, to, users), at most a second each unless it stands still."""
        found: list[tuple[float, float, int]] = []
        for begun_s, ended_s in pairwise(self.borders):
            cuts = [begun_s]
            while cuts[-1] + 1.0 < ended_s:
                cuts.append(cuts[-1] + 1.0)
            for a, b in pairwise([*cuts, ended_s]):
                users = math.floor(self.mean(a, b) + 0.5)
                if found and found[-1][2] == users:
                    found[-1] = (found[-1][0], b, users)
                elif b > a:
                    found.append((a, b, users))
        return found

    def slices(self, least_s: float, most_s: float) -> list[tuple[float, float]]:
        """Cut it into windows of `least_s` to `most_s` seconds, none across a border; a shorter stage is one window.

        Where the load moves they are as short as they may be. Inner cuts fall on whole seconds, where digest rows end.
        """
        found = []
        for stage, (begun_s, ended_s) in zip(self.stages, pairwise(self.borders), strict=True):
            length_s = ended_s - begun_s
            if length_s <= 0:
                continue
            longest_s = most_s if stage.start == stage.end else least_s
            count = max(1, min(math.ceil(length_s / longest_s), math.floor(length_s / least_s)))
            inner = [float(round(begun_s + length_s * number / count)) for number in range(1, count)]
            found += list(pairwise([begun_s, *inner, ended_s]))
        return found

    def spikes(self) -> list[Spike]:
        """Return the peaks that go back to the load before them; waves are none, nor is a peak that starts from 0."""
        return _spikes(self)


def parse_stages(text: str, model: Model, what: str = "--stages") -> LoadProfile:
    """Read a profile.

    Raises:
        UsageError: it makes no sense; the message points at the character.

    """
    scanner = Scanner(text, what)
    items: list[str] = []
    stages: list[Stage] = []
    while True:
        if len(items) >= MOST_STAGES or len(stages) >= MOST_STAGES:
            scanner.fail(f"more than {MOST_STAGES} stages")
        item, made = _item(scanner, model, stages[-1].last if stages else 0.0)
        items.append(item)
        stages += made
        if scanner.ended:
            break
        if scanner.accept(*SEPARATORS) is None:
            scanner.fail("a comma must stand between stages")
    profile = LoadProfile(",".join(items), tuple(stages))
    if profile.seconds <= 0 or profile.peak <= 0:
        scanner.fail("this offers no load at all", 0)
    return profile


def _item(scanner: Scanner, model: Model, before: float) -> tuple[str, list[Stage]]:
    """Read one stage: its text in one spelling, and what it stands for."""
    start = scanner.at
    name = scanner.word()
    if name is None:
        if scanner.ended or not (scanner.text[scanner.at] in DIGITS or scanner.peek(".")):
            scanner.fail(f"a stage is DURATION:LOAD as in 30s:100, or {WORDS}")
        seconds = scanner.duration("the duration")
        scanner.expect(":", "a colon and the load must follow the duration, as in 30s:100")
        if 0 < seconds < SHORTEST_STAGE_S:
            scanner.fail(f"a stage takes 0s (a jump) or at least {SHORTEST_STAGE_S:g} s", start)
        load = _load(scanner, model)
        text = f"{seconds_text(seconds)}:{plain(load)}"
        return text, [Stage(text, "line", before, load, seconds)]
    if name.lower() not in _MAKERS:
        scanner.fail(f"there is no stage {name!r}: use DURATION:LOAD as in 30s:100, or {WORDS}", start)
    scanner.expect("(", f"an opening parenthesis must follow {name}")
    make, shape = _MAKERS[name.lower()]
    values: list[float] = []
    for number, kind in enumerate(shape):
        if number:
            scanner.expect(",", f"{name} takes {len(shape)} values: {_usage(name.lower())}")
        place = scanner.at
        values.append(_load(scanner, model) if kind == "load" else scanner.duration("the duration", bare="s"))
        if kind == "time" and values[-1] < SHORTEST_STAGE_S:
            scanner.fail(f"a duration of {name} is at least {SHORTEST_STAGE_S:g} s", place)
    scanner.expect(")", f"{name} takes {len(shape)} values and a closing parenthesis: {_usage(name.lower())}")
    written = [
        plain(value) if kind == "load" else seconds_text(value) for kind, value in zip(shape, values, strict=True)
    ]
    text = f"{name.lower()}({','.join(written)})"
    return text, make(text, values, lambda message: scanner.fail(message, start))


def _load(scanner: Scanner, model: Model) -> float:
    if model == "users":
        return float(scanner.whole("the number of users"))
    value = scanner.number("the rate")
    unit = scanner.accept("/s", "/m")
    return value / 60 if unit == "/m" else value


def _usage(name: str) -> str:
    return {
        "const": "const(100,1m)",
        "line": "line(1,100,30s)",
        "step": "step(10,100,10,5s)",
        "spike": "spike(50,400,10s,5s,15s), that is base, peak, before, at the peak, after",
        "sine": "sine(50,150,20s,1m), that is low, high, period, duration",
    }[name]


_Refuse = Callable[[str], Any]


def _const(text: str, values: list[float], _: _Refuse) -> list[Stage]:
    return [Stage(text, "line", values[0], values[0], values[1])]


def _line(text: str, values: list[float], _: _Refuse) -> list[Stage]:
    return [Stage(text, "line", values[0], values[1], values[2])]


def _step(text: str, values: list[float], refuse: _Refuse) -> list[Stage]:
    first, last, size, seconds = values
    if size <= 0:
        refuse("the step's height must be above 0")
    count = math.floor(round(abs(last - first) / size, 9)) + 1
    if count > MOST_STAGES:
        refuse(f"that makes {count} steps; at most {MOST_STAGES}")
    sign = 1 if last >= first else -1
    loads = [first + sign * size * number for number in range(count)]
    return [Stage(f"{text} {plain(round(load, 9))}", "line", load, load, seconds) for load in loads]


def _spike(text: str, values: list[float], refuse: _Refuse) -> list[Stage]:
    base, peak, before_s, at_s, after_s = values
    if peak <= base:
        refuse("a spike's peak must be above its base")
    parts = (("before", base, before_s), ("peak", peak, at_s), ("after", base, after_s))
    return [Stage(f"{text} {name}", "line", load, load, seconds) for name, load, seconds in parts]


def _sine(text: str, values: list[float], refuse: _Refuse) -> list[Stage]:
    low, high, period_s, seconds = values
    if high < low:
        refuse("a sine's high must not be below its low")
    return [Stage(text, "sine", low, high, seconds, period_s)]


_Maker = Callable[[str, list[float], _Refuse], list[Stage]]
_MAKERS: dict[str, tuple[_Maker, tuple[str, ...]]] = {
    "const": (_const, ("load", "time")),
    "line": (_line, ("load", "load", "time")),
    "step": (_step, ("load", "load", "load", "time")),
    "spike": (_spike, ("load", "load", "time", "time", "time")),
    "sine": (_sine, ("load", "load", "time", "time")),
}


def _spikes(profile: LoadProfile) -> list[Spike]:
    """Find each peak between two lows of about the same height.

    The lows still open are kept as a stack, lowest first. A load that comes back to the uppermost one closes a peak;
    a base of 0 has no latency to come back to.
    """
    found: list[Spike] = []
    lows: list[list[float]] = []  # load, when it was last held, highest load since
    for t_s, load in _corners(profile):
        highest = load
        while lows and lows[-1][0] > BACK_AT_BASE * load:
            low = lows.pop()
            highest = max(highest, low[0], low[2])
        if lows and load <= BACK_AT_BASE * lows[-1][0]:
            base, held_s, peak = lows[-1]
            peak = max(peak, highest)
            if base > 0 and peak >= SPIKE_FACTOR * base:
                found.append(Spike(held_s, t_s, base, peak))
            lows[-1] = [base, t_s, load]
            continue
        if lows:
            lows[-1][2] = max(lows[-1][2], highest)
        lows.append([load, t_s, load])
    return found


def _corners(profile: LoadProfile) -> list[tuple[float, float]]:
    """(seconds, load) at the start and end of every stage but waves, in order."""
    found, begun_s = [], 0.0
    for stage in profile.stages:
        if stage.kind == "line" and stage.seconds > 0:
            found.append((begun_s, stage.start))
        begun_s += stage.seconds
        if stage.kind == "line":
            found.append((begun_s, stage.last))
    return found
