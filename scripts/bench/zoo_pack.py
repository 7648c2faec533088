"""Keep a small recording of every case of the zoo as a fixture, with what is said of it now.

    scripts/bench.sh zoo-pack [--round N] [--case NAME]     pack the runs of that round (default: the first)
    scripts/bench.sh zoo-pack --expect                      pack nothing: write down what the rules say now

One run of each case that counts, right or wrong: that of the first round, whose severities rotate. An archive holds
what diagnosis reads and nothing else (no flame graphs, pages or logs; of `run.json` the settings, without command line
and host). Folders of this machine become `/srv/...`. A recording that says something else once packed is not kept.
"""

import argparse
import io
import json
import lzma
import multiprocessing
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

import zoo_results

from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.recording import AWAITS_FILE, CLIENT_GLOB, EVENTS_FILE, RUN_FILE, SERVER_FILE, load_recording
from pinchpoint.records import to_jsonable
from support.recordings import EXPECTED, RECORDINGS, SUFFIX, diagnosis_of, expected, rename, rounded, unpack, verdict_of

SETTINGS = ("mode", "partial", "budget_s", "load", "slo")
"""What is kept of `run.json`."""
PLACES = {
    r"/lib/python3\.\d+/site-packages/": "/srv/venv",
    r"/lib/python3\.\d+/": "/usr/local",
    r"/app/faults/serving/": "/srv/shop",
    r"/monitoring/probe/": "/srv/shop",
}
"""What a folder of the recording machine holds -> the folder that stands for it; the first that fits."""

MOST_BYTES = 330_000
KNOWN = ("kind", "half", "family", "flavour", "database", "severity", "labels", "ceiling_rps")
CAPACITY = ("sustainable_rps", "saturation_rps")


def folders(folder: Path) -> dict[str, str]:
    """Return folders of the machine that recorded -> what stands for them in a fixture; inner ones first."""
    paths = [folder / AWAITS_FILE, *folder.glob("profiles/*.folded"), *folder.glob("profiles/*.lines.json")]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file())
    found: dict[str, str] = {}
    for below, place in PLACES.items():
        for base in set(re.findall(rf'(?<![\w./-])(/[^\s;:()"]+?){below}', text)):
            found.setdefault(base, place)
    return dict(sorted(found.items(), key=lambda one: -len(one[0])))


def elsewhere(text: str, places: Mapping[str, str]) -> str:
    """Put the folders of another machine for those of this one."""
    for old, new in places.items():
        text = re.sub(rf"(?<![\w./-]){re.escape(old)}(?=/)", new, text)
    return text


