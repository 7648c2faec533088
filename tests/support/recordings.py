"""Recordings kept as fixtures: how one is unpacked and diagnosed, and the same run with other names in it.

An archive `tests/recordings/CASE.tar.xz` holds what diagnosis reads: samples, digests, events, awaits, the folded
stacks that events name, and of `run.json` the settings. `expected.json` beside them holds label and verdict of each.
"""

import json
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
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
        if _METHOD.match(text):
            return self.route(text)
        return self.hide(text) if _is_app(text) else text

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
    names = Names(_words(folder))
    _each_row(folder / SERVER_FILE, lambda row: _rename_sample(row, names))
    for path in folder.glob(CLIENT_GLOB):
        _each_row(path, lambda row: {**row, "names": {names.route(name): one for name, one in row["names"].items()}})
    _each_row(folder / AWAITS_FILE, lambda row: {**row, "stacks": _stacks(row["stacks"], names)})
    for path in folder.glob("profiles/*.folded"):
        lines = [line.rpartition(" ") for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(f"{_stack(stack, names)} {count}\n" for stack, _, count in lines), encoding="utf-8")
    for path in folder.glob("profiles/*.lines.json"):
        texts = json.loads(path.read_text(encoding="utf-8"))
        hidden = {names.hide(key) if owner_of_file(key.rpartition(":")[0]) == APP else key: texts[key] for key in texts}
        path.write_text(json.dumps(hidden), encoding="utf-8")
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    told = {"id": "other", "argv": ["run", "--fault", label["cause"]], "target": {"command": [label["class"]]}}
    (folder / RUN_FILE).write_text(json.dumps({**run, **told}), encoding="utf-8")
    (folder / LABEL_FILE).write_text(json.dumps({"fault": label["cause"]}), encoding="utf-8")
    return names


def _words(folder: Path) -> set[str]:
    """Return every word of the app: of its routes, and of its own frames."""
    texts: set[str] = set()
    for path in folder.glob(CLIENT_GLOB):
        texts |= {_METHOD.sub("", name) for row in _rows(path) for name in row["names"]}
    for row in _rows(folder / SERVER_FILE):
        for process in row["processes"]:
            texts |= {_METHOD.sub("", name) for name in ((process.get("tables") or {}).get("routes") or {})}
    frames = {frame for row in _rows(folder / AWAITS_FILE) for stack in row["stacks"] for frame in stack.split(";")}
    for path in folder.glob("profiles/*.folded"):
        frames |= {
            frame
            for line in path.read_text(encoding="utf-8").splitlines()
            for frame in line.rpartition(" ")[0].split(";")
        }
    texts |= {_METHOD.sub("", frame) for frame in frames if _METHOD.match(frame)}
    texts |= {frame for frame in frames if _is_app(frame)}
    words = {word for text in texts for word in _WORD.findall(text)}
    return words - {"py"}


def _rename_sample(row: dict[str, Json], names: Names) -> dict[str, Json]:
    for process in row["processes"]:
        tables = process.get("tables") or {}
        if "routes" in tables:
            tables["routes"] = {names.route(name): figures for name, figures in tables["routes"].items()}
    return row


def _stacks(stacks: Mapping[str, int], names: Names) -> dict[str, int]:
    return {_stack(stack, names): count for stack, count in stacks.items()}


def _stack(stack: str, names: Names) -> str:
    return ";".join(map(names.frame, stack.split(";")))


def _rows(path: Path) -> list[dict[str, Json]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def _each_row(path: Path, change: Callable[[dict[str, Json]], dict[str, Json]]) -> None:
    if path.is_file():
        path.write_bytes(b"".join(orjson.dumps(change(row)) + b"\n" for row in _rows(path)))
