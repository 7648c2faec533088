"""`sync-call`: a blocking call inside an async handler.

Class `blocking`, cause `sync-call`. Each get sleeps 20 ms without awaiting, as a synchronous HTTP client or driver
would. It binds because nothing else of that worker runs meanwhile: requests pass one at a time while the CPU idles.
Ceiling for the items mix: workers / (0.6 * 20 ms + h), with h the healthy app's CPU per request; more cores change
nothing.
"""

import time

from .model import GET_SHARE, SPARSE_S, Fault

BLOCK_S = 0.020


def call_and_wait(severity: float) -> None:
    """Block the thread for `BLOCK_S * severity` seconds."""
    time.sleep(BLOCK_S * severity)


FAULT = Fault(
    name="sync-call",
    label_class="blocking",
    label_cause="sync-call",
    binds="the event loop of each worker: held by a call that does not await",
    formula="workers / (0.6 * 20 ms * severity + 1.1 ms)",
    ceiling=lambda workers, _cores, severity: workers / (GET_SHARE * BLOCK_S * severity + SPARSE_S),
    on_loop=call_and_wait,
)
