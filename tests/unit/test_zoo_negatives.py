"""Systems in which nothing binds: their words, and the parts that could be wrong about that."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import httpx
import pytest

from pinchpoint.app.faults.case import SEVERITY, Case
from pinchpoint.app.faults.cases import pools, servers
from pinchpoint.app.faults.cases.negatives import CASES
from pinchpoint.app.faults.catalogue import tuned
from pinchpoint.commands.staged import stages_budget
from pinchpoint.stress.stages import parse_stages

SERVING = "pinchpoint.app.faults.serving"
Serve = Callable[..., ModuleType]


def answers(app: object, path: str, times: int = 1) -> list[httpx.Response]:
    """Ask an ASGI app in this process."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://zoo") as client:
            return [await client.get(path) for _ in range(times)]

    return asyncio.run(ask())


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Import a serving module anew, at a severity."""
    names: list[str] = []

    def load(name: str, severity: float = 1.0) -> ModuleType:
        monkeypatch.setenv(SEVERITY, f"{severity:g}")
        names.append(f"{SERVING}.{name}")
        sys.modules.pop(names[-1], None)
        return importlib.import_module(names[-1])

    yield load
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_answer_accuses_anybody_and_the_load_fits_into_a_minute(case: Case) -> None:
    """A minute holds the stages and 20 s around them; the only other right answer is an agreed limit."""
    profile = parse_stages(case.load[case.load.index("--stages") + 1], "rate")
    assert stages_budget(profile, 60.0) == 60.0
    assert {label.class_ for label in case.labels} - {"none"} == ({"pool"} if case.name == "rate-limited" else set())
    assert case.ceiling_rps is None
    assert tuned(case) in {True, False}


def test_under_loaded_systems_are_asked_for_less_than_half_of_their_ceiling() -> None:
    """Held against the arithmetic of the cases that saturate the same apps."""
    saturated = (*pools.CASES, *servers.CASES)
    ceilings = {(case.target, case.knobs): case.ceiling_rps for case in saturated}
    asked = [case for case in CASES if (case.target, case.knobs) in ceilings]
    assert len(asked) == 3
    for case in asked:
        ceiling = ceilings[case.target, case.knobs]
        assert ceiling is not None
        peak = parse_stages(case.load[case.load.index("--stages") + 1], "rate").peak
        assert all(peak <= 0.5 * ceiling(one) for one in case.severities)


def test_fair_use_grants_the_burst_and_then_the_agreed_rate(serve: Serve) -> None:
    """20 at once, then 40 per second, and never more than 20 saved up."""
    limiter = serve("negatives_currency").FairUse(None, 40.0, 20.0)
    limiter.since_s = 0.0
    assert sum(limiter._granted(0.0) for _ in range(30)) == 20
    assert [limiter._granted(t_s) for t_s in (0.01, 0.03, 0.04)] == [False, True, False]
    assert sum(limiter._granted(60.0) for _ in range(30)) == 20


def test_a_page_is_slow_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every further demand for it is answered from memory."""
    catalogue = serve("negatives_catalogue", 0.01)
    monkeypatch.setattr(catalogue.secrets, "randbelow", lambda _: 3)
    first, second = answers(catalogue.app, "/surprise", 2)
    assert first.text == second.text
    assert list(catalogue.kept) == [3]


def test_the_tiles_in_memory_stop_growing(serve: Serve) -> None:
    """As many are kept as the severity says, each of 48 KiB."""
    maps = serve("negatives_maps", 0.1)
    sizes = [len(maps.tile(number)) for number in range(100)]
    assert set(sizes) == {48 * 1024}
    assert maps.tile.cache_info().currsize == 60


def test_baskets_are_thrown_away_after_some_seconds(serve: Serve) -> None:
    """What was opened more than `KEEP_S` ago is gone, the rest stays."""
    baskets = serve("negatives_baskets")
    client = baskets.app.test_client()
    assert [client.get("/basket").json["open"] for _ in range(3)] == [1, 2, 3]
    baskets.forget_old(baskets.order[1][0] + baskets.KEEP_S)
    assert len(baskets.baskets) == len(baskets.order) == 2


def test_three_airlines_are_asked_at_the_same_time(serve: Serve) -> None:
    """Their offers come in one list."""
    [found] = answers(serve("negatives_search", 0.01).app, "/flights/oslo")
    assert [one["airline"] for one in found.json()] == ["north", "south", "east"]


def test_a_wiki_page_grows_with_the_severity(serve: Serve) -> None:
    """Six paragraphs, times the severity; another name is not found."""
    client = serve("negatives_wiki", 2.0).app.test_client()
    assert client.get("/wiki/page-3").text.count("<p>") == 12
    assert client.get("/wiki/none").status_code == 404
