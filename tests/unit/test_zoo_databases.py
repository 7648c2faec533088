"""Cases of databases: the arithmetic that they state, and services whose cure changes no answer."""

import asyncio
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from pinchpoint.app.faults.case import CURED, SCRATCH, SEVERITY, Case
from pinchpoint.app.faults.cases import data_locks, data_queries, databases
from pinchpoint.app.faults.catalogue import MODULES, tuned

CASES = {case.name: case for case in (*databases.CASES, *data_queries.CASES, *data_locks.CASES)}
IN_A_FILE = {name: case for name, case in CASES.items() if case.database == "sqlite"}
LITTLE = 0.05  # a severity at which nothing costs


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_ceiling_falls_with_severity_and_the_next_wall_lies_above(case: Case) -> None:
    """A fault costs in proportion, and its cure raises the capacity by a quarter at least."""
    assert case.ceiling_rps is not None
    assert case.second_rps is not None
    light, middle, severe = case.severities
    assert 800 > case.ceiling_rps(light) > case.ceiling_rps(middle) > case.ceiling_rps(severe) > 15
    assert all(case.second_rps(one) >= 1.25 * case.ceiling_rps(one) for one in case.severities)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request_alone_meets_the_goal_and_the_closed_loop_ends_in_time(case: Case) -> None:
    """Servers drop a connection that is idle for 2 s, and a loop's first connection waits for its last."""
    assert case.ceiling_rps is not None
    severe = case.ceiling_rps(case.severities[2])
    assert case.connections / severe < 1.9


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_names_a_service_and_one_answer(case: Case) -> None:
    """`tuned` raises for a family of neither half."""
    module, _, attribute = case.target[0].partition(":")
    assert find_spec(module) is not None
    assert attribute == "app"
    assert [case.kind, len(case.labels)] == ["single", 1]
    assert tuned(case) in {True, False}


def test_the_catalogue_lists_these_modules() -> None:
    """A module that it leaves out would never be run."""
    assert {"databases", "data_queries", "data_locks"} <= set(MODULES)


def test_five_connections_kept_for_a_twentieth_of_a_second_serve_a_hundred() -> None:
    """The textbook figure, less what statements and hand-overs add to the hold."""
    ceiling = CASES["query-delay-async"].ceiling_rps
    assert ceiling is not None
    assert ceiling(1.0) == pytest.approx(100, rel=0.06)


async def ask(app: Starlette, path: str) -> tuple[int, object]:
    """Start the app, ask it once, and stop it; return status and answer."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://zoo") as client,
    ):
        answer = await client.get(path)
    return answer.status_code, answer.json()


def answer_of(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, *, cured: bool) -> tuple[int, object]:
    """Import the case's service anew, as a fresh process would, and ask it once in this one."""
    folder.mkdir()
    module, _, attribute = case.target[0].partition(":")
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", f"sqlite:///{folder}/data.db")
        patch.setenv(SCRATCH, str(folder))
        patch.setenv(SEVERITY, str(LITTLE))
        patch.setenv(CURED, "1" if cured else "0")
        patch.delitem(sys.modules, module, raising=False)
        app = getattr(importlib.import_module(module), attribute)
        found = asyncio.run(ask(app, case.load[case.load.index("--get") + 1]))
    sys.modules.pop(module, None)
    return found


@pytest.mark.parametrize("case", IN_A_FILE.values(), ids=IN_A_FILE)
def test_the_cure_changes_no_answer(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is taken out is the cost alone."""
    broken, whole = (answer_of(case, tmp_path / str(cured), monkeypatch, cured=cured) for cured in (False, True))
    assert broken == whole
    assert broken[0] == 200
    assert broken[1]
