"""What an agent and a run say to each other, and how times of one clock become times of the other.

Every message is a JSON object with a `kind`. From the run: `begin` (port), `explain` (pids), `end`. From the agent:
`hello`, `busy` (message), `target` (facts), `sample` (row), `await` (row), `exit` (code, gone, message), `note`
(message), `health` (dropped, queued, cpu_s, error), `bye` (message), `ended` (dropped). Pings go both ways
(`links.answer`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinchpoint.offsets import OffsetTrack
    from pinchpoint.rows import AwaitRow, SampleRow

PROTOCOL = 1
DEFAULT_PORT = 5558


def sample_in_ours(row: SampleRow, clock: OffsetTrack, machine: str | None) -> SampleRow:
    """Return a row with its moment on our clock. Everything else in it is a duration, a count or a size, and stays.

    `machine` names the agent's machine; None when it is ours.
    """
    ours: SampleRow = {**row, "t_s": clock.to_ours(row["t_s"])}
    if machine is not None:
        ours["machine"] = machine
    return ours


def await_in_ours(row: AwaitRow, clock: OffsetTrack) -> AwaitRow:
    """Return a row with its moment on our clock."""
    return {**row, "t_s": clock.to_ours(row["t_s"])}


def last_words(line: str) -> str:
    """Return the last line of a server's output as a clause."""
    return f"its last words: {line.strip()}" if line.strip() else "it said nothing"


def kind_of(message: dict[str, Any]) -> str:
    """Return a message's kind; a text whatever came."""
    return str(message.get("kind", ""))
