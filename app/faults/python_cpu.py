"""`python-cpu`: pure Python work on the event loop.

Class `cpu`, cause `python-code`. Each get runs a fixed number of steps of interpreted code, about 5 ms of CPU,
between two awaits. It binds because one interpreter runs one thread of Python at a time: a worker is one core, and
that core is full. Ceiling for the items mix: min(workers, cores) / (0.6 * 5 ms + h), with h the healthy app's CPU
per request.
"""

from .model import GET_SHARE, SATURATED_S, Fault

# A count and not a clock: the work stays the same when the core is shared, as real code does.
STEPS = 75_000
STEPS_S = 0.005  # CPU of STEPS on the machine of docs/faults.md

_MODULUS = 65_521  # the largest prime below 2**16, as in Adler-32


def burn(severity: float) -> None:
    """Compute a checksum nobody needs: `STEPS * severity` steps of plain Python."""
    low, high = 1, 0
    for step in range(round(STEPS * severity)):
        low = (low + (step & 255)) % _MODULUS
        high = (high + low) % _MODULUS


FAULT = Fault(
    name="python-cpu",
    label_class="cpu",
    label_cause="python-code",
    binds="the core of each worker: interpreted code on the event loop",
    formula="min(workers, cores) / (0.6 * 5 ms * severity + 0.47 ms)",
    ceiling=lambda workers, cores, severity: min(workers, cores) / (GET_SHARE * STEPS_S * severity + SATURATED_S),
    on_loop=burn,
)
