"""What the benchmarks of the API are held against, and which saved run they are compared with."""

import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

Grade = Literal["target", "acceptable", "missed"]

MS_PER_S = 1000
WARMUP_ROUNDS = 5
"""The first requests open the connections and compile what is compiled once."""
SAVED = re.compile(r"(?P<number>\d+)_(?P<name>.+)\.json")
"""What pytest-benchmark calls a file: a counter and the name given with --benchmark-save."""


@dataclass(frozen=True)
class Requirement:
    """One line of the table of requirements."""

    name: str
    target_mean_ms: float
    """The mean stays below it."""
    acceptable_max_ms: float
    """The slowest round stays below it."""


REQUIREMENTS = {
    each.name: each
    for each in (
        Requirement("Health Check", target_mean_ms=10, acceptable_max_ms=50),
        Requirement("Root Endpoint", target_mean_ms=20, acceptable_max_ms=100),
        Requirement("Authentication", target_mean_ms=100, acceptable_max_ms=500),
        Requirement("List Operations", target_mean_ms=200, acceptable_max_ms=1000),
        Requirement("Create Operations", target_mean_ms=500, acceptable_max_ms=2000),
    )
}
"""By name."""


@dataclass(frozen=True)
class Measured:
    """One benchmark, held against its requirement."""

    what: str
    requirement: Requirement
    mean_ms: float
    max_ms: float

    @property
    def grade(self) -> Grade:
        """Missed if any round was too slow to accept; else the mean tells the target from what is only acceptable."""
        if self.max_ms >= self.requirement.acceptable_max_ms:
            return "missed"
        return "target" if self.mean_ms < self.requirement.target_mean_ms else "acceptable"


class Measure:
    """Times calls with pytest-benchmark, and holds them against the table of requirements."""

    def __init__(self, benchmark: Any, rows: list[Measured]) -> None:
        """Use the fixture `benchmark` of one test; what comes of it is added to `rows`."""
        self._benchmark = benchmark
        self._rows = rows

    def __call__(
        self,
        requirement: str,
        what: str,
        call: Callable[[], object],
        *,
        rounds: int,
        setup: Callable[[], None] | None = None,
    ) -> None:
        """Time `call` alone in each round, after `setup`; fail the test when its requirement is missed."""
        benchmark = self._benchmark
        benchmark.group = requirement
        benchmark.pedantic(call, setup=setup, rounds=rounds, warmup_rounds=WARMUP_ROUNDS)
        if benchmark.stats is None:
            pytest.skip("nothing was measured: benchmarks are switched off")
        figures = benchmark.stats.stats
        row = Measured(what, REQUIREMENTS[requirement], figures.mean * MS_PER_S, figures.max * MS_PER_S)
        benchmark.extra_info["grade"] = row.grade
        self._rows.append(row)
        if row.grade == "missed":
            pytest.fail("\n".join(table([row])), pytrace=False)


def table(rows: Sequence[Measured]) -> Iterator[str]:
    """Yield the lines of the table of requirements, times in milliseconds."""
    yield f"{'Endpoint':18} {'Measured':24} {'Mean':>9} {'Target':>8} {'Max':>9} {'Acceptable':>10}  Grade"
    for row in rows:
        target, acceptable = (
            f"< {limit:g}" for limit in (row.requirement.target_mean_ms, row.requirement.acceptable_max_ms)
        )
        times = f"{row.mean_ms:9.2f} {target:>8} {row.max_ms:9.2f} {acceptable:>10}"
        yield f"{row.requirement.name:18} {row.what:24} {times}  {row.grade}"


def machine() -> dict[str, Any]:
    """Return what two runs must have in common to be compared; not the clock speed, which changes by itself."""
    return {
        "node": platform.node(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def newest_saved(storage: Path, name: str | None, here: Mapping[str, Any]) -> Path | None:
    """Return the newest saved run of that name (or number); None when nothing is saved and none is named.

    Without a name, the newest of all. pytest-benchmark itself looks a run up by its number only.

    Raises:
        LookupError: there is none of that name, or none that was measured on a machine like `here`.

    """
    saved = _saved(storage)
    wanted = [path for path, names in saved.items() if name is None or name in names]
    for path in wanted:
        if json.loads(path.read_text(encoding="utf-8")).get("machine_info") == here:
            return path.resolve()
    if wanted:
        raise LookupError(f"{wanted[0]} was measured on another machine or with another Python: save it again here")
    if name is None:
        return None
    known = ", ".join(dict.fromkeys(names[1] for names in saved.values())) or "none"
    raise LookupError(f"no saved run is called {name} (saved: {known}): save one with --benchmark-save={name}")


def _saved(storage: Path) -> dict[Path, tuple[str, str, str]]:
    """Return saved runs, newest first, each with its number, its name, and both as the file has them."""
    found = [(match, path) for path in storage.glob("*/*.json") if (match := SAVED.fullmatch(path.name))]
    found.sort(key=lambda pair: int(pair[0]["number"]), reverse=True)
    return {path: (match["number"], match["name"], path.stem) for match, path in found}
