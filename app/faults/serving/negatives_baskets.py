"""Baskets of anonymous visitors: each visit makes one, and it is thrown away a few seconds later."""

import time
import uuid
from collections import deque

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from .settings import severity

KEEP_S = 8.0 * severity()
ENTRY_BYTES = 40_000

app = Flask("baskets")
baskets: dict[str, bytearray] = {}
order: deque[tuple[float, str]] = deque()


def forget_old(now_s: float) -> None:
    """Throw away what was not bought in time."""
    while order and order[0][0] < now_s - KEEP_S:
        baskets.pop(order.popleft()[1], None)


@app.get("/")
def root() -> ResponseReturnValue:
    """Say that the service is up."""
    return jsonify(service="baskets")


@app.get("/basket")
def basket() -> ResponseReturnValue:
    """Open a basket."""
    now_s, name = time.monotonic(), uuid.uuid4().hex
    forget_old(now_s)
    baskets[name] = bytearray(ENTRY_BYTES)
    order.append((now_s, name))
    return jsonify(basket=name, open=len(baskets))
