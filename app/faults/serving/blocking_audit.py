"""A payments service that writes each decision, with all that led to it, to the audit log.

The log goes to a named pipe that the log shipper reads, as container platforms read a service's standard output.
"""

import logging
import os
import time
from pathlib import Path

from fastapi import FastAPI, Request

from .settings import cured, scratch

RULES = [
    f"rule {number:02}: amount below the limit of the card, country of the card is country of the shop"
    for number in range(20)
]
RECORD = "payment %08d accepted for %s\n" + "\n".join(RULES)

app = FastAPI(title="payments")


def shipped_to() -> Path:
    """Return where the log goes: a file, or the shipper's pipe, which is waited for."""
    if cured():
        return scratch() / "audit.txt"
    pipe = scratch() / "audit.log"
    while not pipe.is_fifo():
        time.sleep(0.02)
    return pipe


def open_log() -> logging.Logger:
    """Return the audit log."""
    # Unbuffered, and opened by number: Python's own text files refuse what cannot be sought.
    handler = logging.StreamHandler(os.fdopen(os.open(shipped_to(), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = logging.getLogger("audit")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)
    return log


audit = open_log()


@app.get("/payments/{payment}")
async def decide(payment: int, request: Request) -> dict[str, int | str]:
    """Decide on a payment."""
    client = request.headers.get("x-shop", "shop-0001")
    audit.info(RECORD, payment, client)
    return {"payment": payment, "decision": "accepted", "shop": client}
