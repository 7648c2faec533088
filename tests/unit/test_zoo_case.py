"""One case of the fault zoo: its command line, its cores, what it needs, and what it leaves behind."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pinchpoint.app.faults.case import CURED, SCRATCH, SEVERITY, Case, Label
from pinchpoint.app.faults.catalogue import all_cases
from pinchpoint.commands import zoo_case, zoo_packages
from pinchpoint.commands.zoo_case import Cores, Prepared, prepared, split, unmet
from pinchpoint.errors import TargetError

Cpus = Callable[[int], None]


@pytest.fixture
def cpus(monkeypatch: pytest.MonkeyPatch) -> Cpus:
    """Return what gives this process so many CPUs."""
    return lambda count: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)))


def case(**fields: object) -> Case:
    """Return a case of one worker that is pressed with GET /orders/7."""
    plain = Case(
        name="orders",
        family="sleep",
        kind="single",
        labels=(Label("blocking", "sync-call"),),
        binds="the loop",
        formula="1 / 10 ms",
        ceiling_rps=lambda severity: 100 / severity,
        target=("shop:app",),
        load=("--get", "/orders/7"),
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def ready(one: Case, *, cured: bool = False, cores: Cores | None = None) -> Prepared:
    """Return the case as if it were prepared."""
    return Prepared(one, 2.0, cured, cores or Cores(frozenset({0}), frozenset({1})), Path("folder"), {SEVERITY: "2"})


def test_the_words_are_load_cores_environment_and_last_the_target() -> None:
    """They follow `pinchpoint run`."""
    words = ["--get", "/orders/7", "--server-cpus", "0", "--load-cpus", "1", "--env", f"{SEVERITY}=2", "shop:app"]
    assert ready(case()).words() == words


def test_a_command_gets_the_interpreter_and_keeps_the_port_for_the_run() -> None:
    """`{port}` is filled in by `pinchpoint run`."""
    one = case(target=("--", "{python}", "-m", "uvicorn", "--port", "{port}", "shop:app"))
    assert ready(one).target_words() == ["--", sys.executable, "-m", "uvicorn", "--port", "{port}", "shop:app"]


def test_a_cure_may_change_the_target_and_the_knobs() -> None:
    """Where it does not, they stay as they were."""
    one = case(knobs=("--workers", "1"), cured_knobs=("--workers", "2"), cured_target=("shop:fast",))
    cured, faulted = ready(one, cured=True), ready(one)
    assert (cured.server_words()[:2], cured.target_words()) == (["--workers", "2"], ["shop:fast"])
    assert (faulted.server_words()[:2], faulted.target_words()) == (["--workers", "1"], ["shop:app"])
    assert ready(case(knobs=("--threads", "4")), cured=True).server_words()[:2] == ["--threads", "4"]
    assert (cured.several_workers, faulted.several_workers) == (True, False)


def test_a_case_that_chooses_its_cores_keeps_them() -> None:
    """`--server-cpus` among its knobs is the last word."""
    words = ready(case(knobs=("--server-cpus", "0,1"))).server_words()
    assert words == ["--server-cpus", "0,1", "--env", f"{SEVERITY}=2"]


@pytest.mark.parametrize(
    ("count", "fields", "server", "load"),
    [
        (2, {}, {0}, {1}),
        (4, {}, {0}, {3}),
        (4, {"server_cores": 2}, {0, 1}, {3}),
        (2, {"server_cores": 2}, None, None),
        (2, {"knobs": ("--workers", "2")}, None, None),
        (4, {"target": ("--", "gunicorn", "-w", "2", "shop:app")}, {0, 1}, {3}),
        (1, {}, None, None),
    ],
)
def test_the_load_has_the_last_core_and_the_server_as_many_as_it_asks_for(
    cpus: Cpus, count: int, fields: dict[str, object], server: set[int] | None, load: set[int] | None
) -> None:
    """With too few cores they share them all: a server short of a core it was made for would measure that."""
    cpus(count)
    found = split(case(**fields))
    assert (found.server, found.load) == (server, load)


def test_cores_that_are_shared_are_told_to_the_run() -> None:
    """Else it would pin by itself."""
    assert ready(case(), cores=Cores(None, None)).server_words()[:4] == ["--server-cpus", "any", "--load-cpus", "any"]


def test_what_a_machine_lacks_is_said(cpus: Cpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that is missing; None when nothing is."""
    cpus(1)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(zoo_case, "unavailable", lambda name: f"no {name}")
    assert unmet(case(needs=("root",))) == "it needs root"
    assert unmet(case(needs=("two-cores",))) == "it needs two cores"
    assert unmet(case(needs=("cgroup-blkio",))) == "no blkio"
    assert unmet(case(needs=("a-moon",))) == "it needs 'a-moon', of which nothing is known here"
    assert unmet(case(database="postgresql")) == "it needs a PostgreSQL server"
    assert unmet(case(database="postgresql"), "postgresql://host/db") is None
    assert unmet(case()) is None


def test_a_package_that_a_served_module_imports_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through its siblings too; the standard library and itself are always there."""
    (tmp_path / "shop.py").write_text("import json\nfrom starlette.routing import Route\nfrom .tills import paid\n")
    (tmp_path / "tills.py").write_text("import no_such_package.inside\nfrom . import coins\n")
    (tmp_path / "coins.py").write_text("from nor_such import thing\n")
    monkeypatch.setattr(zoo_packages, "_folder", lambda: tmp_path)
    zoo_packages._needed.cache_clear()
    found = unmet(case(target=("pinchpoint.app.faults.serving.shop:app",)))
    zoo_packages._needed.cache_clear()
    assert found == "it needs no_such_package, nor_such, not installed here"


def test_every_case_of_the_zoo_states_needs_that_are_known() -> None:
    """An unknown word would skip it everywhere."""
    known = {"root", "two-cores", "netns", "cgroup-cpu", "cgroup-memory", "cgroup-blkio"}
    assert {need for one in all_cases() for need in one.needs} <= known


def test_what_was_prepared_is_gone_afterwards() -> None:
    """The folder, whatever is in it; the target is told of all it needs."""
    with prepared(case(database="sqlite", env={"TILLS": "3"}), severity=0.5, cured=True) as one:
        files = Path(one.env[SCRATCH])
        (files / "data.db").write_text("rows")
        assert one.env == {
            SEVERITY: "0.5",
            SCRATCH: str(files),
            CURED: "1",
            "TILLS": "3",
            "DATABASE_URL": f"sqlite:///{files}/data.db",
        }
    assert not one.folder.exists()


def test_what_was_prepared_is_gone_when_the_run_fails() -> None:
    """An exception inside the block changes nothing about that."""
    with pytest.raises(TargetError), prepared(case()) as one:
        raise TargetError("it broke")
    assert not one.folder.exists()
