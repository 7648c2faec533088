"""Which value a sweep recommends, and the sentence that says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.diagnosis.sweeps import Choice, Measured, Value, choose, gains


def workers(value: Value) -> str:
    """Name a worker count."""
    return f"{value} workers"


def chosen(*measured: Measured) -> Choice:
    """Return the choice, which there must be."""
    choice = choose(measured, workers)
    assert choice is not None
    return choice


def test_the_smallest_value_that_is_not_clearly_below_the_best_wins() -> None:
    """With the gain it rests on, and what the next one would bring."""
    choice = chosen(
        Measured(1, (80.0, 81.0, 79.0)),
        Measured(2, (160.0, 158.0, 161.0)),
        Measured(3, (236.0, 238.0, 235.0)),
        Measured(4, (238.0, 240.0, 236.0)),
    )

    assert (choice.value, choice.best, choice.still_rises) == (3, 4, False)
    assert choice.reason.startswith("3 workers: +48 % [4")
    assert " over 2; 4 adds nothing that stands out of the noise (+1 % [-" in choice.reason


def test_noise_as_large_as_the_gain_recommends_the_smaller_value() -> None:
    """Overlapping repeats: 10 % more on average, but nobody can say."""
    choice = chosen(Measured(1, (100.0, 80.0, 120.0)), Measured(2, (110.0, 90.0, 130.0)))

    assert (choice.value, choice.best) == (1, 2)
    assert "2 adds nothing that stands out of the noise (+1" in choice.reason


def test_one_run_each_is_compared_by_the_tie() -> None:
    """Less than 5 % apart is the same; no interval is made up."""
    near, far = Measured(2, (104.0,)), Measured(2, (120.0,))

    assert chosen(Measured(1, (100.0,)), near).reason == (
        "1 workers: 2 adds nothing that stands out of the noise (+4 %)"
    )
    assert chosen(Measured(1, (100.0,)), far).value == 2


def test_a_curve_that_still_rises_is_said_to() -> None:
    """The largest value tried is not the best there is, and nothing is said about larger ones."""
    choice = chosen(Measured(1, (80.0, 80.5)), Measured(2, (160.0, 161.0)))

    assert (choice.value, choice.still_rises) == (2, True)
    assert choice.reason.endswith("the curve still rises there: larger values were not tried")


def test_a_larger_value_that_loses_is_named() -> None:
    """More workers than the machine has room for."""
    choice = chosen(Measured(1, (100.0, 101.0)), Measured(2, (180.0, 181.0)), Measured(4, (150.0, 151.0)))

    assert (choice.value, choice.still_rises) == (2, False)
    assert "; 4 loses (-17 % [" in choice.reason


def test_values_without_a_valid_run_say_nothing() -> None:
    """Neither are they recommended nor compared with; without any other there is no recommendation."""
    choice = chosen(Measured(1, (80.0, 81.0)), Measured(2, ()), Measured(3, (240.0, 239.0)))

    assert choice.value == 3
    assert " over 1; " in choice.reason
    assert choose([Measured(1, ()), Measured(2, ())]) is None
    assert chosen(Measured(1, (80.0,)), Measured(2, ())).reason == "1 workers: the only value with a valid run"


def test_a_single_value_is_what_was_tried() -> None:
    """No gain, and no claim."""
    choice = chosen(Measured(2, (100.0, 101.0, 99.0)))

    assert choice.reason == "2 workers: the only value tried"
    assert choice.still_rises is False
    assert choice.ci is not None


def test_names_keep_their_order() -> None:
    """What stands first is kept where nothing beats it; the others are told, each with its change."""
    level = choose(
        [Measured("sync", (100.0, 101.0)), Measured("gevent", (101.0, 100.0)), Measured("gthread", (60.0, 61.0))]
    )

    assert level is not None
    assert level.value == "sync"
    assert level.reason.startswith("sync: gevent adds nothing that stands out of the noise (+0 % [")
    assert "; gthread loses (-40 % [" in level.reason


def test_a_rate_that_may_be_higher_is_not_held_to_be_lower() -> None:
    """The load ran out before the app did."""
    assert chosen(Measured(1, (100.0,), reached=False), Measured(2, (200.0,))).value == 1


def test_limits_found_coarsely_are_not_held_apart() -> None:
    """Loads that doubled say that the limit lies between 80 and 160, however well three repeats agree."""
    choice = chosen(Measured(1, (80.0,) * 3, resolution=2.0), Measured(2, (120.0,) * 3, resolution=1.04))

    assert choice.value == 1
    assert "2 cannot be told from it (+50 % [-25, 56])" in choice.reason
    assert chosen(Measured(1, (80.0,) * 3, resolution=1.3), Measured(2, (120.0,) * 3, resolution=2.0)).value == 2


def test_each_value_is_compared_with_the_one_before() -> None:
    """By size, whatever the order asked for."""
    told = gains([Measured(4, (150.0,)), Measured(1, (100.0,)), Measured(2, (150.0,))])

    assert [(one.start, one.end, one.side) for one in told] == [(1, 2, "above"), (2, 4, "level")]
    assert told[0].ratio == pytest.approx(1.5)


rates = st.lists(st.floats(1, 1e4), min_size=0, max_size=3).map(tuple)


@given(st.lists(rates, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_only_measured_values_are_ever_recommended(all_rates: list[tuple[float, ...]], random: object) -> None:
    """Whatever the rates, and in whatever order the values were asked for."""
    measured = [Measured(index + 1, one) for index, one in enumerate(all_rates)]
    shuffled = list(measured)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    choice = choose(measured)

    assert choice == choose(shuffled)
    assert (choice is None) == (not any(all_rates))
    if choice is not None:
        assert all_rates[int(choice.value) - 1]