def members(folder: Path, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every file that diagnosis reads."""
    run = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    kept = {name: run[name] for name in SETTINGS if name in run}
    yield RUN_FILE, elsewhere(json.dumps(kept), places)
    events = load_recording(folder).events
    named = {str((event.get("data") or {}).get("path", "")) for event in events if event.get("kind") == "profile"}
    stacks = [path for name in sorted(named - {""}) for path in _with_lines(folder / name)]
    for path in (
        folder / EVENTS_FILE, folder / AWAITS_FILE, *stacks, *sorted(folder.glob(CLIENT_GLOB)), folder / SERVER_FILE,
    ):  # fmt: skip
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            yield path.relative_to(folder).as_posix(), elsewhere(text, places)


def _with_lines(folded: Path) -> tuple[Path, Path]:
    return folded, folded.with_suffix(".lines.json")


def pack(folder: Path, archive: Path, others: Mapping[str, str] = MappingProxyType({})) -> int:
    """Write the archive and return its size in bytes; the same run gives the same bytes.

    Args:
        folder: of the run.
        archive: to be written.
        others: further folders that others shall stand for.

    Raises:
        ValueError: the packed recording says something else than the run does, or does so by other names.

    """
    places = {**folders(folder), **others}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in members(folder, places):
            data = text.encode(errors="surrogateescape")
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))
    problem = _problem(folder, archive, places)
    if problem:
        archive.unlink()
        raise ValueError(problem)
    return archive.stat().st_size


def _problem(folder: Path, archive: Path, places: Mapping[str, str]) -> str:
    """Say how the verdict on a packed recording depends on what it must not depend on; empty when it does not."""
    with tempfile.TemporaryDirectory() as room:
        unpacked = unpack(archive, Path(room))
        there = verdict_of(unpacked)
        if there != elsewhere(verdict_of(folder), places):
            return f"{folder} says something else once it is packed"
        names = rename(unpacked, {"class": "memory", "cause": "leak"})
        return "" if names.show(verdict_of(unpacked)) == there else f"{folder} says something else by other names"


def entry(row: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what `expected.json` holds of a case: its label, and what is said of the unpacked recording."""
    found = to_jsonable(diagnosis_of(folder))
    known = {name: row.get(name) for name in KNOWN}
    kept = {name: found["capacity"][name] for name in CAPACITY}
    entered: dict[str, Any] = rounded({**known, "capacity": kept, "verdict": found["verdict"]})
    return entered


def store(known: Mapping[str, Any]) -> None:
    """Write `expected.json`."""
    text = json.dumps(dict(sorted(known.items())), indent=1, sort_keys=True, ensure_ascii=False)
    (RECORDINGS / EXPECTED).write_text(text + "\n", encoding="utf-8")


def expect() -> list[str]:
    """Diagnose every fixture anew; return the cases of which something else is said than before."""
    before, after = expected(), {}
    for name, row in before.items():
        with tempfile.TemporaryDirectory() as room:
            after[name] = entry(row, unpack(RECORDINGS / f"{name}{SUFFIX}", Path(room)))
    store(after)
    return [name for name in before if before[name] != after[name]]


def rows(round_: int, only: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return case -> its run of a round; of the first round that has one where that one does not count (void, old)."""
    cases = [one for one in all_cases() if not only or one.name in only]
    found: dict[str, dict[str, Any]] = {}
    counting = zoo_results.counting(zoo_results.latest(zoo_results.RESULTS, cases), cases)
    for row in sorted(counting, key=lambda row: (row["round"] != round_, row["round"])):
        if not row.get("skipped") and (Path(row["run"]) / RUN_FILE).is_file():
            found.setdefault(row["case"], row)
    return found


def _kept(run: tuple[str, Mapping[str, Any]]) -> tuple[str, int, dict[str, Any] | str]:
    """Pack one run; return its case, its size, and what is said of it or why it is not kept."""
    name, row = run
    archive = RECORDINGS / f"{name}{SUFFIX}"
    try:
        size = pack(Path(row["run"]), archive)
    except ValueError as error:
        return name, 0, str(error)
    with tempfile.TemporaryDirectory() as room:
        return name, size, entry(row, unpack(archive, Path(room)))


def main(words: Sequence[str]) -> int:
    """Return 0 when every recording was packed within its size, 1 when one was not."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh zoo-pack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--round", type=int, default=1, help="of the runs to pack; default 1")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--expect", action="store_true", help="pack nothing: write down what the rules say now")
    asked = parser.parse_args(words)
    if asked.expect:
        for name in expect():
            sys.stdout.write(f"{name}: something else is said of it now\n")
        return 0
    known, fine, total = expected(), True, 0
    with multiprocessing.get_context("spawn").Pool() as pool:
        for name, size, said in pool.imap(_kept, sorted(rows(asked.round, asked.case).items())):
            if isinstance(said, str):
                sys.stdout.write(f"{name}: not kept: {said}\n")
                fine = False
                continue
            known[name] = said
            store(known)
            fine, total = fine and size <= MOST_BYTES, total + size
            sys.stdout.write(f"{name}: {size:,} bytes{'' if size <= MOST_BYTES else ', TOO LARGE'}\n")
    sys.stdout.write(f"{total:,} bytes in all\n")
    return 0 if fine else 1
