"""Lines on the way: whole, in order, and as they were sent, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.wire import Frames, Stranger, seal

KEY = b"k" * 32
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(st.text(), JSON_VALUES, max_size=3), max_size=6),
    st.lists(st.integers(0, 200), max_size=20),
)
def test_messages_survive_any_cutting_of_the_stream(messages: list[dict[str, object]], cuts: list[int]) -> None:
    """TCP keeps no borders."""
    stream = b"".join(seal(KEY, number, message) for number, message in enumerate(messages))
    frames, read, start = Frames(KEY), [], 0
    for length in (*cuts, len(stream)):
        read += frames.feed(stream[start : start + length])
        start += length

    assert read == messages


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_found(place: int, change: int) -> None:
    """Any of them, wherever."""
    line = bytearray(seal(KEY, 0, {"cmd": "stop", "id": 17}))
    line[place % (len(line) - 1)] ^= change

    with pytest.raises(Stranger):
        Frames(KEY).feed(bytes(line) + b"\n")


def test_a_line_said_twice_is_found() -> None:
    """Whoever sits in between cannot repeat an order."""
    frames = Frames(KEY)
    line = seal(KEY, 0, {"cmd": "segment"})
    frames.feed(line)

    with pytest.raises(Stranger, match="damaged"):
        frames.feed(line)


def test_a_line_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr("pinchpoint.wire.LONGEST_LINE", 1000)

    with pytest.raises(Stranger, match="more than 1000 bytes"):
        Frames(KEY).feed(b"x" * 1001)
