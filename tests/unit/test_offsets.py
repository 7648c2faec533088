"""The offset of another machine's clock over a run: never further off than it says, and steady while it can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.offsets import DRIFT, Offset, OffsetTrack, offset_of

DELAY_S = st.floats(1e-5, 0.5)
EXCHANGE = st.tuples(st.floats(0.01, 5), DELAY_S, DELAY_S)


@given(st.floats(-1e5, 1e5), st.floats(-DRIFT * 0.9, DRIFT * 0.9), st.lists(EXCHANGE, min_size=1, max_size=20))
def test_the_truth_stays_within_the_error_while_a_clock_drifts(
    ahead_s: float, drift: float, exchanges: list[tuple[float, float, float]]
) -> None:
    """Whatever the delays, and however unequal; the clock runs faster or slower all the time."""
    track, now_s = None, 0.0
    for pause_s, there_s, back_s in exchanges:
        sent_s = now_s + pause_s
        middle_s = sent_s + there_s
        now_s = middle_s + back_s
        found = offset_of(sent_s, middle_s + ahead_s + drift * middle_s, now_s)
        if track is None:
            track = OffsetTrack(found, now_s)
        else:
            track.add(found, now_s)
        truth_s = ahead_s + drift * now_s
        assert abs(track.offset.seconds - truth_s) <= track.offset.error_s + DRIFT * (there_s + back_s) + 1e-6
        assert track.jump_s is None


def test_an_offset_is_kept_while_measurements_agree_with_it() -> None:
    """Times that touch must still touch after translation: it does not wander within its error."""
    track = OffsetTrack(Offset(10.0, 0.001), 0.0)
    for second in range(1, 5):
        track.add(Offset(10.0004, 0.0005), float(second))

    assert track.offset.seconds == 10.0
    assert track.drift_s == 0.0


def test_an_offset_that_is_measured_wrong_is_replaced() -> None:
    """The clock drifts: 0.9 ms and the errors of both measurements cannot be told apart from it, the rest can."""
    track = OffsetTrack(Offset(10.0, 0.0001), 0.0)
    track.add(Offset(10.003, 0.0002), 60.0)

    assert track.offset == Offset(10.003, 0.0002)
    assert track.drift_s == pytest.approx(0.0027)
    assert track.jump_s is None


def test_a_bad_measurement_changes_nothing() -> None:
    """A slow exchange says little."""
    track = OffsetTrack(Offset(10.0, 0.001), 0.0)
    track.add(Offset(10.2, 0.3), 1.0)

    assert track.offset.seconds == 10.0
    assert track.offset.error_s == pytest.approx(0.001 + DRIFT)


def test_a_clock_that_jumps_is_found() -> None:
    """A machine that was suspended for a second."""
    track = OffsetTrack(Offset(10.0, 0.001), 0.0)
    track.add(Offset(9.0, 0.001), 1.0)

    assert track.jump_s == pytest.approx(1.0)


def test_instants_are_translated_both_ways() -> None:
    """Theirs is ours plus the offset."""
    track = OffsetTrack(Offset(10.0, 0.001), 0.0)

    assert (track.to_theirs(5.0), track.to_ours(15.0)) == (15.0, 5.0)
