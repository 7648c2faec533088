"""Digest rows: what is counted, when it is cut, and what is in flight."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint import histograms
from pinchpoint.rows import DigestRow
from pinchpoint.stress.digest import NAMES_PER_ROW, OTHER_NAMES, Digest, run_queue_s


class Meter:
    """A clock, a CPU meter and a run-queue meter that tests move by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.cpu_s = 1.0
        self.runq_s: float | None = 0.5

    def digest(self) -> Digest:
        """Return a digest on these meters."""
        return Digest(2, 77, lambda: self.now_s, lambda: self.cpu_s, lambda: self.runq_s)


def cut(digest: Digest) -> DigestRow:
    """End the row and render it."""
    return digest.render(digest.cut(), segment=5, users=3, pause=lambda: None)


def test_a_row_holds_what_happened_since_the_last_cut_and_no_more() -> None:
    """Counts, times and meters start anew with each row."""
    meter = Meter()
    digest = meter.digest()
    digest.tally.scheduled += 4
    digest.tally.unsent += 1
    digest.start(0.002)
    meter.now_s, meter.cpu_s, meter.runq_s = 101.0, 1.25, 0.6
    first = cut(digest)
    meter.now_s = 101.5
    second = cut(digest)
    assert (first["process"], first["pid"], first["segment"], first["users"]) == (2, 77, 5, 3)
    assert (first["t0_s"], first["t1_s"], second["t0_s"], second["t1_s"]) == (100.0, 101.0, 101.0, 101.5)
    assert (first["scheduled"], first["started"], first["unsent"]) == (4, 1, 1)
    assert first["cpu_s"] == pytest.approx(0.25)
    assert first["runq_s"] == pytest.approx(0.1)
    assert first["send_lag"] is not None
    assert histograms.quantile_us(histograms.decode(first["send_lag"]), 1.0) == 2000
    assert (second["scheduled"], second["started"], second["unsent"], second["cpu_s"]) == (0, 0, 0, 0.0)
    assert second["send_lag"] is None


def test_requests_in_flight_are_integrated_over_rows() -> None:
    """One request from 100.25 to 101.5: 0.75 request-seconds in the first row, 0.5 in the second."""
    meter = Meter()
    digest = meter.digest()
    digest.enter(100.25)
    meter.now_s = 101.0
    first = cut(digest)
    digest.leave(101.5)
    meter.now_s = 102.0
    second = cut(digest)
    assert (first["inflight"], first["inflight_s"]) == (1, 0.75)
    assert (second["inflight"], second["inflight_s"]) == (0, 0.5)


def test_a_row_tells_how_long_arrivals_have_waited_for_an_answer() -> None:
    """Due 0.3 s and 2 s before the row's end; nothing is said where everything was answered."""
    meter = Meter()
    digest = meter.digest()
    meter.now_s = 103.0
    digest.due_s = lambda: [102.7, 101.0]
    first = cut(digest)
    digest.due_s = tuple
    assert first["unanswered"] == histograms.encode_values([299_999, 2_000_000])
    assert cut(digest)["unanswered"] is None


def test_successes_and_failures_are_kept_apart() -> None:
    """A fast failure must not make successes look fast."""
    digest = Meter().digest()
    digest.complete("/", 0.001, 0.010, None, 20)
    digest.complete("/", 0.001, 0.001, "500", 5)
    digest.complete("/", None, None, "KeyError", 0)
    entry = cut(digest)["names"]["/"]
    assert (entry["ok"], entry["failed"], entry["errors"], entry["bytes"]) == (1, 2, {"500": 1, "KeyError": 1}, 25)
    assert entry["latency_ok"] == histograms.encode_values([10_000])
    assert entry["service_ok"] == histograms.encode_values([1_000])
    assert entry["latency_failed"] == histograms.encode_values([1_000])


def test_names_without_end_share_one_row() -> None:
    """A Locust file that names requests by URL costs a bounded number of histograms, and loses no request."""
    digest = Meter().digest()
    for index in range(NAMES_PER_ROW + 50):
        digest.complete(f"/items/{index}", 0.001, 0.001, None, 0)
    names = cut(digest)["names"]
    assert len(names) == NAMES_PER_ROW + 1
    assert names[OTHER_NAMES]["ok"] == 50


def test_rendering_pauses_before_each_histogram_of_a_name() -> None:
    """Arrivals that become due while histograms are built need not wait for all of them."""
    digest = Meter().digest()
    for name in ("/a", "/b", "/c"):
        digest.complete(name, 0.001, 0.001, None, 0)
    pauses: list[int] = []
    digest.render(digest.cut(), segment=1, users=1, pause=lambda: pauses.append(1))
    assert len(pauses) == 9


def test_without_a_run_queue_figure_the_row_has_none() -> None:
    """Unavailable is None, never 0."""
    meter = Meter()
    meter.runq_s = None
    assert cut(meter.digest())["runq_s"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5000000000 250000000 12\n", 0.25), ("0 0 0\n", None), ("", None), ("nonsense", None)],
)
def test_the_run_queue_wait_is_the_second_field_in_nanoseconds(
    tmp_path: Path, text: str, expected: float | None
) -> None:
    """A kernel without the accounting shows zeros or nothing."""
    file = tmp_path / "schedstat"
    file.write_text(text)
    assert run_queue_s(file) == expected


def test_a_system_without_schedstat_has_no_run_queue_figure(tmp_path: Path) -> None:
    """No file, no figure."""
    assert run_queue_s(tmp_path / "missing") is None


@given(st.lists(st.lists(st.floats(min_value=1e-6, max_value=100.0), min_size=1, max_size=200), min_size=1, max_size=5))
def test_merged_percentiles_are_those_of_all_raw_values(rows: list[list[float]]) -> None:
    """Latencies of several rows, p50 to p99.99: the nearest rank of the sorted values, within HDR's precision."""
    digest = Meter().digest()
    texts: list[str | None] = []
    for latencies in rows:
        for latency_s in latencies:
            digest.complete("/", latency_s, latency_s, None, 0)
        texts.append(cut(digest)["names"]["/"]["latency_ok"])
    merged = histograms.merge(texts)
    assert merged is not None
    raw = sorted(int(latency_s * 1e6) for latencies in rows for latency_s in latencies)
    for share in (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999):
        rank = max(1, math.ceil(round(share * len(raw), 6)))
        assert histograms.quantile_us(merged, share) == pytest.approx(
            raw[rank - 1], rel=histograms.RELATIVE_ERROR, abs=1
        )
