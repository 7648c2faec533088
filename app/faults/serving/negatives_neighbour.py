"""A neighbour on the same machine that computes in bursts and rests between them.

python -m pinchpoint.app.faults.serving.negatives_neighbour
"""

import random
import time

from .settings import severity

STEPS = round(2_000_000 * severity())
"""About 0.1 s of one core."""
REST_S = 0.6


def burst(steps: int) -> int:
    """Compute for a while."""
    value = 1
    for step in range(steps):
        value = (value * 31 + step) & 0xFFFFFFFF
    return value


def main() -> None:
    """Take turns for ever."""
    pause = random.Random(7)  # noqa: S311 - no secret
    while True:
        burst(STEPS)
        time.sleep(REST_S * pause.uniform(0.3, 1.7))


if __name__ == "__main__":
    main()
