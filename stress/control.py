"""The words between the engine and its load processes: JSON lines over a socket pair, and one variable of settings.

To the process: `segment` (a load level from now on), `idle`, `stop`. From it: `ready`, `segment` (with the instant it
took force), `drained`, `users`, `error`. End of file in either direction means that the other side is gone.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from pinchpoint.stress.arrivals import Spacing
from pinchpoint.stress.curves import Curve, ramp

FD_VARIABLE = "PINCHPOINT_CONTROL_FD"
SETTINGS_VARIABLE = "PINCHPOINT_GENERATOR"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a load process needs to know from its start."""

    folder: str
    process: int
    """Its number, its own for the whole run: in the names of its files, in its rows, in its seed."""
    start_users: int
    max_users: int
    timeout_s: float
    seed: int
    requests: bool = False
    """Log every request."""

    def to_json(self) -> str:
        """Return the text for `SETTINGS_VARIABLE`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Segment:
    """One load level, and one worker's share of it.

    Attributes:
        id: as in the digest rows.
        model: `rate` (arrivals per second) or `users` (a population).
        duration_s: seconds; the worker idles after that.
        rate_rps: arrivals per second at the start, of all workers together.
        end_rate_rps: at the end, for a straight line; None for a constant rate.
        users: this worker's population.
        spacing: of the arrivals.
        curve: pieces (see `curves`), in place of the rates.
        part: which share of the arrivals this worker has, 0-based...
        parts: ...of how many.
        max_users: most users of this worker in the rate model; None: as its settings say.
        at_s: when it takes force, in the worker's monotonic clock; None: at once.

    """

    id: int
    model: Literal["rate", "users"]
    duration_s: float
    rate_rps: float = 0.0
    end_rate_rps: float | None = None
    users: int = 0
    spacing: Spacing = "poisson"
    curve: list[list[Any]] | None = None
    part: int = 0
    parts: int = 1
    max_users: int | None = None
    at_s: float | None = None

    def rate(self) -> Curve:
        """Return the arrivals per second over time, of all workers together.

        Raises:
            ValueError: there is no such curve.

        """
        if self.curve is not None:
            return Curve.from_message(self.curve)
        return ramp(self.rate_rps, self.rate_rps if self.end_rate_rps is None else self.end_rate_rps, self.duration_s)

    def message(self) -> dict[str, Any]:
        """Return the message that announces this segment."""
        return {"cmd": "segment", **asdict(self)}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read what `message` wrote; words unknown to this version are ignored."""
        return cls(**{key: value for key, value in message.items() if key in cls.__dataclass_fields__})


def pack(message: dict[str, Any]) -> bytes:
    """Return one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Lines:
    """Cut a stream of bytes into messages."""

    def __init__(self) -> None:
        """Start with nothing read."""
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages completed by `data`."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in whole if line.strip()]
