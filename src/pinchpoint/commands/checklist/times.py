"""How a checklist spends its budget: a search for the limit unless the peak is known, three loads, and a soak."""

from dataclasses import dataclass

from pinchpoint.commands.config import SHORTEST_BUDGET_S, SHORTEST_SOAK_S
from pinchpoint.commands.staged import LEAST_OVERHEAD_S
from pinchpoint.diagnosis.checklist.load import BEYOND_PEAK
from pinchpoint.errors import UsageError
from pinchpoint.stress.grammar import plain, seconds_text

DEFAULT_BUDGET_S = 300.0
SEARCH_SHARE, LOAD_SHARE, LOAD_SHARE_ALONE = 0.28, 0.28, 0.4
"""Of the budget: the search, the loads after it, the loads where the peak is known; the soak gets the rest."""

SHORTEST_SEARCH_S, LONGEST_SEARCH_S = 25.0, 120.0
SHORTEST_LIGHT_S, SHORTEST_PEAK_S = 6.0, 7.0
LONGEST_LOADS_S = 240.0
LIGHT_PART = 1 / 3
"""Of the loads' time: the rarest endpoint needs answers enough for a mean there, too."""

SOAK_OVERHEAD_S = 20.0
"""Boot, warm-up and report of a soak."""

END_S = 5.0
"""For the checklist itself."""

LIGHT_SHARE, MOST_LIGHT_RPS, LEAST_LIGHT_RPS = 0.2, 20.0, 0.5
"""Of the peak: requests that do not meet each other, and enough of them for a mean."""


@dataclass(frozen=True)
class Times:
    """Seconds of each part but the soak, which takes what is left when its turn comes."""

    search_s: float
    """0: the peak is known."""
    light_s: float
    peak_s: float
    """Of the peak, and of half as much again."""

    @property
    def loads_s(self) -> float:
        """Seconds of the profile."""
        return self.light_s + 2 * self.peak_s


def split(budget_s: float, *, peak_known: bool) -> Times:
    """Return how long each part takes.

    Raises:
        UsageError: the budget holds not even the search and the loads.

    """
    search_s = 0.0 if peak_known else min(LONGEST_SEARCH_S, max(SHORTEST_SEARCH_S, round(SEARCH_SHARE * budget_s)))
    share = LOAD_SHARE_ALONE if peak_known else LOAD_SHARE
    loads_s = min(LONGEST_LOADS_S, share * budget_s - LEAST_OVERHEAD_S)
    light_s = float(max(SHORTEST_LIGHT_S, round(LIGHT_PART * loads_s)))
    peak_s = float(max(SHORTEST_PEAK_S, round((1 - LIGHT_PART) / 2 * loads_s)))
    found = Times(search_s, light_s, peak_s)
    least_s = search_s + found.loads_s + LEAST_OVERHEAD_S + END_S
    if budget_s < max(SHORTEST_BUDGET_S, least_s):
        way_out = "" if peak_known else f", or say with --peak what load to expect, which saves {search_s:.0f} s"
        raise UsageError(
            f"--budget {budget_s:g}s is too short for a checklist: it needs {least_s:.0f}s, and "
            f"{least_s + SOAK_OVERHEAD_S + SHORTEST_SOAK_S:.0f}s with the soak that finds leaks{way_out}"
        )
    return found


def soak_seconds(left_s: float) -> float | None:
    """Return how long a soak may last when so much of the budget is left; None when it would show nothing."""
    seconds = float(int(left_s - SOAK_OVERHEAD_S - END_S))
    return seconds if seconds >= SHORTEST_SOAK_S else None


def profile(peak_rps: float, times: Times) -> str:
    """Return the loads as `--stages` reads them: a light one, the peak, and half as much again."""
    light_rps = min(peak_rps, max(LEAST_LIGHT_RPS, min(MOST_LIGHT_RPS, LIGHT_SHARE * peak_rps)))
    levels = ((light_rps, times.light_s), (peak_rps, times.peak_s), (BEYOND_PEAK * peak_rps, times.peak_s))
    return ",".join(f"0s:{_rate(load)},{seconds_text(seconds)}:{_rate(load)}" for load, seconds in levels)


def _rate(load: float) -> str:
    return plain(float(f"{load:.4g}"))
