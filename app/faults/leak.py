"""`leak`: each get keeps 64 KiB for ever.

Class `memory`, cause `leak`. Memory does not flow, so it binds by running out: the rate stays the healthy app's
until then. Time to exhaustion: free memory / (0.6 * 64 KiB * requests per second); at 1,000 requests of the mix per
second that is 38 MiB/s, so 8 GiB last three and a half minutes. It never plateaus.
"""

from .model import Fault

KEPT_BYTES = 64 * 1024
HEALTHY_S = 0.0005  # CPU of one request of the healthy mix, docs/faults.md

_kept: list[bytes] = []


def keep(severity: float) -> None:
    """Append `KEPT_BYTES * severity` bytes that were really written: untouched pages would cost no memory."""
    _kept.append(b"\x01" * round(KEPT_BYTES * severity))


FAULT = Fault(
    name="leak",
    label_class="memory",
    label_cause="leak",
    binds="memory, by exhaustion after free bytes / (0.6 * 64 KiB * severity * rate) seconds",
    formula="the healthy app's: min(workers, cores) / 0.5 ms",
    ceiling=lambda workers, cores, _severity: min(workers, cores) / HEALTHY_S,
    on_loop=keep,
)
