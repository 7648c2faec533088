"""A till: payments go to one card terminal, which takes one at a time."""

import threading
import time
from contextlib import nullcontext
from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from .settings import cured, severity

DIALOGUE_S = 0.006 * severity()

app = FastAPI(title="till")


class Receipt(BaseModel):
    """What the terminal prints."""

    sale: int
    number: int
    accepted: bool


class Terminal:
    """The card terminal: its serial line carries one dialogue at a time."""

    def __init__(self, *, shared_line: bool) -> None:
        self.line = threading.Lock() if shared_line else nullcontext()
        self.number = 0

    def charge(self, sale: int) -> Receipt:
        """Charge a sale."""
        with self.line:
            self.number += 1
            time.sleep(DIALOGUE_S)
            return Receipt(sale=sale, number=self.number, accepted=True)


_terminal = Terminal(shared_line=not cured())


def terminal() -> Terminal:
    """Return the till's terminal."""
    return _terminal


@app.get("/sales/{sale}/receipt")
def receipt(sale: int, terminal: Annotated[Terminal, Depends(terminal)]) -> Receipt:
    """Charge a sale and return its receipt."""
    return terminal.charge(sale)
