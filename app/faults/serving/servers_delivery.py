"""Delivery slots: a Flask app that asks a courier over HTTP."""

import requests
from flask import Flask, abort, g, jsonify
from flask.typing import ResponseReturnValue
from requests.adapters import HTTPAdapter

from .settings import companion_url

COURIER = companion_url("COURIER_URL")


def courier() -> requests.Session:
    """Return the session that the workers' threads share."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=64))
    return session


http = courier()
app = Flask("delivery")


@app.before_request
def shop_of_request() -> None:
    """Note which shop asks."""
    g.shop = "north"


@app.get("/")
def root() -> ResponseReturnValue:
    """Say that the service is up."""
    return {"service": "delivery"}


@app.get("/delivery/<postcode>")
def slots(postcode: str) -> ResponseReturnValue:
    """Return when the courier can come."""
    answer = http.get(f"{COURIER}/slots/{postcode}", timeout=20)
    if not answer.ok:
        abort(502)
    return jsonify(shop=g.shop, postcode=postcode, slots=["9-12", "14-18"], state=answer.json()["status"])
