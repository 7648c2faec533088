"""A small backup service in Flask: each request snapshots a customer's settings, synced to disk before the answer."""

import os
import threading

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from .settings import cured, scratch, severity

SNAPSHOT = os.urandom(round(64 * severity()) * 1024)

app = Flask(__name__)


def save(name: str) -> int:
    """Write a snapshot; return its size in bytes."""
    path = scratch() / f"{name}-{os.getpid()}-{threading.get_native_id()}.snapshot"
    with path.open("r+b" if path.exists() else "xb", buffering=0) as file:
        written = file.write(SNAPSHOT)
        if not cured():
            os.fsync(file.fileno())
    return written or 0


@app.get("/customers/<int:customer>/snapshot")
def snapshot(customer: int) -> ResponseReturnValue:
    """Take a snapshot."""
    return jsonify(customer=customer, bytes=save("settings"))
