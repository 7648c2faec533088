"""Digest rows and the collector's rows as a load process and the sampler would write them, from a few figures."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pinchpoint import histograms
from pinchpoint.rows import DigestRow, NameRow, SampleRow

START_S = 1000.0


def name_row(ok_ms: Sequence[float] = (), errors: Mapping[str, int] | None = None) -> NameRow:
    """Return what one request name saw: successes by their latency, failures by their kind."""
    latency = histograms.encode_values([round(ms * 1000) for ms in ok_ms])
    failed = dict(errors or {})
    return NameRow(
        ok=len(ok_ms),
        failed=sum(failed.values()),
        errors=failed,
        bytes=0,
        latency_ok=latency,
        latency_failed=None,
        service_ok=latency,
    )


def digest(
    index: float,
    ok_ms: Sequence[float] = (),
    errors: Mapping[str, int] | None = None,
    *,
    scheduled: int | None = None,
    started: int | None = None,
    inflight: int = 0,
    inflight_s: float = 0.0,
    users: int = 10,
    process: int = 0,
    seconds: float = 1.0,
    name: str = "GET /",
    segment: int = 1,
) -> DigestRow:
    """Return the row of the second that begins `index` seconds after `START_S`."""
    entry = name_row(ok_ms, errors)
    due = entry["ok"] + entry["failed"] if scheduled is None else scheduled
    return DigestRow(
        process=process,
        pid=1,
        segment=segment,
        t0_s=START_S + index,
        t1_s=START_S + index + seconds,
        scheduled=due,
        started=due if started is None else started,
        unsent=0,
        inflight=inflight,
        inflight_s=inflight_s,
        users=users,
        cpu_s=0.1,
        runq_s=None,
        send_lag=None,
        names={name: entry} if entry["ok"] + entry["failed"] else {},
    )


def sample(t_s: float, cpu_s: float | None = None, probe: Mapping[str, float] | None = None, **host: Any) -> SampleRow:
    """Return a row of the collector at `START_S + t_s` with one worker in it; without `cpu_s` with none."""
    process = {
        "pid": 7,
        "role": "worker",
        "cpu_s": cpu_s,
        "rss_bytes": 1000,
        "pss_bytes": None,
        "probe": dict(probe) if probe is not None else None,
        "probe_age_s": 0.05 if probe is not None else None,
    }
    row = {
        "t_s": START_S + t_s,
        "host": {"psi_us": None, "listen_queue": None, **host},
        "cgroup": None,
        "processes": [process] if cpu_s is not None else [],
        "collector_cpu_s": 0.0,
        "late_s": 0.0,
    }
    return cast("SampleRow", row)
