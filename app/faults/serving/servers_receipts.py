"""Receipts: a Flask app that waits for a till's signature before it answers."""

import time

from flask import Blueprint, Flask, jsonify
from flask.typing import ResponseReturnValue

from .settings import severity

SIGN_S = 0.02 * severity()

receipts = Blueprint("receipts", __name__, url_prefix="/receipts")


def signature(number: int) -> str:
    """Wait for the till's signature."""
    time.sleep(SIGN_S)
    return f"{number * 2654435761 % 2**32:08x}"


@receipts.get("/<int:number>")
def receipt(number: int) -> ResponseReturnValue:
    """Return a signed receipt."""
    return jsonify(number=number, total=f"{number % 90}.50", signature=signature(number))


app = Flask(__name__)
app.register_blueprint(receipts)


@app.get("/")
def root() -> ResponseReturnValue:
    """Say that the service is up."""
    return jsonify(service="receipts")
