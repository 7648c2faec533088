"""What must not happen to an app, whatever happens to the probe."""

from __future__ import annotations

import importlib
import importlib.machinery
import math
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.probe import (
    asgi,
    awaits,
    executors,
    feeds,
    gates,
    hooks,
    loop,
    outgoing,
    peers,
    routes,
    runtime,
    targets,
    wsgi,
)
from pinchpoint.monitoring.probe.layout import GATES, HOOKS, OTHER, ROUTES
from pinchpoint.monitoring.probe.page import PageFile
from pinchpoint.monitoring.probe.tables import HookRows, Rows
from support.probe_state import fresh_probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "probed_victim"


def raising(*_: Any, **__: Any) -> Any:
    """Fail, as any of ours might."""
    raise LookupError("broken by a test")


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> HookRows:
    """Replace the page's rows of hooks."""
    rows = HookRows(HOOKS)
    monkeypatch.setattr(hooks, "HOOK_ROWS", rows)
    monkeypatch.setattr(hooks, "_STATES", {})
    return rows


@pytest.fixture
def nothing_void() -> Iterator[None]:
    """Forget afterwards what was made unavailable."""
    yield
    feeds.refresh(())


def shown(rows: Rows) -> dict[str, list[float]]:
    """Return what the page says."""
    return {name.rstrip(b"\0").decode(): figures for name, *figures in rows.table.row.iter_unpack(rows.pack(0.0))}


