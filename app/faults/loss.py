"""Arithmetic of queues that are full: how much they serve before too many are turned away. Standard library only."""

import math
from collections.abc import Sequence


def full_queue_share(load: float, places: int, service: Sequence[tuple[float, float]] = ((1.0, 1.0),)) -> float:
    """Return the share of Poisson arrivals that meet a full M/G/1/K queue (Gross & Harris, Queueing Theory, §5.1).

    Args:
        load: arrivals per second times mean service time; may exceed 1.
        places: K, those waiting and the one in service.
        service: (probability, duration) of the kinds of service, durations in any unit; one kind makes it M/D/1/K.

    The queue that departures leave behind is a Markov chain; with `p0` its share of "nobody", arrivals lost are
    1 - 1 / (p0 + load).

    """
    mean = sum(share * duration for share, duration in service)
    during = [
        sum(share * _poisson(count, load * duration / mean) for share, duration in service) for count in range(places)
    ]
    left = [1.0]
    for count in range(places - 1):
        come = left[0] * during[count] + sum(left[other] * during[count - other + 1] for other in range(1, count + 1))
        left.append((left[count] - come) / during[0])
    return 1 - 1 / (left[0] / sum(left) + load)


def utilisation_at(share: float, places: int, service: Sequence[tuple[float, float]] = ((1.0, 1.0),)) -> float:
    """Return the server's utilisation at which `share` of first tries meet a full queue and all come again later.

    Those who come again meet it as full as the others do, so of `load` arrivals of both kinds `load * (1 - share)` are
    served; `service` as above.
    """
    low, high = 0.0, 4.0
    while high - low > 1e-9:  # noqa: PLR2004 - far below what anybody measures
        middle = (low + high) / 2
        if middle > 0 and full_queue_share(middle, places, service) < share:
            low = middle
        else:
            high = middle
    return low * (1 - share)


def _poisson(count: int, mean: float) -> float:
    return math.exp(-mean) * mean**count / math.factorial(count)
