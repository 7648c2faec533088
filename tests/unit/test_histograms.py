"""Histograms keep percentiles within HDR precision, whatever is merged, and survive the round trip through text."""

import math

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint import histograms
from pinchpoint.errors import UsageError

values = st.integers(min_value=0, max_value=histograms.HIGHEST_US)
groups = st.lists(st.lists(values, max_size=60), min_size=1, max_size=5)


def tolerance_us(value: float) -> float:
    """Width of the bucket that holds a value: 1 µs, or a thousandth of it."""
    return max(1.0, value * histograms.RELATIVE_ERROR)


@given(groups)
def test_percentiles_of_merged_histograms_are_those_of_a_sort_of_all_values(parts: list[list[int]]) -> None:
    """Merging loses nothing but the width of a bucket."""
    everything = sorted(value for part in parts for value in part)
    merged = histograms.merge([histograms.encode_values(part) for part in parts])
    if merged is None:
        assert everything == []
        return
    for share in (0.5, 0.9, 0.95, 0.99, 1.0):
        exact = everything[max(1, math.ceil(round(share * len(everything), 6))) - 1]
        assert histograms.quantile_us(merged, share) == pytest.approx(exact, abs=tolerance_us(exact))


@given(st.lists(values, min_size=1, max_size=50))
def test_recording_in_bulk_equals_recording_one_by_one(sample: list[int]) -> None:
    """The vectorised index is the library's own, so the encoded text is the same."""
    bulk = histograms.new()
    histograms.record_all(bulk, sample)
    single = histograms.new()
    for value in sample:
        assert single.record_value(value)
    assert list(bulk.counts) == list(single.counts)
    assert (bulk.total_count, bulk.min_value, bulk.max_value) == (
        single.total_count,
        single.min_value,
        single.max_value,
    )
    assert histograms.encode(bulk) == histograms.encode(single)


@given(st.lists(values, min_size=1, max_size=50))
def test_a_histogram_survives_the_round_trip_through_text(sample: list[int]) -> None:
    """What is read back has the same counters."""
    original = histograms.new()
    histograms.record_all(original, sample)
    copy = histograms.decode(histograms.encode(original))
    assert list(copy.counts) == list(original.counts)
    assert copy.get_total_count() == len(sample)


@given(st.integers(min_value=1, max_value=2000))
def test_a_quantile_is_the_nearest_rank(count: int) -> None:
    """Of 1..n (each in a bucket of its own) the median is rank ceil(n / 2)."""
    histogram = histograms.new()
    histograms.record_all(histogram, range(1, count + 1))
    assert histograms.quantile_us(histogram, 0.5) == math.ceil(count / 2)


def test_values_beyond_the_range_are_counted_at_its_edges() -> None:
    """A clock hiccup (below 0) or a request of hours is kept, not dropped."""
    histogram = histograms.new()
    histograms.record_all(histogram, [-5, histograms.HIGHEST_US * 2])
    assert histogram.get_total_count() == 2
    assert histograms.quantile_us(histogram, 0.0) == 0
    assert histograms.quantile_us(histogram, 1.0) == pytest.approx(histograms.HIGHEST_US, rel=1e-3)


def test_percentiles_are_in_milliseconds() -> None:
    """1..100 ms in steps of 1 ms: the percentiles are the ranks."""
    histogram = histograms.new()
    histograms.record_all(histogram, [1000 * rank for rank in range(1, 101)])
    actual = histograms.percentiles_ms(histogram)
    assert actual is not None
    percentiles = [actual.p50, actual.p90, actual.p95, actual.p99, actual.max]
    assert percentiles == pytest.approx([50, 90, 95, 99, 100], rel=1e-3)


@pytest.mark.parametrize("histogram", [None, histograms.new()])
def test_nothing_recorded_has_no_percentiles(histogram: HdrHistogram | None) -> None:
    """Missing is None, never 0 ms."""
    assert histograms.percentiles_ms(histogram) is None


def test_merging_nothing_is_nothing() -> None:
    """None and empty histograms add up to None."""
    assert histograms.merge([]) is None
    assert histograms.merge([None, histograms.encode(histograms.new())]) is None


@pytest.mark.parametrize("text", ["", "no histogram", "AAAA", "HISTFAAAAA==", histograms.encode(histograms.new())[:-9]])
def test_damaged_text_is_a_user_error_that_names_the_recording(text: str) -> None:
    """A torn or edited recording ends in one sentence, not in a traceback."""
    with pytest.raises(UsageError, match="damaged histogram"):
        histograms.decode(text)


def test_a_quantile_of_nothing_is_refused() -> None:
    """There is no number to return."""
    with pytest.raises(ValueError, match="no quantile"):
        histograms.quantile_us(histograms.new(), 0.5)


@given(st.lists(st.lists(st.integers(0, 3_600_000_000), max_size=30), max_size=6))
def test_merging_is_adding_one_histogram_after_the_other(groups: list[list[int]]) -> None:
    """The quick way into one buffer gives what `HdrHistogram.add` gives, empty ones included."""
    texts = [histograms.encode_values(group) for group in groups]
    slow = histograms.new()
    for text in texts:
        if text is not None:
            slow.add(histograms.decode(text))
    fast = histograms.merge(texts)

    assert (0 if fast is None else fast.get_total_count()) == slow.get_total_count()
    if fast is not None:
        assert list(fast.counts) == list(slow.counts)
        assert fast.get_max_value() == slow.get_max_value()
        assert histograms.encode(fast) == histograms.encode(slow)


def test_a_histogram_of_another_shape_is_merged_all_the_same() -> None:
    """Two digits, up to a minute: another tool's, added value by value."""
    other = HdrHistogram(1, 60_000_000, 2)
    other.record_value(500)
    merged = histograms.merge([other.encode().decode(), histograms.encode_values([500])])

    assert merged is not None
    assert merged.get_total_count() == 2


def test_combining_decoded_histograms_is_merging_their_texts() -> None:
    """An endpoint's histogram is decoded once and counts for the whole as well."""
    texts = [histograms.encode_values([100, 2000]), histograms.encode_values([30_000])]
    combined = histograms.combine([histograms.merge([text]) for text in texts])

    assert histograms.percentiles_ms(combined) == histograms.percentiles_ms(histograms.merge(texts))


def test_combining_nothing_is_nothing() -> None:
    """None, as `merge` says of it."""
    assert histograms.combine([None, None]) is None
