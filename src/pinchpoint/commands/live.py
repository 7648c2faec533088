"""What a person sees while the run goes on: a live panel on a terminal, plain lines elsewhere. Always on stderr."""

import time
from collections.abc import Callable
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.rows import DigestRow, SampleRow
from pinchpoint.stress.ramp import Judgement

REFRESH_PER_S = 4
WINDOW_S = 2.0
"""The live figures cover the last two seconds."""
SHOWN_STEPS = 12


def _level(offered: float | None, unit: str) -> str:
    return "" if offered is None else f"{units.number(offered)} {unit}"


def describe(name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> str:
    """One line for a finished step."""
    p95 = units.milliseconds(window.latency.p95) if window.latency is not None else "n/a"
    error_rate = units.percent(window.error_rate)
    outcome = "ok" if judgement.passed else "BREACH: " + "; ".join(judgement.breaches)
    measured = f"goodput {units.rate(window.goodput_rps):>10}  p95 {p95:>8}  errors {error_rate:>6}"
    return f"{name:<16} {_level(offered, unit):>11}  {measured}  {outcome}"


class PlainProgress:
    """One line a step."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def watch(self, latest: Callable[[], SampleRow | None]) -> None:
        """Ignore it: plain lines show no server figures."""

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:
        """Say nothing yet: a step is told when it is done."""

    def tick(self, rows: list[DigestRow]) -> None:
        """Ignore it: plain lines do not move."""

    def done(self, name: str, offered: float | None, unit: str, window: ClientWindow, judgement: Judgement) -> None:
        """Print the step."""
        self._console.print(
            describe(name, offered, unit, window, judgement), highlight=False, markup=False, soft_wrap=True
        )

    def note(self, message: str) -> None:
        """Print the sentence."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)


class LiveProgress(PlainProgress):
    """Phase, offered and achieved rate, p95, errors, CPU, RSS and time left, four times a second."""

    def __init__(self, console: Console, budget_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console)
        self._budget_s = budget_s
        self._clock = clock
        self._started_s = clock()
        self._latest: Callable[[], SampleRow | None] = lambda: None
        self._before: SampleRow | None = None
        self._cpu: float | None = None
        self._rows: list[DigestRow] = []
        self._now = ("starting", "")
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=REFRESH_PER_S, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, latest: Callable[[], SampleRow | None]) -> None:
        """Take where the newest server sample is to be had."""
        self._latest = latest

    def phase(self, name: str, offered: float | None, unit: str, seconds: float) -> None:  # noqa: ARG002 - Progress
        """Show the new phase."""
        self._now = (name, _level(offered, unit))

    def tick(self, rows: list[DigestRow]) -> None:
        """Keep the last seconds' digests."""
        self._rows.extend(rows)
        newest = self._rows[-1]["t1_s"] if self._rows else 0.0
        self._rows = [row for row in self._rows if row["t1_s"] > newest - WINDOW_S]

    def _render(self) -> Table:
        phase, offered = self._now
        table = Table.grid(padding=(0, 2))
        for header in ("phase", "offered", "achieved", "p95", "errors", "server CPU", "RSS", "left"):
            table.add_column(header)
        table.add_row(*(Text(name, style="dim") for name in self._headers()))
        left_s = max(0.0, self._budget_s - (self._clock() - self._started_s))
        table.add_row(Text(phase, style="bold"), offered or "-", *self._client(), *self._server(), f"{left_s:.0f} s")
        return table

    @staticmethod
    def _headers() -> tuple[str, ...]:
        return ("phase", "offered", "achieved", "p95", "errors", "server CPU", "RSS", "left")

    def _client(self) -> tuple[str, str, str]:
        if not self._rows:
            return "-", "-", "-"
        window = client_figures(self._rows, self._rows[0]["t0_s"], self._rows[-1]["t1_s"])
        p95 = units.milliseconds(window.latency.p95) if window.latency is not None else "-"
        return units.rate(window.goodput_rps), p95, units.percent(window.error_rate)

    def _server(self) -> tuple[str, str]:
        row = self._latest()
        if row is None:
            return "-", "-"
        before = self._before
        if before is None or row["t_s"] - before["t_s"] >= 1 / REFRESH_PER_S:
            self._cpu = _cpu_cores(before, row) if before is not None else None
            self._before = row
        rss = [process["rss_bytes"] for process in row["processes"] if process["rss_bytes"] is not None]
        return units.cores(self._cpu), units.size(float(sum(rss))) if rss else "-"


def _cpu_cores(before: SampleRow, after: SampleRow) -> float | None:
    elapsed_s = after["t_s"] - before["t_s"]
    old: dict[int, Any] = {process["pid"]: process["cpu_s"] for process in before["processes"]}
    used = [process["cpu_s"] - old[process["pid"]] for process in after["processes"] if process["pid"] in old]
    return sum(used) / elapsed_s if elapsed_s > 0 and used else None
