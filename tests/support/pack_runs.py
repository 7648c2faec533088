"""Recordings of a small shop's scenario, in stages of users or as a search by rate, and the pack it is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinchpoint.diagnosis.packs import pack_result
from pinchpoint.packs import Pack, PackResult, Part, Preset, Target
from pinchpoint.recording import Recording
from pinchpoint.records import Diagnosis
from pinchpoint.rows import DigestRow, EventRow
from support.digest_rows import START_S, digest, name_row
from support.sample_run import sample_diagnosis, sample_steps

if TYPE_CHECKING:
    from pinchpoint.measures import Step

Seen = tuple[Sequence[float], Mapping[str, int]]
"""Latencies of the successes in ms, and failures by kind."""

SHOP = Pack(
    parts=(
        Part(name="Browse", endpoints=("/goods", "/goods/[id]"), presses="GET /goods", peak_users=20),
        Part(name="Buy", endpoints=("/buy",), presses="POST /buy: the writer", weight=2, peak_users=10),
        Part(name="Return", endpoints=("/return",), presses="POST /return", p95_ms=5.0, max_error_rate=0.5),
    ),
    targets=(
        Target(name="GET requests", metric="avg_ms", endpoints=("/goods",), op="<", target=20, acceptable=100),
        Target(name="Throughput", metric="rps", op=">", target=100, acceptable=10),
        Target(name="Errors", metric="error_rate", op="<", target=0.01),
        Target(name="Users", metric="users", op=">=", target=30, acceptable=20),
        Target(name="Oversold", metric="oversold", op="==", target=0),
    ),
    presets=(
        Preset(name="light", users=10, spawn_rate=2, seconds=120, at_least_rps=10),
        Preset(name="heavy", users=200, spawn_rate=10, seconds=600),
    ),
    grades=("green", "yellow", "red"),
    model="users",
    staged=((0.3, 30), (0.5, 30), (0.2, 0)),
    audit="check_shop",
)

CALM: dict[str, Seen] = {
    "/goods": ([10.0] * 8, {}),
    "/goods/[id]": ([30.0] * 2, {}),
    "/buy": ([10.0] * 6, {"409": 2}),
    "setup: /login": ([200.0], {}),
}
"""A second: 16 of 18 requests answered well, one in four of those who buy refused."""


def second(index: float, names: Mapping[str, Seen], users: int = 30) -> DigestRow:
    """Return what a load process saw in a second."""
    row = digest(index, users=users)
    row["names"] = {name: name_row(ok_ms, errors) for name, (ok_ms, errors) in names.items()}
    return row


def staged_recording(rows: list[DigestRow], audit: object = None) -> Recording:
    """Return a recording of 4 s of stages, up to 30 users, that ended with its rows."""
    stages = [
        {"name": "2s:30", "kind": "line", "start_s": 0.0, "seconds": 2.0, "from": 0.0, "to": 30.0},
        {"name": "2s:30", "kind": "line", "start_s": 2.0, "seconds": 2.0, "from": 30.0, "to": 30.0},
    ]
    begin = {"text": "2s:30,2s:30", "model": "users", "t_start_s": START_S, "seconds": 4.0}
    end_s = max((row["t1_s"] for row in rows), default=START_S)
    step = {"index": 0, "phase": "stage", "t_start_s": START_S, "t_end_s": end_s, "offered_rps": None, "users": 30}
    events = [
        EventRow(kind="stages", t_s=START_S, data={**begin, "stages": stages, "spikes": []}),
        EventRow(kind="step", t_s=end_s, data=step),
    ]
    events += [] if audit is None else [EventRow(kind="audit", t_s=end_s, data={"module": "m", "result": audit})]
    settings = {"load": {"model": "users", "pack": "shop"}, "slo": {"p95_ms": 500.0, "max_error_rate": 0.01}}
    return Recording(events, [], rows, settings, Path())


def searched(*loads: tuple[float, bool]) -> Diagnosis:
    """Return the diagnosis of a search: steps of 2 s one after the other, at a rate, held or broken."""
    steps: list[Step] = []
    for index, (rate, passed) in enumerate(loads):
        t0_s = START_S + 2 * index
        step = replace(sample_steps()[2], index=index, phase="ramp", offered_rps=rate, users=None, passed=passed)
        steps.append(replace(step, t_start_s=t0_s, t_end_s=t0_s + 2, settle_s=0.0, weight=1.0))
    return replace(sample_diagnosis(), steps=steps)


def search_recording(rows: list[DigestRow]) -> Recording:
    """Return the recording behind `searched`."""
    settings: dict[str, Any] = {"load": {"model": "rate"}, "slo": {"p95_ms": 500.0, "max_error_rate": 0.01}}
    return Recording([], [], rows, settings, Path())


def calm_result(audit: object = None) -> PackResult:
    """Return what becomes of the shop in four calm seconds of stages."""
    taken = staged_recording([second(index, CALM) for index in range(4)], audit)
    return pack_result(taken, sample_diagnosis(), "shop", SHOP)
