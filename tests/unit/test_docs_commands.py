"""Every command line of pinchpoint that README.md and docs/ show is one that pinchpoint understands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from pinchpoint import cli

SPAN = re.compile(r"`([^`\n]*)`")
INDENTED = re.compile(r"^ {4,}(\S.*)$", re.MULTILINE)
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?pinchpoint (?P<words>\S.*)$")
LEFT_OUT = ("…", "pinchpoint probe:")
"""In a line that is not meant to be typed as it is, or that pinchpoint says itself."""
FINE = ("does not exist", "Missing option")
"""Files that are not here, and a command that is only mentioned."""


def commands(checkout: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, what follows `pinchpoint`)."""
    for page in (checkout / "README.md", *sorted((checkout / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for line in (*SPAN.findall(text), *INDENTED.findall(text)):
            for part in re.split(r"&&|;|\|", line):
                found = COMMAND.match(re.sub(r"\s{2,}#.*$", "", part.strip()))
                if found and not any(word in part for word in LEFT_OUT):
                    yield page.name, found["words"]


def objection(words: list[str]) -> str | None:
    """Return what is wrong with a command line; None when it is understood."""
    group: Any = typer.main.get_command(cli.app)
    words = words[: words.index("--")] if "--" in words else words
    name, *rest = words
    if name in {"--version", "--help"}:
        return None
    if (command := group.commands.get(name)) is None:
        return f"there is no command {name}"
    try:
        command.make_context(name, list(rest), obj=())
    except typer.Exit:
        return None
    except Exception as error:
        # What typer raises here is click's, or a copy of click's that typer brings along.
        if not hasattr(error, "format_message"):
            raise
        said = str(error.format_message())
        return None if any(word in said for word in FINE) else said
    return None


def test_every_command_line_shown_is_understood(checkout: Path) -> None:
    """By its name, its options, and the kind of their values."""
    found = list(commands(checkout))
    wrong = [(page, words, why) for page, words in found if (why := objection(shlex.split(words)))]

    assert len(found) > 100
    assert wrong == []


@pytest.mark.parametrize("words", ["runn app:app", "run --budgett 60s", "exporter --pid PID", "sweep --workers"])
def test_a_wrong_one_is_found(words: str) -> None:
    """Or the test above would pass whatever the pages say."""
    assert objection(shlex.split(words)) is not None
