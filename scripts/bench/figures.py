"""What a benchmark says: figures with a target, as a table and as `runs/bench/NAME.json` (`pinchpoint.bench/1`)."""

import datetime as dt
import json
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from pinchpoint.monitoring.facts import host_facts

SCHEMA = "pinchpoint.bench/1"
FOLDER = Path("runs/bench")
RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """One measured value. `target` None: told for the reader, judged by nobody."""

    name: str
    value: float
    unit: str
    target: float | None
    better: Literal["higher", "lower"]
    ci: tuple[float, float] | None
    """95 % interval of the median by bootstrap over the repetitions."""
    n: int

    @property
    def ok(self) -> bool:
        """Whether the target is met."""
        if self.target is None:
            return True
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


def median_figure(
    name: str, values: Sequence[float], unit: str, target: float | None, better: Literal["higher", "lower"]
) -> Figure:
    """Return the median of repetitions with its interval."""
    return Figure(name, statistics.median(values), unit, target, better, interval(values), len(values))


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 2.5 and 97.5 percentiles of resampled medians; None for fewer than three values."""
    if len(values) < 3:  # noqa: PLR2004 - an interval of two is their range
        return None
    draw = random.Random(1)  # noqa: S311 - resampling
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]


def report(name: str, command: str, started: dt.datetime, figures: Sequence[Figure], console: Console) -> bool:
    """Print and store; return True when every target is met."""
    table = Table(title=f"{name} · {command}", title_justify="left")
    for head in ("figure", "value", "95 % interval", "target", "n", ""):
        table.add_column(head, justify="left" if head == "figure" else "right")
    for figure in figures:
        table.add_row(figure.name, *_cells(figure))
    console.print(table)
    FOLDER.mkdir(parents=True, exist_ok=True)
    stored: dict[str, Any] = {
        "schema": SCHEMA,
        "name": name,
        "command": command,
        "started_at": started.isoformat(timespec="seconds"),
        "machine": host_facts(),
        "figures": [{**asdict(figure), "ok": figure.ok} for figure in figures],
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    return all(figure.ok for figure in figures)


def _cells(figure: Figure) -> tuple[str, ...]:
    between = f"{figure.ci[0]:.3g} to {figure.ci[1]:.3g}" if figure.ci else "-"
    sign = "≥" if figure.better == "higher" else "≤"
    target = f"{sign} {figure.target:g}" if figure.target is not None else "-"
    verdict = "" if figure.target is None else "[green]ok[/]" if figure.ok else "[red]missed[/]"
    return f"{figure.value:.4g} {figure.unit}", between, target, str(figure.n), verdict


Bench = Callable[[bool, Callable[[str], None]], list[Figure]]
"""(quick, say) -> figures; `say` tells progress."""
