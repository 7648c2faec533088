"""`pinchpoint compare`: which runs are meant, what is written, and the exit code that the later run earned."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pinchpoint.commands.compare import compare, run_compare, run_folder
from pinchpoint.errors import ExitCode, MeasurementError, UsageError
from support.recordings import RECORDINGS, SUFFIX, unpack
from support.synthetic import TRUTHS, Synthetic

POOL = TRUTHS["db-pool"][0]
"""A pool of 4 whose members are held for 24 ms: 167/s."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of made-up runs: a small pool, twice of it, and no pool that binds; tests add nothing to it."""
    root = tmp_path_factory.mktemp("work") / "runs"
    root.mkdir()
    for name, truth in (("small", POOL), ("large", replace(POOL, pool_size=8)), ("cured", TRUTHS["healthy"][0])):
        Synthetic(truth).run().write(root / name)
    (root / "latest").symlink_to("large")
    (root / "sweep").mkdir()
    (root / "sweep" / "sweep.json").write_text("{}")
    shutil.copytree(root / "small", root / "sweep" / "workers-1-r1")
    return root


@pytest.fixture
def work(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder to call the command in; its `runs` are the made-up ones."""
    (tmp_path / "runs").symlink_to(runs)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def called(*words: str) -> tuple[int, str, str]:
    """Call the command as the command line does; return exit code, stdout and stderr."""
    app = typer.Typer()
    app.command()(compare)
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.stdout, done.stderr


def test_a_pool_of_twice_the_size_is_better(work: Path) -> None:
    """The bottleneck stayed, and its limit doubled; the outputs lie where they were asked for."""
    result = run_compare("small", "latest", 0.10, work / "out")

    assert result.exit_code == ExitCode.DONE
    assert (result.table["before"]["name"], result.table["after"]["name"]) == ("small", "large")
    assert result.table["capacity"][0]["change"]["side"] == "above"
    assert result.table["capacity"][0]["change"]["ratio"] == pytest.approx(2.0, rel=0.1)
    assert result.table["move"]["kind"] == "stayed"
    assert {path.name for path in (work / "out").iterdir()} == {"compare.json", "compare.md", "compare.html"}
    assert json.loads((work / "out" / "compare.json").read_text()) == result.table


def test_half_the_pool_is_a_regression(work: Path) -> None:
    """Exit code 1, said on stdout; as JSON the reason is on stderr."""
    code, out, _ = called("large", "small", "--out", "out")
    again, text, err = called("large", "small", "--out", "out", "--json")

    assert (code, again) == (1, 1)
    assert out.startswith("Regression: the sustainable rate fell from ")
    assert json.loads(text)["regression"] is True
    assert "pinchpoint: Regression: the sustainable rate fell from " in " ".join(err.split())


def test_a_tolerated_loss_ends_in_0(work: Path) -> None:
    """A user may know what he did."""
    assert called("large", "small", "--out", "out", "--tolerance", "100")[0] == 0


def test_the_bottleneck_moves_when_the_pool_is_cured(work: Path) -> None:
    """From the pool to the event loop."""
    result = run_compare("small", "cured", 0.10, work / "out")

    assert result.table["move"]["kind"] == "moved"
    assert result.table["move"]["statement"].startswith("The bottleneck moved from pool/db-pool to cpu/python-code")


def test_a_run_is_no_regression_of_itself(checkout: Path, work: Path) -> None:
    """A recording of a real run, diagnosed twice; no figure differs, and the run folders stay as they are."""
    for name in ("one", "two"):
        unpack(RECORDINGS / f"db-pool-sync-postgresql{SUFFIX}", work / name)
    before = sorted(path.name for path in (work / "one").rglob("*"))

    result = run_compare("one", "two", 0.0, work / "out")

    assert result.exit_code == ExitCode.DONE
    assert result.table["regressions"] == []
    assert {row["change"]["side"] for row in result.table["at_load"]} <= {"level", "unknown"}
    assert sorted(path.name for path in (work / "one").rglob("*")) == before


def test_the_same_folder_twice_is_said(work: Path) -> None:
    """A slip of the hand, most likely."""
    table = run_compare("small", "runs/small", 0.10, work / "out").table

    assert table["warnings"][0] == "Both are the same run: nothing can differ."
    assert table["regression"] is False


def test_outputs_lie_beside_the_later_run(work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Named after both; comparing again writes them again."""
    root = tmp_path_factory.mktemp("apart")
    for name in ("one", "two"):
        shutil.copytree(work / "runs" / "small", root / name)

    first, again = (run_compare(str(root / "one"), str(root / "two"), 0.10) for _ in range(2))

    assert first.paths == again.paths
    assert first.paths["html"] == root / "compare-one-two" / "compare.html"


def test_runs_are_found_by_path_by_name_and_as_the_latest(work: Path) -> None:
    """A run has its own name, whatever it was called by."""
    found = [run_folder(text) for text in ("runs/small", "small", "latest", "runs/latest")]

    assert [folder.name for folder in found] == ["small", "small", "large", "large"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing", "there is no run 'nothing', neither here nor in runs"),
        ("sweep", "sweep is a sweep, and its page compares its values; name two of its runs, such as sweep/workers-1"),
    ],
)
def test_what_is_no_run_is_refused(work: Path, text: str, said: str) -> None:
    """With the way out."""
    with pytest.raises(UsageError) as raised:
        run_folder(text)

    assert str(raised.value).startswith(said)


def test_runs_that_cannot_be_compared_are_refused(work: Path) -> None:
    """A run of another kind; nothing is written."""
    other = work / "steeped"
    shutil.copytree(work / "runs" / "small", other)
    told = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps({**told, "mode": "soak"}))

    with pytest.raises(UsageError, match="compare runs of the same kind"):
        run_compare("small", "steeped", 0.10, work / "out")

    assert not (work / "out").exists()


def test_an_invalid_measurement_is_none(work: Path) -> None:
    """Exit code 3: the generator was the limit, so nothing is known of the app."""
    Synthetic(TRUTHS["generator-bound"][0]).run().write(work / "bound")

    with pytest.raises(MeasurementError, match="the measurement of bound is invalid"):
        run_compare("small", "bound", 0.10, work / "out")


def test_a_folder_with_something_else_is_left_alone(work: Path) -> None:
    """Nobody's files are mixed with ours."""
    (work / "out").mkdir()
    (work / "out" / "thesis.txt").write_text("precious")

    with pytest.raises(UsageError, match="holds something else"):
        run_compare("small", "large", 0.10, work / "out")


def test_two_runs_of_one_name_are_told_apart(work: Path) -> None:
    """By what the user called them."""
    for branch in ("main", "change"):
        shutil.copytree(work / "runs" / "small", work / branch / "run")

    table = run_compare("main/run", "change/run", 0.10, work / "out").table

    assert (table["before"]["name"], table["after"]["name"]) == ("main/run", "change/run")
