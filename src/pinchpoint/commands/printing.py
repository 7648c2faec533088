"""What every command prints: the result on stdout, everything else on stderr; and how it leaves."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pinchpoint.errors import ExitCode

AS_JSON = Annotated[bool, typer.Option("--json", help="Print the JSON to stdout, and nothing else there.")]
talk = Console(stderr=True)


class Result(Console):
    """stdout. A reader that has left (`| head -1`) changes nothing about the exit code that the run earned."""

    def on_broken_pipe(self) -> None:
        """Write what is left to nowhere."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_json(value: object) -> None:
    """Print JSON and nothing else, byte for byte."""
    console = Result()
    try:
        console.file.write(json.dumps(value) + "\n")
        console.file.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def wrote(paths: dict[str, Path]) -> None:
    """Say which files were written."""
    for path in paths.values():
        talk.print(f"Wrote {path}", style="dim", highlight=False, soft_wrap=True)


def leave(code: ExitCode, problem: str | None) -> None:
    """Tell the problem, if there is one; end with the exit code, or go on where that is 0."""
    if problem:
        talk.print(f"pinchpoint: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if code:
        raise typer.Exit(code)
