"""Coupons: a small Flask app whose checks wait for a card reader."""

import time

from flask import Flask, Response, request

from .settings import severity

READER_S = 0.006 * severity()

app = Flask("coupons")


@app.get("/")
def root() -> Response:
    """Say that the service is up."""
    return Response("coupons\n", mimetype="text/plain")


@app.get("/coupons/<code>")
def check(code: str) -> Response:
    """Return whether a coupon holds."""
    time.sleep(READER_S)
    return Response(f"{code} {'holds' if request.args.get('day') != 'sunday' else 'rests'}\n", mimetype="text/plain")
