"""The await profile and the loop's busy time inside real servers, against waits the requests are known to have."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pinchpoint.monitoring.awaits import AwaitReader
from pinchpoint.profiles.awaits import await_shares
from pinchpoint.rows import AwaitRow
from support.await_server import serving
from support.servers import wait_for

pytestmark = pytest.mark.alone


def _record(folder: Path, drive: Callable[[], object]) -> list[AwaitRow]:
    """Return what was published while `drive` ran; the file of its last second comes up to a second later."""
    reader = AwaitReader(folder / "pages")
    reader.read()
    drive()
    ended_s = time.monotonic()
    rows: list[AwaitRow] = []

    def complete() -> bool:
        rows.extend(reader.read())
        return bool(rows) and rows[-1]["t_s"] > ended_s

    wait_for(complete)
    return rows


@pytest.mark.parametrize(
    ("loop", "environ"),
    [("asyncio", {}), ("uvloop", {"AWAIT_APP_MIDDLEWARE": "1", "AWAIT_APP_IDLE_TASKS": "200"})],
)
def test_shares_of_what_requests_await_are_the_known_ones(loop: str, environ: dict[str, str], tmp_path: Path) -> None:
    """Clients take turns on one connection and on one lock, and the app says how long each request waited."""
    paths = ["/pool/0.05"] * 4 + ["/lock/0.05"] * 3
    with serving(tmp_path, loop, **environ) as server:
        truth: dict[str, float] = {}
        rows = _record(tmp_path, lambda: truth.update(server.keep_asking(4.0, *paths)))
    shares = await_shares(rows, 0.0, time.monotonic())
    pool, lock = shares["GET /pool/{seconds}"], shares["GET /lock/{seconds}"]
    seen = {
        "/pool/0.05": pool["connection pool"] / (pool["connection pool"] + pool["sleep"]),
        "/lock/0.05": lock["lock"] / (lock["lock"] + lock["sleep"]),
    }
    assert seen == pytest.approx(truth, abs=0.15)  # about 40 looks: three standard errors of what one look sees


def test_threads_and_child_tasks_are_what_their_requests_wait_for(tmp_path: Path) -> None:
    """The child of a gather and a timeout, the threadpool, and the loop's own executor, which leaves no frame."""
    with serving(tmp_path, "asyncio") as server:
        rows = _record(tmp_path, lambda: server.get_all("/thread/1", "/executor/1", "/gather/1"))
    shares = await_shares(rows, 0.0, time.monotonic())
    largest = {endpoint: next(iter(kinds)) for endpoint, kinds in shares.items() if "seconds" in endpoint}
    assert largest == {
        "GET /thread/{seconds}": "thread",
        "GET /executor/{seconds}": "thread",
        "GET /gather/{seconds}": "queue",
    }


def test_ten_thousand_idle_tasks_do_not_hide_a_request_nor_cost_more(tmp_path: Path) -> None:
    """Looks stay rare enough to cost next to nothing; the tasks are counted, and no idle one is taken for a request."""
    with serving(tmp_path, "asyncio", AWAIT_APP_IDLE_TASKS="10000") as server:
        before = server.fields()
        rows = _record(tmp_path, lambda: server.get_all(*["/sleep/1"] * 100))
        after = server.fields()
    stacks: Counter[str] = Counter()
    for row in rows:
        stacks.update(row["stacks"])
    ticks = sum(row["ticks"] for row in rows)
    assert {stack.partition(";")[0] for stack in stacks} <= {"GET /sleep/{seconds}", "(not begun)"}
    assert sum(row["tasks"] for row in rows) > 10_000 * ticks
    assert after["loop_busy_s"] - before["loop_busy_s"] < 1.0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_busy_time_of_the_loop_is_known_while_it_is_blocked(loop: str, tmp_path: Path) -> None:
    """0.6 s of a sleep in the loop are busy, a second of doing nothing is not."""
    with serving(tmp_path, loop) as server:
        before = server.fields()
        server.get_all("/block/0.6", "/sleep/1")
        after = server.fields()
    busy_s = after["loop_busy_s"] - before["loop_busy_s"]
    assert 0.58 < busy_s < 0.58 + 0.25
