"""A parcel service: an order's label is sent to the label printer of its warehouse, which takes a moment."""

import asyncio
import time
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from .settings import cured, severity

FEED_S = 0.008 * severity()

app = FastAPI(title="parcels")


class Label(BaseModel):
    """What is printed."""

    order: int
    carrier: str
    lines: list[str]


class Printer:
    """Prints one label and lets the paper run on before it takes the next command."""

    def __init__(self, name: str) -> None:
        self.name = name

    def render(self, order: int) -> Label:
        """Lay the label out."""
        return Label(order=order, carrier="DHL", lines=[f"order {order}", "Main Street 1", "10115 Berlin", self.name])

    async def feed(self) -> None:
        """Wait for the paper."""
        time.sleep(FEED_S)  # noqa: ASYNC251 - as in the code this is modelled on


class PolledPrinter(Printer):
    """A printer that is asked again later."""

    async def feed(self) -> None:
        """Wait for the paper, and let others be served meanwhile."""
        await asyncio.sleep(FEED_S)


_printer = PolledPrinter("north-2") if cured() else Printer("north-2")


async def printer() -> Printer:
    """Return the printer of the warehouse."""
    return _printer


@app.get("/orders/{order}/label")
async def print_label(order: int, printer: Annotated[Printer, Depends(printer)]) -> Label:
    """Print the label of an order."""
    label = printer.render(order)
    await printer.feed()
    return label
