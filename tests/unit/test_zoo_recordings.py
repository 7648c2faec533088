"""Every case of the fault zoo is diagnosed anew from its recording: the same verdict, whatever things are called."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pinchpoint.accuracy import accuses_falsely, of_kind, result_of, set_f1, share
from pinchpoint.recording import LABEL_FILE, RUN_FILE
from support.recordings import (
    RECORDINGS,
    SUFFIX,
    diagnosis_of,
    expected,
    rename,
    rounded,
    unpack,
    verdict_of,
)
from support.synthetic import TRUTHS, Synthetic

KNOWN = expected()
CASES = sorted(KNOWN)
IN_ALL_BYTES = 20_000_000

CLASS_RIGHT, CAUSE_RIGHT, SET_F1 = 0.97, 0.92, 0.85
"""What is asked of the whole zoo is asked of its recordings."""

ACQUIRE = "acquire (/opt/venv/lib/site-packages/sa/pool.py:3);[wait for lock]"
OTHER_LABEL = {"class": "memory", "cause": "leak"}


def one_of_each_class() -> list[str]:
    """Return the first case of each class and kind."""
    first: dict[tuple[str, str], str] = {}
    for name in CASES:
        first.setdefault((KNOWN[name]["kind"], KNOWN[name]["labels"][0][0]), name)
    return sorted(first.values())


# --- the fixtures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_recording_gets_the_verdict_it_got_under_other_names(checkout: Path, tmp_path: Path, name: str) -> None:
    """Label, command line, routes, modules and functions are other ones; numbers agree to six digits."""
    folder = unpack(RECORDINGS / f"{name}{SUFFIX}", tmp_path)
    names = rename(folder, OTHER_LABEL)

    actual = rounded(json.loads(names.show(verdict_of(folder))))

    assert actual == KNOWN[name]["verdict"]


@pytest.mark.parametrize("name", one_of_each_class())
def test_names_change_no_byte_of_a_verdict(checkout: Path, tmp_path: Path, name: str) -> None:
    """One recording of each class; packing holds all of them to it."""
    folder = unpack(RECORDINGS / f"{name}{SUFFIX}", tmp_path)
    before = verdict_of(folder)

    names = rename(folder, OTHER_LABEL)

    assert names.show(verdict_of(folder)) == before


@pytest.mark.skipif(not KNOWN, reason="no recordings are packed yet: scripts/bench/zoo_pack.py")
def test_the_recordings_are_named_rightly_often_enough(checkout: Path) -> None:
    """The floor below which no change of a rule may go."""
    found = [result_of(row) for row in rows()]
    single, mixed, negative = (of_kind(found, kind) for kind in ("single", "mixed", "negative"))

    assert (share(single, lambda one: one.class_right).share or 1.0) >= CLASS_RIGHT
    assert (share(single, lambda one: one.right).share or 1.0) >= CAUSE_RIGHT
    assert not mixed or sum(map(set_f1, mixed)) / len(mixed) >= SET_F1
    assert [one.case for one in negative if accuses_falsely(one)] == []


def rows() -> list[dict[str, object]]:
    """Return what is said of every recording as rows of results; the tests above hold that it is still said."""
    return [{**known, "case": name, "round": 1} for name, known in KNOWN.items()]


def test_recordings_and_expectations_belong_together(checkout: Path) -> None:
    """No archive without a verdict, no verdict without an archive; and all of them are small."""
    archives = {path.name.removesuffix(SUFFIX): path.stat().st_size for path in RECORDINGS.glob(f"*{SUFFIX}")}

    assert sorted(archives) == CASES
    assert sum(archives.values()) <= IN_ALL_BYTES


# --- packing and renaming --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packer() -> ModuleType:
    """Return `scripts/bench/zoo_pack.py`."""
    path = Path(__file__).parents[2] / "scripts/bench/zoo_pack.py"
    if not path.is_file():
        pytest.skip("needs the checkout; this run tests the installed wheel")
    sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location("zoo_pack", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo_pack"] = module
    spec.loader.exec_module(module)
    return module


def recorded(folder: Path) -> Path:
    """Write a simulated run whose paths are those of this machine."""
    run: Path = Synthetic(TRUTHS["db-pool"][0]).run().write(folder, argv=("run", "--fault", "db-pool"), label="db-pool")
    stack = f"GET /orders/{{id}};load (/home/me/shop/orders.py:7);{ACQUIRE}"
    rows = [{"t_s": k / 2, "pid": 1, "ticks": 5, "tasks": 9, "walked": 9, "stacks": {stack: 9}} for k in range(200)]
    (run / "awaits.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder; tests only read it."""
    return recorded(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def archive(packer: ModuleType, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return it packed."""
    path = tmp_path_factory.mktemp("packed") / "x.tar.xz"
    packer.pack(run, path, {"/home/me": "/srv"})
    return path


def test_a_packed_run_says_what_the_run_says(run: Path, archive: Path, tmp_path: Path) -> None:
    """Byte for byte, but for the folders of the machine."""
    unpacked = unpack(archive, tmp_path)

    assert verdict_of(unpacked) == verdict_of(run).replace("/home/me", "/srv")
    assert diagnosis_of(unpacked).capacity == diagnosis_of(run).capacity


def test_packing_twice_gives_the_same_bytes(packer: ModuleType, run: Path, archive: Path, tmp_path: Path) -> None:
    """An archive changes in git only with the run."""
    packer.pack(run, tmp_path / "again.tar.xz", {"/home/me": "/srv"})

    assert (tmp_path / "again.tar.xz").read_bytes() == archive.read_bytes()


def test_an_archive_holds_no_label_no_command_line_and_no_folder_of_this_machine(
    packer: ModuleType, archive: Path, tmp_path: Path
) -> None:
    """Only what diagnosis reads."""
    folder = unpack(archive, tmp_path)

    kept = json.loads((folder / RUN_FILE).read_text())
    assert not (folder / LABEL_FILE).exists()
    assert kept.keys() <= set(packer.SETTINGS)
    assert all(b"/home/me" not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_recording_that_packing_would_change_is_not_kept(
    packer: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check can fail: without its samples the run says something else."""
    monkeypatch.setattr(packer, "SERVER_FILE", "nothing.jsonl")

    with pytest.raises(ValueError, match="something else once it is packed"):
        packer.pack(run, tmp_path / "x.tar.xz", {})

    assert not (tmp_path / "x.tar.xz").exists()


def test_renaming_leaves_none_of_the_apps_words(tmp_path: Path) -> None:
    """Those of libraries stay, as a diagnosis may know these."""
    run = recorded(tmp_path)

    names = rename(run, OTHER_LABEL)

    text = (run / "awaits.jsonl").read_text()
    assert [word for word in ("orders", "shop", "load", "home") if word in text] == []
    assert ACQUIRE in text
    assert names.show(names.frame("load (/home/me/shop/orders.py:7)")) == "load (/home/me/shop/orders.py:7)"


def test_numbers_are_compared_by_the_digits_that_count() -> None:
    """Down to the leaves; whole numbers and texts stay."""
    value = {"a": [1.00000049, 123456789, None, "1.00000049"], "b": {"c": 2.0}}

    assert rounded(value) == {"a": [1.0, 123456789, None, "1.00000049"], "b": {"c": 2.0}}
