"""The bundled load scenarios: plain Locust files, listed here without importing Locust."""

from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Scenario:
    """A bundled Locust file."""

    name: str
    path: Path
    description: str


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="items",
            path=_HERE / "items.py",
            description="log in once, then read the root (1), read an item (3) and create an item (1)",
        ),
    )
}
"""Scenarios for `--scenario NAME`."""

PATHS_FILE = _HERE / "paths.py"
"""Locust file behind `--get PATH`."""

PATHS_VARIABLE = "PINCHPOINT_GET_PATHS"
"""Environment variable with the paths of `PATHS_FILE`: a JSON list of strings."""
