"""Benchmarks of the reference app over HTTP. They run where they are asked for: `-m performance`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.app_server import Api, app_served, client_of
from support.benchmarks import Measure, Measured, machine, newest_saved, table

ROWS = pytest.StashKey[list[Measured]]()
NOTE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, and find the run to compare with."""
    config.addinivalue_line("markers", "performance: measures; runs with -m performance, and nothing else meanwhile")
    config.stash[ROWS] = []
    config.stash[NOTE] = ""
    _choose_baseline(config)


def _choose_baseline(config: pytest.Config) -> None:
    """Let `--benchmark-compare=NAME` mean the newest run saved as NAME; pytest-benchmark knows numbers and paths."""
    wanted = config.getoption("benchmark_compare", None)
    storage = str(config.getoption("benchmark_storage", ""))
    if not wanted or storage.startswith("elasticsearch"):
        return
    if wanted is not True and (set(wanted) & set("/*?[") or Path(wanted).is_file()):
        return
    name = None if wanted is True else str(wanted)
    try:
        found = newest_saved(Path(storage.removeprefix("file://")), name, machine())
    except LookupError as error:
        raise pytest.UsageError(str(error)) from None
    if found is None and config.getoption("benchmark_compare_fail", None):
        raise pytest.UsageError("nothing to compare with yet: save a run with --benchmark-save=NAME")
    if found is None:
        config.stash[NOTE] = "Nothing to compare with yet: save a run with --benchmark-save=NAME."
    config.option.benchmark_compare = [] if found is None else str(found)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_generate_machine_info() -> dict[str, Any]:
    """Return what `newest_saved` compares. The plugin's own holds clock speeds, which differ from run to run."""
    return machine()


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Leave the benchmarks out unless `-m` names them."""
    if "performance" in str(config.getoption("markexpr")):
        return
    skip = pytest.mark.skip(reason="measures, with nothing else running: pytest tests/performance -m performance")
    for item in items:
        if item.get_closest_marker("performance"):
            item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table before pytest-benchmark's own, which ends the run when something has become slower."""
    rows = config.stash[ROWS]
    if rows:
        terminalreporter.section("performance requirements (ms)")
        for line in table(rows):
            terminalreporter.write_line(line)
    if config.stash[NOTE]:
        terminalreporter.write_line(config.stash[NOTE])


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve the app by uvicorn, on a fresh SQLite file; return its port."""
    with app_served(tmp_path_factory.mktemp("served")) as port:
        yield port


@pytest.fixture
def api(served: int) -> Iterator[Api]:
    """Return a client that is nobody."""
    with client_of(served) as client:
        yield client


@pytest.fixture
def signed_in(api: Api) -> Api:
    """Return a client that has logged in."""
    api.log_in()
    return api


@pytest.fixture
def measure(benchmark: Any, pytestconfig: pytest.Config) -> Measure:
    """Return what times calls in this test."""
    return Measure(benchmark, pytestconfig.stash[ROWS])
