"""Invoices with numbers without gaps: the last number is in a file, which all workers share."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from .settings import cured, scratch, severity

REGISTER_S = 0.008 * severity()
COUNTER = scratch() / "invoice-number"

app = FastAPI(title="invoices")


class Invoice(BaseModel):
    """An invoice with its number."""

    order: int
    number: int
    year: int = 2026


@contextmanager
def exclusive(path: Path, operation: int) -> Iterator[int]:
    """Open a file and keep everybody else out of it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)


def next_number() -> int:
    """Take the next number and enter it in the register."""
    with exclusive(COUNTER, fcntl.LOCK_SH if cured() else fcntl.LOCK_EX) as descriptor:
        number = int(os.pread(descriptor, 20, 0) or b"0") + 1
        time.sleep(REGISTER_S)  # the register of the tax office acknowledges
        os.pwrite(descriptor, b"%d" % number, 0)
        return number


@app.get("/orders/{order}/invoice")
def invoice(order: int) -> Invoice:
    """Write the invoice of an order."""
    return Invoice(order=order, number=next_number())
