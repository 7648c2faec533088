"""Users of a Locust file, played against answers from a script; Locust runs in a process of its own."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAYER = Path(__file__).with_name("scenario_player.py")
END_S = 10.0


@dataclass(frozen=True)
class Played:
    """What one user did."""

    asked: list[dict[str, Any]]
    """method, path with query, body and authorization of each request that reached the server."""
    reported: list[dict[str, Any]]
    """method, name and failure (None: a success) of each request, as Locust counted it."""
    ids: list[int] | None
    """`customer_ids` at the end."""
    left: int
    """Answers that nobody asked for."""

    @property
    def paths(self) -> list[str]:
        """Method and path of each request."""
        return [f"{one['method']} {one['path']}" for one in self.asked]

    @property
    def names(self) -> list[str]:
        """Method and name of each request."""
        return [f"{one['method']} {one['name']}" for one in self.reported]

    @property
    def failures(self) -> list[str | None]:
        """What each request failed of."""
        return [one["failure"] for one in self.reported]


class Players:
    """The users of one Locust file."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Talk to `scenario_player`."""
        self._process = process

    def classes(self) -> dict[str, dict[str, Any]]:
        """Return, by class: parents, weight, tasks (name -> weight), shares (name -> 0..1), waits (seconds)."""
        found: dict[str, dict[str, Any]] = self._ask({})
        return found

    def constant(self, name: str) -> Any:
        """Return a constant of the file."""
        return self._ask({"constant": name})

    def play(
        self, user: str, *calls: str, answers: Sequence[tuple[int, Any]] = (), dead: bool = False, seed: int = 0
    ) -> Played:
        """Call methods of a fresh user.

        Args:
            user: its class.
            calls: methods, in order.
            answers: (status, body) in order; a string is sent as it is, None as no body.
            dead: nobody listens at the server's address.
            seed: of the random numbers.

        """
        order = {"user": user, "calls": calls, "answers": [list(one) for one in answers], "dead": dead, "seed": seed}
        return Played(**self._ask(order))

    def _ask(self, order: dict[str, Any]) -> Any:
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(json.dumps(order) + "\n")
        to.flush()
        line = back.readline()
        assert line, "the player died; its last words are on stderr"
        return json.loads(line)


@contextlib.contextmanager
def playing(locustfile: Path) -> Iterator[Players]:
    """Load a Locust file as `locust -f` does, and end the process afterwards."""
    command = [sys.executable, "-P", str(PLAYER), str(locustfile)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Players(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
