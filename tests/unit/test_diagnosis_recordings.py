"""Diagnosis is a function of the signals alone, and survives a run folder cut anywhere."""

import importlib.util
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinchpoint.diagnosis import diagnose
from pinchpoint.recording import EVENTS_FILE, SERVER_FILE, load_recording
from pinchpoint.records import to_jsonable

_SPEC = importlib.util.spec_from_file_location("support_synthetic", Path(__file__).parents[1] / "support/synthetic.py")
assert _SPEC is not None
assert _SPEC.loader is not None
synthetic = importlib.util.module_from_spec(_SPEC)
sys.modules["support_synthetic"] = synthetic
_SPEC.loader.exec_module(synthetic)

FILES = (EVENTS_FILE, SERVER_FILE, "client-0.jsonl")


def as_text(folder: Path) -> str:
    """Diagnose a folder; the result as text."""
    return json.dumps(to_jsonable(diagnose(load_recording(folder))), sort_keys=True)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a whole run of an app with a small pool."""
    folder: Path = synthetic.Synthetic(synthetic.TRUTHS["db-pool"][0]).run().write(tmp_path_factory.mktemp("run"))
    return folder


def test_label_and_command_line_change_nothing(tmp_path: Path) -> None:
    """The same signals under every label and argv give the same bytes."""
    run = synthetic.Synthetic(synthetic.TRUTHS["db-pool"][0]).run()
    told = [("", ()), ("python-cpu", ("run", "--fault", "python-cpu")), ("leak", ("run", "--fault", "leak"))]

    texts = {as_text(run.write(tmp_path / str(k), argv=argv, label=label)) for k, (label, argv) in enumerate(told)}

    assert len(texts) == 1


def test_the_same_recording_gives_the_same_bytes(recorded: Path) -> None:
    """Nothing random, no clock."""
    assert as_text(recorded) == as_text(recorded)


@given(file=st.sampled_from(FILES), keep=st.floats(0, 1), torn=st.booleans())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_recording_cut_anywhere_is_diagnosed(
    recorded: Path, tmp_path: Path, file: str, *, keep: float, torn: bool
) -> None:
    """A kill at any moment leaves a verdict, if only `undetermined`."""
    folder = tmp_path / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(recorded, folder)
    lines = (folder / file).read_text().splitlines(keepends=True)
    kept = lines[: int(keep * len(lines))]
    if torn and kept:
        kept[-1] = kept[-1][: len(kept[-1]) // 2]
    (folder / file).write_text("".join(kept))

    found = diagnose(load_recording(folder))

    assert found.verdict.class_ in {"pool", "undetermined", "none", "cpu", "generator"}
    assert 0.0 <= found.verdict.confidence <= 1.0


def test_an_empty_run_is_undetermined_and_invalid(tmp_path: Path) -> None:
    """Only run.json was written before the kill."""
    (tmp_path / "run.json").write_text('{"slo": {"p95_ms": 500, "max_error_rate": 0.01}}')

    found = diagnose(load_recording(tmp_path))

    assert (found.verdict.class_, found.verdict.cause) == ("undetermined", "too-few-samples")
    assert found.validity.status == "invalid"
    assert found.capacity.slo == []


def test_no_samples_at_the_limit_is_too_few(tmp_path: Path) -> None:
    """The client's capacity stands; no resource is accused."""
    folder = synthetic.Synthetic(synthetic.TRUTHS["db-pool"][0]).run().write(tmp_path)
    (folder / SERVER_FILE).write_text("")

    found = diagnose(load_recording(folder))

    assert (found.verdict.class_, found.verdict.cause) == ("undetermined", "too-few-samples")
    assert found.capacity.reached is True


def test_a_minute_is_diagnosed_within_a_second(tmp_path: Path) -> None:
    """Twenty steps of six seconds: twice a 60 s run."""
    truth = replace(synthetic.HEALTHY, step_s=6.0, workers=2)
    recording = load_recording(synthetic.Synthetic(truth).run().write(tmp_path))

    started = time.process_time()
    diagnose(recording)

    assert time.process_time() - started < 1.0
