"""`leak`: each get keeps 64 KiB for ever.

Class `memory`, cause `leak`. Memory does not flow, so it binds by running out: the rate stays near the healthy
app's until then. Time to exhaustion: free memory / (0.6 * 64 KiB * requests per second); at 1,000 requests of the
mix per second that is 38 MiB/s, so 8 GiB last three and a half minutes. It never plateaus.
"""

from .model import GET_SHARE, SATURATED_S, Fault

KEPT_BYTES = 64 * 1024
KEEP_S = 0.00015  # CPU to get and write fresh pages, docs/faults.md

_kept: list[bytes] = []


def keep(severity: float) -> None:
    """Append `KEPT_BYTES * severity` bytes that were really written: untouched pages would cost no memory."""
    _kept.append(b"\x01" * round(KEPT_BYTES * severity))


FAULT = Fault(
    name="leak",
    label_class="memory",
    label_cause="leak",
    binds="memory, by exhaustion after free bytes / (0.6 * 64 KiB * severity * rate) seconds",
    formula="until then min(workers, cores) / (0.6 * 0.15 ms * severity + 0.47 ms)",
    ceiling=lambda workers, cores, severity: min(workers, cores) / (GET_SHARE * KEEP_S * severity + SATURATED_S),
    on_loop=keep,
)
