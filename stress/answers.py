"""The first answers of a target, kept so that a server that does nothing can give them again: a file of JSON lines.

They may hold tokens, so the file is for its owner only and lies outside the run folder.
"""

import base64
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ANSWERS_VARIABLE = "PINCHPOINT_ANSWERS"
"""Environment variable that names the file; unset: nothing is kept."""

MOST_ANSWERS = 512
LARGEST_BODY_BYTES = 262_144
MOST_BYTES = 8_388_608
REPLAYED_HEADERS = ("content-type", "location")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `path` includes the query."""

    method: str
    path: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = field(default=())
    """Those of `REPLAYED_HEADERS`, and each Set-Cookie."""

    def to_line(self) -> bytes:
        """Return one line."""
        fields: dict[str, Any] = {
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "headers": [list(pair) for pair in self.headers],
            "body": base64.b64encode(self.body).decode(),
        }
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read what `to_line` wrote.

        Raises:
            ValueError: something else.

        """
        fields = json.loads(line)
        headers = tuple((str(name), str(value)) for name, value in fields["headers"])
        return cls(fields["method"], fields["path"], fields["status"], base64.b64decode(fields["body"]), headers)


def read_answers(path: Path) -> list[Answer]:
    """Return what was kept; nothing when there is no file, and no half line."""
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [Answer.from_line(line) for line in lines if line]


class AnswerFile:
    """Appends answers, each (method, path) once, up to a number and a size."""

    def __init__(self, path: Path) -> None:
        """Create the file for its owner only.

        Raises:
            OSError: it cannot be made.

        """
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._seen: set[tuple[str, str]] = set()
        self._bytes = 0

    @property
    def full(self) -> bool:
        """True when nothing more is kept."""
        return self._fd < 0 or len(self._seen) >= MOST_ANSWERS or self._bytes >= MOST_BYTES

    def wants(self, method: str, path: str) -> bool:
        """Tell whether this would be the first answer to a request."""
        return not self.full and (method, path) not in self._seen

    def keep(self, answer: Answer) -> None:
        """Write an answer down, unless it is too large."""
        self._seen.add((answer.method, answer.path))
        if len(answer.body) > LARGEST_BODY_BYTES:
            return
        line = answer.to_line()
        self._bytes += len(line)
        try:
            os.write(self._fd, line)
        except OSError:
            self.close()

    def close(self) -> None:
        """Keep nothing more; harmless when closed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def best_match(answers: Sequence[Answer], method: str, path: str) -> Answer | None:
    """Return what to answer a request with.

    The same method and path with query; else the same path; else, of the same method and status 2xx or 3xx, the path
    with most equal segments in their place, of as many segments where there is one; else None.
    """
    same = [answer for answer in answers if answer.method == method]
    exact = next((answer for answer in same if answer.path == path), None)
    if exact is not None:
        return exact
    bare = _bare(path)
    plain = next((answer for answer in same if _bare(answer.path) == bare), None)
    if plain is not None or not same:
        return plain
    best = max(same, key=lambda answer: _likeness(_bare(answer.path), bare))
    return best if _likeness(_bare(best.path), bare)[0] > 0 else None


def _bare(path: str) -> str:
    return path.partition("?")[0]


def _likeness(path: str, wanted: str) -> tuple[int, bool]:
    one, other = path.strip("/").split("/"), wanted.strip("/").split("/")
    return sum(a == b for a, b in zip(one, other, strict=False)), len(one) == len(other)


def kept_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers that are worth giving again, names in lower case, without line breaks."""
    wanted = (*REPLAYED_HEADERS, "set-cookie")
    lowered = [(name.lower(), value) for name, value in pairs]
    return tuple((name, value) for name, value in lowered if name in wanted and not {"\r", "\n"} & set(value))
