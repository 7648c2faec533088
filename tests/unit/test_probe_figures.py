"""The probe's arithmetic, with the clock in hand."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.probe import peers as probe_peers
from pinchpoint.monitoring.probe.layout import CALLS
from pinchpoint.monitoring.probe.level import Level
from pinchpoint.monitoring.probe.loop import HEARTBEAT_S, Watch
from pinchpoint.monitoring.probe.peers import Peers
from pinchpoint.monitoring.probe.runtime import Hook
from pinchpoint.monitoring.probe.tables import Rows


@given(changes=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 100)), max_size=30))
def test_a_level_is_the_sum_of_its_shifts_and_its_area_their_integral(changes: list[tuple[int, int]]) -> None:
    """Whole seconds, so the sums are exact."""
    level, at, value, area = Level(), 0, 0, 0
    for delta, pause in changes:
        level.shift(delta, at)
        value += delta
        at += pause
        area += value * pause
    assert (level.value, level.area(at)) == (value, area)


def test_a_hook_that_fails_while_it_publishes_leaves_no_half_of_its_fields() -> None:
    """All of its fields or none."""

    def fill(fields: dict[str, float], _: float) -> None:
        fields["inflight"] = 1.0
        raise ValueError

    fields: dict[str, float] = {}
    hook = Hook("x", fill, lambda: None)
    hook.fill(fields, 0.0)
    assert (fields, hook.alive) == ({}, False)


def test_an_overdue_heartbeat_shows_before_the_loop_is_free_again() -> None:
    """Whoever looks at a blocked loop must not wait for the loop to say so."""
    watch = Watch()
    watch.loop, watch.due = object(), 100.0
    fields: dict[str, float] = {}
    watch.fill(fields, 100.0 + 2.5)
    assert fields["loop_lag_max_s"] == 2.5


def test_the_loop_is_busy_outside_the_selector() -> None:
    """Sleeping is not busy, computing is; polls that do not wait count as busy."""

    async def main() -> dict[str, float]:
        watch = Watch()
        watch.start(asyncio.get_running_loop())
        await asyncio.sleep(3 * HEARTBEAT_S)
        fields: dict[str, float] = {}
        watch.fill(fields, watch.due)
        watch.loop = None
        return fields

    fields = asyncio.run(main())
    assert fields["loop_kind"] == 1
    assert fields["loop_lag_n"] >= 1
    assert 0 < fields["loop_busy_s"] < 3 * HEARTBEAT_S


def test_the_database_is_embedded_only_when_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """One remote database makes the time remote."""
    peers, fields = Peers(), dict[str, float]()
    monkeypatch.setattr(probe_peers, "CALL_ROWS", Rows(CALLS))
    peers.fill(fields, 0.0)
    assert fields == {}
    peers.get("db", "sqlite /x.db")
    peers.fill(fields, 0.0)
    assert fields["db_embedded"] == 1
    peers.get("db", "postgresql 127.0.0.1:5432/shop")
    peers.fill(fields, 0.0)
    assert fields["db_embedded"] == 0
