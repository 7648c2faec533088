"""Every example of docs/load.md means something."""

import re
import tomllib
from pathlib import Path

import pytest

from pinchpoint.commands.limits import read_limits
from pinchpoint.stress.autostop import parse_criterion
from pinchpoint.stress.stages import parse_stages
from pinchpoint.stress.thresholds import parse_threshold

READERS = {
    "stages": lambda text: parse_stages(text, "rate").text,
    "threshold": lambda text: str(parse_threshold(text)),
    "autostop": lambda text: str(parse_criterion(text)),
}


def fenced(checkout: Path, language: str) -> str:
    """Return the code block of a language."""
    text = (checkout / "docs" / "load.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(block)


@pytest.mark.parametrize("language", READERS)
def test_every_example_line_is_understood(checkout: Path, language: str) -> None:
    """And what it means, written down, is understood as the same."""
    lines = fenced(checkout, language).splitlines()
    spelled = [READERS[language](line) for line in lines]

    assert len(lines) >= 5
    assert [READERS[language](text) for text in spelled] == spelled


def test_the_settings_example_is_understood(checkout: Path) -> None:
    """As the same options on the command line."""
    table = tomllib.loads(fenced(checkout, "toml"))["tool"]["pinchpoint"]
    found = read_limits("rate", table["stages"], table["threshold"], table["autostop"], table["arrivals"], None)

    assert found["stages"].seconds == 90.0
    assert [str(one) for one in found["thresholds"]] == ["p(95)<500", "rate<0.01"]
    assert found["spacing"] == "even"
