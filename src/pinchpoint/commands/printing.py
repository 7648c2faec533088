"""stdout is the result and nothing else; what goes there goes through here."""

import json
import os
import sys

from rich.console import Console


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
