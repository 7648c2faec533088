"""Recordings kept as fixtures: how one is unpacked and diagnosed, and the same run with other names in it.

An archive `tests/recordings/CASE.tar.xz` holds what diagnosis reads: samples, digests, events, awaits, the folded
stacks that events name, and of `run.json` the settings. `expected.json` beside them holds label and verdict of each.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from pinchpoint.commands.limits import recorded_thresholds
from pinchpoint.diagnosis import diagnose
from pinchpoint.diagnosis.staged import judged
from pinchpoint.profiles.attribution import APP, owner, owner_of_file
from pinchpoint.profiles.awaits import summarise
from pinchpoint.profiles.folded import parse_frame
from pinchpoint.profiles.load import load_profiles
from pinchpoint.recording import AWAITS_FILE, CLIENT_GLOB, LABEL_FILE, RUN_FILE, SERVER_FILE, load_recording
from pinchpoint.records import Diagnosis, to_jsonable

RECORDINGS = Path(__file__).resolve().parent.parent / "recordings"
EXPECTED = "expected.json"
SUFFIX = ".tar.xz"

DIGITS = 6
"""Significant ones of the figures in `expected.json`: another processor's logarithm differs in the last of sixteen."""

Json = Any


def unpack(archive: Path, folder: Path) -> Path:
    """Make a run folder of an archive again."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder


def diagnosis_of(folder: Path) -> Diagnosis:
    """Diagnose a run folder as `pinchpoint report` does."""
    recording = load_recording(folder)
    taken = load_profiles(recording)
    limits = recorded_thresholds(recording.settings["load"])
    return judged(diagnose(recording, taken, summarise(recording, taken)), recording, limits)


def verdict_of(folder: Path) -> str:
    """Return the verdict on a run folder as text, whole and unrounded."""
    return json.dumps(to_jsonable(diagnosis_of(folder).verdict), indent=1, sort_keys=True, ensure_ascii=False)


def rounded(value: Json) -> Json:
    """Return the same JSON, every number of it with `DIGITS` digits that count."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def expected(folder: Path = RECORDINGS) -> dict[str, dict[str, Json]]:
    """Return case -> what is known of its recording; empty where nothing was packed yet."""
    path = folder / EXPECTED
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


# --- the same run with other names -----------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_METHOD = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) ")
_KEPT = frozenset({"module", "lambda", "locals", "listcomp", "genexpr", "dictcomp", "setcomp", "setup", "src", "srv"})
"""Words of the interpreter's and of ours, not of the app's."""


class Names:
    """Words of the app, each with another in its place that no diagnosis can know; in the same order by alphabet."""

    def __init__(self, words: Iterable[str]) -> None:
        known = sorted(set(words) - _KEPT)
        self._frames: dict[str, str] = {}
        self._new = {word: f"q{number:04d}z" for number, word in enumerate(known)}

    def hide(self, text: str) -> str:
        """Replace every word of the app in a text that is all its own: a path, a function's name."""
        return _WORD.sub(lambda found: self._new.get(found[0], found[0]), text)

    def show(self, text: str) -> str:
        """Put the words back."""
        old = {new: word for word, new in self._new.items()}
        return re.sub(r"q\d{4}z", lambda found: old.get(found[0], found[0]), text)

    def frame(self, text: str) -> str:
        """Replace the app's words in one frame of a folded stack: `function (file:line)`, or a route."""
        if text not in self._frames:
            hidden = self.hide(text) if _is_app(text) else text
            self._frames[text] = self.route(text) if _METHOD.match(text) else hidden
        return self._frames[text]

    def route(self, text: str) -> str:
        """Replace the app's words in `GET /orders/{id}`, or in a request's name."""
        method = _METHOD.match(text)
        return text[: method.end()] + self.hide(text[method.end() :]) if method else self.hide(text)


def _is_app(frame: str) -> bool:
    return owner(parse_frame(frame)) == APP


def rename(folder: Path, label: Mapping[str, str]) -> Names:
    """Give a run folder another label and command line, and everything the app has named another name.

    Routes and requests, and the app's own functions, files and folders; not the names of libraries, of their pools,
    and of what the app calls, which a diagnosis may know.
    """
    rows = {path: _rows(path) for path in (folder / SERVER_FILE, folder / AWAITS_FILE, *folder.glob(CLIENT_GLOB))}
    folded = {path: _folded(path) for path in folder.glob("profiles/*.folded")}
    names = Names(_words(rows, folded))
    for path, found in rows.items():
        path.write_bytes(b"".join(orjson.dumps(_renamed(row, names)) + b"\n" for row in found))
    for path, lines in folded.items():
        path.write_text("".join(f"{_stack(stack, names)} {count}\n" for stack, count in lines), encoding="utf-8")
    for path in folder.glob("profiles/*.lines.json"):
        texts = json.loads(path.read_text(encoding="utf-8"))
        hidden = {names.hide(key) if owner_of_file(key.rpartition(":")[0]) == APP else key: texts[key] for key in texts}
        path.write_text(json.dumps(hidden), encoding="utf-8")
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    told = {"id": "other", "argv": ["run", "--fault", label["cause"]], "target": {"command": [label["class"]]}}
    (folder / RUN_FILE).write_text(json.dumps({**run, **told}), encoding="utf-8")
    (folder / LABEL_FILE).write_text(json.dumps({"fault": label["cause"]}), encoding="utf-8")
    return names


Rows = dict[Path, list[dict[str, Json]]]
Folded = dict[Path, list[tuple[str, str]]]


def _folded(path: Path) -> list[tuple[str, str]]:
    lines = [line.rpartition(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    return [(stack, count) for stack, _, count in lines]


def _words(rows: Rows, folded: Folded) -> set[str]:
    """Return every word of the app: of its routes, and of its own frames."""
    routes, stacks = set(), {stack for lines in folded.values() for stack, _ in lines}
    for found in rows.values():
        for row in found:
            routes |= set(row.get("names", ()))
            stacks |= set(row.get("stacks", ()))
            for process in row.get("processes", ()):
                routes |= set((process.get("tables") or {}).get("routes", ()))
    frames = {frame for stack in stacks for frame in stack.split(";")}
    texts = {_METHOD.sub("", text) for text in (*routes, *filter(_METHOD.match, frames))}
    texts |= {frame for frame in frames if _is_app(frame)}
    return {word for text in texts for word in _WORD.findall(text)} - {"py"}


def _renamed(row: dict[str, Json], names: Names) -> dict[str, Json]:
    """Return a sample, a digest or an await row with the app's words replaced."""
    if "names" in row:
        row["names"] = {names.route(name): figures for name, figures in row["names"].items()}
    if "stacks" in row:
        row["stacks"] = {_stack(stack, names): count for stack, count in row["stacks"].items()}
    for process in row.get("processes", ()):
        tables = process.get("tables") or {}
        if "routes" in tables:
            tables["routes"] = {names.route(name): figures for name, figures in tables["routes"].items()}
    return row


def _stack(stack: str, names: Names) -> str:
    return ";".join(map(names.frame, stack.split(";")))


def _rows(path: Path) -> list[dict[str, Json]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []
