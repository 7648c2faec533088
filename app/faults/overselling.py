"""`overselling`: an order reads the stock, awaits, and writes back what it read less what it takes.

Not a bottleneck: nothing gets slower or fails, and two clients are sold the same piece. The gap stands for whatever an
app may await between the two (another service, a template, a log). It is long enough that buyers who come together all
read the same stock, with one worker as with many, on SQLite as on PostgreSQL. What finds it is the audit of the
database (`stock`): more sold than there was, and stock that does not add up.
"""

import asyncio

from .model import Defect

GAP_S = 0.05


async def wait_between(severity: float) -> None:
    """Let the others read."""
    await asyncio.sleep(GAP_S * severity)


DEFECT = Defect(
    name="overselling",
    label_class="correctness",
    label_cause="overselling",
    breaks="stock: who reads between another order's read and write is sold the same pieces",
    acts_on="POST /orders",
    stock_gap=wait_between,
)
