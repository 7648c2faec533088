"""Latency histograms: HDR (hdrhistogram.org), microseconds, 1 µs to 1 h at 3 significant digits, text for JSON rows.

Merging adds counters, so percentiles of merged histograms are percentiles of all values, never averages of percentiles.
"""

import binascii
import math
import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyhdrh
from hdrh.codec import (
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
    get_compression_cookie,
    get_encoding_cookie,
)
from hdrh.histogram import HdrHistogram

from pinchpoint.errors import UsageError
from pinchpoint.measures import Latency

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
SIGNIFICANT_DIGITS = 3
RELATIVE_ERROR = 10.0**-SIGNIFICANT_DIGITS
"""Largest relative difference between a value and what its bucket reports."""

US_PER_MS = 1000.0
Counts = npt.NDArray[np.int64]

_OUTER_HEAD = struct.Struct(">II")
"""Cookie, length of what follows."""
_PAYLOAD_HEAD = struct.Struct(">IIIIQQd")
"""Cookie, length, offset of the index, digits, lowest, highest, ratio: HDR V2, as `hdrh.codec.PayloadHeader`."""
_WORD_BYTES = 8
_DECODE_ERRORS = (
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
    binascii.Error,
    zlib.error,
    TypeError,
    ValueError,
)


def new() -> HdrHistogram:
    """Return an empty histogram of microseconds."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS)


def record_all(histogram: HdrHistogram, values_us: Sequence[int]) -> None:
    """Add microseconds in bulk; values below 0 count as 0, values above an hour as an hour.

    Ten times cheaper per value than `HdrHistogram.record_value`, which matters in the load generator.
    """
    if not values_us:
        return
    values = np.clip(np.asarray(values_us, dtype=np.int64), 0, HIGHEST_US)
    np.add.at(_counts(histogram), _indices(histogram, values), 1)
    histogram.total_count += len(values)
    histogram.min_value = min(histogram.min_value, int(values.min()))
    histogram.max_value = max(histogram.max_value, int(values.max()))


def encode(histogram: HdrHistogram) -> str:
    """Return the histogram as text (HDR V2, zlib, base64)."""
    return str(histogram.encode().decode("ascii"))


def encode_values(values_us: Sequence[int]) -> str | None:
    """Return the encoded histogram of some microseconds; None when there are none."""
    if not values_us:
        return None
    histogram = new()
    record_all(histogram, values_us)
    return encode(histogram)


def decode(text: str) -> HdrHistogram:
    """Return the histogram that `encode` wrote.

    Raises:
        UsageError: the text is no histogram, so the recording it came from is damaged.

    """
    try:
        return HdrHistogram.decode(text)
    except _DECODE_ERRORS as error:
        message = f"the recording holds a damaged histogram ({error or type(error).__name__}); record the run again"
        raise UsageError(message) from error


def merge(texts: Iterable[str | None]) -> HdrHistogram | None:
    """Return the sum of encoded histograms; None when nothing at all was recorded.

    A long recording holds a hundred thousand of them: those like ours are decoded into one buffer, seven times as fast
    as into a histogram each.
    """
    total = new()
    counts = _counts(total)
    buffer = np.zeros(len(counts), dtype=np.int64)
    highest = -1
    for text in texts:
        if text is None:
            continue
        last = _add(text, total, counts, buffer)
        if last is None:
            total.add(decode(text))
        else:
            highest = max(highest, last)
    if highest >= 0:
        top = total.get_highest_equivalent_value(total.get_value_from_index(highest))
        total.max_value = max(total.max_value, top)
        total.min_value = min(total.min_value, total.get_value_from_index(int(np.argmax(counts > 0))))
    return total if total.get_total_count() else None


def combine(parts: Iterable[HdrHistogram | None]) -> HdrHistogram | None:
    """Return the sum of decoded histograms; None when nothing at all was recorded."""
    total = new()
    for part in parts:
        if part is not None:
            total.add(part)
    return total if total.get_total_count() else None


def _add(text: str, total: HdrHistogram, counts: Counts, buffer: Counts) -> int | None:
    """Add an encoded histogram of our own shape; return its highest index, -1 for an empty one, None for any other."""
    payload = _payload(text)
    if payload is None:
        return None
    try:
        found = pyhdrh.decode(payload, _PAYLOAD_HEAD.size, buffer.ctypes.data, len(buffer), _WORD_BYTES)
    except (ValueError, IndexError):
        buffer[:] = 0
        return None
    if not found["total"]:
        return -1
    end = int(found["max_nonzero_index"]) + 1
    counts[:end] += buffer[:end]
    buffer[:end] = 0
    total.total_count += int(found["total"])
    return end - 1


def _payload(text: str) -> bytes | None:
    """Return what `encode` compressed, if the text is whole and its histogram has the shape of ours."""
    try:
        data = binascii.a2b_base64(text)
        cookie, length = _OUTER_HEAD.unpack_from(data)
        payload = zlib.decompress(data[_OUTER_HEAD.size :])
        head = _PAYLOAD_HEAD.unpack_from(payload)
    except (*_DECODE_ERRORS, struct.error):
        return None
    whole = (cookie, length) == (get_compression_cookie(), len(data) - _OUTER_HEAD.size)
    inner_cookie, _, offset, *shape, ratio = head
    ours = (inner_cookie, offset, ratio) == (get_encoding_cookie(), 0, 1.0)
    return payload if whole and ours and shape == [SIGNIFICANT_DIGITS, LOWEST_US, HIGHEST_US] else None


def quantile_us(histogram: HdrHistogram, share: float) -> float:
    """Return the value at or below which `share` (0..1) of the values lie, nearest rank, in microseconds.

    The upper edge of the bucket, as HDR does everywhere: a latency is never understated.

    Raises:
        ValueError: the histogram is empty, or `share` is not within 0..1.

    """
    total = int(histogram.get_total_count())
    if total == 0 or not 0.0 <= share <= 1.0:
        message = f"no quantile {share} of {total} values"
        raise ValueError(message)
    # Rounding before the ceiling: 0.95 x 100 is 95.00000000000001 for some products, which would take rank 96.
    return _at_rank(histogram, np.cumsum(_counts(histogram)), share)


def _at_rank(histogram: HdrHistogram, cumulated: Counts, share: float) -> float:
    rank = max(1, math.ceil(round(share * int(cumulated[-1]), 6)))
    index = int(np.searchsorted(cumulated, rank))
    return float(histogram.get_highest_equivalent_value(histogram.get_value_from_index(index)))


def count_above(histogram: HdrHistogram, limit_us: float) -> int:
    """Return how many values lie above a limit in microseconds, to the precision of a bucket."""
    limit = np.asarray([min(max(limit_us, 0.0), HIGHEST_US)]).astype(np.int64)
    return int(_counts(histogram)[int(_indices(histogram, limit)[0]) + 1 :].sum())


def mean_us(histogram: HdrHistogram) -> float:
    """Return the mean of the values, each taken at the middle of its bucket, in microseconds.

    Raises:
        ValueError: the histogram is empty.

    """
    counts = _counts(histogram)
    total = int(counts.sum())
    if total == 0:
        message = "no mean of 0 values"
        raise ValueError(message)
    places = np.flatnonzero(counts)
    return float((counts[places] * _middles(histogram, places)).sum() / total)


def percentiles_ms(histogram: HdrHistogram | None) -> Latency | None:
    """Return p50, p90, p95, p99 and the maximum in milliseconds; None for no histogram or an empty one."""
    if histogram is None or not histogram.get_total_count():
        return None
    cumulated = np.cumsum(_counts(histogram))
    p50, p90, p95, p99, top = (
        _at_rank(histogram, cumulated, share) / US_PER_MS for share in (0.50, 0.90, 0.95, 0.99, 1.0)
    )
    return Latency(p50=p50, p90=p90, p95=p95, p99=p99, max=top)


def mean_ms(histogram: HdrHistogram | None) -> float | None:
    """Return the mean in milliseconds, by the middles of the buckets; None for none or an empty one."""
    if histogram is None or not histogram.get_total_count():
        return None
    # As `HdrHistogram.get_mean_value`, which walks all of its 20,000 buckets, which takes 160 ms.
    counts = _counts(histogram)
    filled = np.flatnonzero(counts)
    return float(np.dot(counts[filled], _middles(histogram, filled))) / float(counts.sum()) / US_PER_MS


def _middles(histogram: HdrHistogram, places: Counts) -> npt.NDArray[np.float64]:
    """Return the middle of each bucket, by its index, in microseconds."""
    half = int(histogram.sub_bucket_half_count)
    bucket = (places >> int(histogram.sub_bucket_half_count_magnitude)) - 1
    sub = (places & (half - 1)) + half
    values = np.where(bucket < 0, sub - half, sub << np.maximum(bucket, 0))
    middles: npt.NDArray[np.float64] = (values + ((1 << np.maximum(bucket, 0)) >> 1)).astype(np.float64)
    return middles


def _counts(histogram: HdrHistogram) -> Counts:
    """View the counters, without a copy."""
    return np.frombuffer(histogram.counts, dtype=np.int64)


def _indices(histogram: HdrHistogram, values_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the counter index of each value: `HdrHistogram._counts_index_for` over an array.

    A value's bucket is how far its highest bit lies above the sub-bucket bits; `frexp` finds it exactly below 2^53.
    """
    bits = np.frexp(np.maximum(values_us, 1).astype(np.float64))[1].astype(np.int64)
    bucket = np.maximum(bits - int(histogram.sub_bucket_mask).bit_length(), 0)
    base = (bucket + 1) << int(histogram.sub_bucket_half_count_magnitude)
    return (base + (values_us >> bucket) - int(histogram.sub_bucket_half_count)).astype(np.int64)