@pytest.mark.parametrize("name", sorted(targets.HOOKS))
def test_every_module_is_imported_whatever_its_hooks_do(
    name: str, states: HookRows, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each hook that failed, one row that says 0, and nothing raised."""
    for ours, function in targets.HOOKS[name]:
        source = importlib.import_module(f"pinchpoint.monitoring.probe.{ours}")
        assert callable(getattr(source, function))
        monkeypatch.setattr(source, function, raising)
        for attribute in hooks.WHOLE.get(ours, ()):
            monkeypatch.setattr(getattr(source, attribute), "alive", True)
            monkeypatch.setattr(getattr(source, attribute), "unhooked", False)
    hooks.apply(types.ModuleType(name), name)

    line = f"pinchpoint probe: {name} not hooked: LookupError('broken by a test')\n"
    own = {hook.name for hook in runtime.RUNTIME.hooks}
    assert capsys.readouterr().err == line * len(targets.HOOKS[name])
    assert shown(states) == ({} if name in own else {name: [0.0]})
    for ours, _ in targets.HOOKS[name]:
        source = importlib.import_module(f"pinchpoint.monitoring.probe.{ours}")
        assert [getattr(source, attribute).alive for attribute in hooks.WHOLE.get(ours, ())] == [False] * len(
            hooks.WHOLE.get(ours, ())
        )


def test_a_module_that_takes_no_attributes_is_imported(states: HookRows, capsys: pytest.CaptureFixture[str]) -> None:
    """Its names are made up as they are asked for, for instance."""

    class Sealed:
        __slots__ = ()

    hooks.apply(Sealed(), "uvicorn.config")
    assert capsys.readouterr().err.count("\n") == 1
    assert shown(states) == {"uvicorn.config": [0.0]}


@pytest.fixture
def victim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, states: HookRows) -> Iterator[list[Any]]:
    """Hook a module that stands in a file, and list what the hook was given."""
    found: list[Any] = []
    (tmp_path / f"{NAME}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hooks, "HOOKS", {NAME: (("asgi", "hook_victim"),)})
    monkeypatch.setattr(asgi, "hook_victim", found.append, raising=False)
    monkeypatch.setattr(sys, "meta_path", [hooks.Finder(), *sys.meta_path])
    yield found
    sys.modules.pop(NAME, None)


def test_a_module_that_is_loaded_again_is_hooked_again(victim: list[Any], states: HookRows) -> None:
    """Its functions are new, and none of ours; its row is the one it had."""
    module = importlib.import_module(NAME)
    importlib.reload(module)
    assert victim == [module, module]
    assert shown(states) == {NAME: [1.0]}


def test_a_loader_of_the_old_kind_is_hooked_as_well(victim: list[Any]) -> None:
    """Zip files had no exec_module until Python 3.9."""

    class Old:
        def load_module(self, fullname: str) -> Any:
            module = sys.modules[fullname] = types.ModuleType(fullname)
            return module

    loader = Old()
    hooks.Finder()._extend(loader, NAME)
    other, module = loader.load_module("another"), loader.load_module(NAME)
    assert victim == [module]
    assert other is not module
    sys.modules.pop("another")


def test_a_hook_that_fails_in_many_threads_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    """And in one line, whatever the error's own description is like."""
    hook = runtime.Hook("many", raising, raising)
    barrier = threading.Barrier(8)

    def fail() -> None:
        barrier.wait()
        hook.fail(ValueError("two\nlines"))

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capsys.readouterr().err == "pinchpoint probe: many switched off: ValueError('two\\nlines')\n"


def test_an_error_that_cannot_be_described_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Its description is the app's code, too."""

    class Awkward(Exception):  # noqa: N818
        __repr__ = raising

    runtime.Hook("awkward", raising, raising).fail(Awkward())
    assert capsys.readouterr().err == "pinchpoint probe: awkward switched off: Awkward\n"


def test_a_field_that_is_no_number_costs_its_hook_and_not_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others' figures are published with it, and from then on without it."""
    probe = runtime.Runtime(str(tmp_path))
    sound = runtime.Hook("sound", lambda fields, _at: fields.update(requests_done=7), lambda: None)
    odd = runtime.Hook("odd", lambda fields, _at: fields.update(inflight="many"), lambda: None)  # type: ignore[call-overload]
    probe.hooks += [odd, sound]
    page = PageFile(str(tmp_path), 1)
    reader = PageReader(tmp_path)
    for _ in range(2):
        probe.publish(page)
        assert reader.read()[1].fields == {"requests_done": 7.0}
    reader.close()
    assert (odd.alive, sound.alive) == (False, True)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_row_that_cannot_be_packed_costs_no_other_row() -> None:
    """Too few figures, an error, or no number: unavailable."""
    rows = Rows(ROUTES)
    rows.add("short", lambda _at: [1.0])
    rows.add("raises", raising)
    rows.add("text", lambda _at: ["a"] * len(ROUTES.columns))  # type: ignore[list-item]
    whole = [float(column) for column in range(len(ROUTES.columns))]
    rows.add("good", lambda _at: whole)
    found = shown(rows)
    assert found["good"] == whole
    assert all(math.isnan(figure) for name in ("short", "raises", "text") for figure in found[name])


def test_a_hook_that_finds_no_row_is_seen_when_it_fails() -> None:
    """The last row is as bad as the worst of those that share it."""
    rows = HookRows(HOOKS)
    rest = {"state": 1.0}
    for number in range(HOOKS.rows + 5):
        rows.add(f"hook {number}", lambda _at: (1.0,))
    rows.add("the last", lambda _at: (rest["state"],))
    assert (len(shown(rows)), shown(rows)[OTHER]) == (HOOKS.rows, [1.0])
    rest["state"] = 0.0
    assert shown(rows)[OTHER] == [0.0]


def test_a_gate_whose_size_cannot_be_told_leaves_the_others_their_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own size is unavailable, and with it the sum of all sizes."""
    figures = fresh_probe(monkeypatch)
    gates.GATES_OPEN.open("db-pool", "odd", raising)
    gates.GATES_OPEN.open("db-pool", "sound", lambda: 5).took()
    fields = figures.fields()
    assert gates.HOOK.alive
    assert fields["pool_busy"] == 1
    assert "pool_size" not in fields


@pytest.mark.usefixtures("nothing_void")
def test_rows_of_a_hook_that_failed_are_unavailable_and_so_are_their_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other hooks stay, and so do other kinds."""
    figures = fresh_probe(monkeypatch)
    for kind, name in (("http-pool", "httpx max 5"), ("http-pool", "urllib3 max 5"), ("lock", "file a")):
        gates.GATES_OPEN.open(kind, name, lambda: 5).took()
    for kind, name in (("http", "a:80"), ("db", "sqlite a")):
        peers.PEERS.get(kind, name).enter()
    feeds.refresh(["httpx"])

    fields = figures.fields()
    busy = {name: gate.figures(0.0)[1] for name, gate in figures.gates().items()}
    assert [math.isnan(busy[name]) for name in ("httpx max 5", "urllib3 max 5", "file a")] == [True, False, False]
    assert [field for field in fields if field.startswith(("http_pool_", "http_"))] == []
    assert (fields["lock_busy"], fields["db_active"]) == (1, 1)


@pytest.mark.usefixtures("nothing_void")
def test_a_client_that_could_not_be_hooked_leaves_its_peers_to_the_other_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may not be in use at all; one that failed in use was."""
    figures = fresh_probe(monkeypatch)
    peers.PEERS.get("http", "a:80").enter()
    feeds.refresh((), ["httpx"])
    assert figures.fields()["http_active"] == 1
    feeds.refresh(["httpx"], ())
    assert "http_active" not in figures.fields()


@pytest.mark.usefixtures("nothing_void")
def test_routes_are_unavailable_when_requests_are() -> None:
    """A row that stands still is no figure."""
    row = routes.RouteRow()
    row.add(200, 0.5)
    assert row.figures(0.0)[0] == 1
    feeds.refresh(["requests"])
    assert all(math.isnan(figure) for figure in row.figures(0.0))


def test_pools_of_ever_new_names_take_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app may number its pools, and make one for each request."""
    fresh_probe(monkeypatch)
    monkeypatch.setattr(executors, "GATES_OPEN", gates.GATES_OPEN)
    pools = executors.Pools()
    for number in range(500):
        pools.get("executor", f"job-{number}")
    assert len(pools.named) <= GATES.rows + 1
    assert pools.get("executor", "another") is pools.get("executor", "yet another")


def test_long_paths_are_cut_before_they_are_remembered() -> None:
    """A thousand of the longest that a server lets through would be 64 MB."""
    name = routes.normalised("/a/" + "b" * 60_000)
    assert name == "/a/{}"
    before = routes._normalised.cache_info().currsize
    for number in range(3):
        routes.normalised("/" + "c" * 600 + str(number))
    assert routes._normalised.cache_info().currsize <= before + 1


class Proxy:
    """An app that is made at its first call, and raises whatever it is asked before."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"not made yet: {name}")

    def __call__(self, *_: Any) -> list[bytes]:
        """Answer."""
        return [b"yes"]


def test_an_app_that_cannot_be_asked_for_its_name_is_served() -> None:
    """Proxies raise what they like."""
    assert asgi.wrap(Proxy()).__name__ == "probed"
    assert runtime.dressed(raising, Proxy()) is raising


def test_a_wsgi_app_that_cannot_be_asked_is_left_alone_by_its_hook() -> None:
    """The server goes on with the app as it is."""
    hook = runtime.Hook("any", lambda *_: None, lambda: None)
    app = Proxy()
    assert (hook.safely(wsgi.wrap, app) or app) is app


def test_the_loop_goes_on_when_its_watch_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    """An error in `select` would end the server."""
    selector = types.SimpleNamespace(select=lambda timeout: [timeout])
    busy = loop.SelectorBusy(selector)
    busy._state = None  # type: ignore[assignment]
    before, loop.HOOK.alive, loop.HOOK._unsaid = loop.HOOK, True, [True]
    try:
        assert [selector.select(1), selector.select(2)] == [[1], [2]]
        assert not loop.HOOK.alive
    finally:
        before.alive, before._unsaid = True, [True]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_look_that_fails_is_nothing_to_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop would write a traceback into the app's log, ten times a second."""
    hook = runtime.Hook("await profile", lambda *_: None, lambda: None)
    monkeypatch.setattr(awaits, "HOOK", hook)
    monkeypatch.setattr(runtime, "log", lambda _message: None)
    profile = awaits.Profile()
    profile.loop = object()
    profile.look = raising  # type: ignore[method-assign]
    profile._tick(profile.loop)
    assert not hook.alive


def test_the_garbage_collector_needs_no_lock_that_a_maker_of_gates_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two threads that make gates, one of which collects a pool meanwhile, wait for each other for ever."""
    fresh_probe(monkeypatch)
    monkeypatch.setattr(outgoing, "GATES_OPEN", gates.GATES_OPEN)
    monkeypatch.setattr(outgoing, "_FAMILIES", {})
    door = outgoing.Door("http-pool", "httpx max 1", 1)
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with outgoing._FAMILY_LOCK, gates.GATES_OPEN._lock:
            held.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    closing = threading.Thread(target=door.close, daemon=True)
    closing.start()
    closing.join(5)
    stuck = closing.is_alive()
    free.set()
    holder.join()
    assert not stuck


def test_a_status_of_another_kind_breaks_no_call() -> None:
    """Doubles of clients answer with whatever a test wants."""
    hook = runtime.Hook("client", lambda *_: None, lambda: None)
    visit = outgoing.Visit(hook, None)
    visit.answered("200 OK")  # type: ignore[arg-type]
    visit.end()
    assert hook.alive
