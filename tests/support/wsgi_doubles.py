"""What stands in for a WSGI response and for the table of routes."""

from collections.abc import Iterator

from pinchpoint.monitoring.probe.routes import Tally

Routed = list[tuple[str, str | None, str, int]]


class Routes:
    """Takes the place of the table of routes."""

    def __init__(self) -> None:
        self.counted: Routed = []
        self.statements: list[int | None] = []

    def count_threadsafe(
        self, method: str, template: str | None, path: str, status: int, seconds: float, tally: Tally | None = None
    ) -> None:
        """Keep what is counted."""
        assert seconds >= 0
        self.counted.append((method, template, path, status))
        self.statements.append(tally.statements if tally is not None else None)


class Body:
    """A response with everything a server may look at."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])

    def __len__(self) -> int:
        return 2

    def fileno(self) -> int:
        """Return the file to send."""
        return 7

    def close(self) -> None:
        """Count the closing."""
        self.closed += 1
