"""A Flask app whose figures are known; served under the probe by the tests."""

import os
import time
from collections.abc import Iterator

from flask import Blueprint, Flask, Response, request

app = Flask(__name__)
blueprint = Blueprint("shop", __name__)


@app.before_request
def refuse() -> tuple[str, int] | None:
    """Answer in the view's place."""
    return ("no", 403) if request.args.get("refuse") else None


@app.get("/")
def root() -> dict[str, int]:
    """Answer at once."""
    return {"pid": os.getpid()}


@blueprint.get("/hold/<int:milliseconds>")
def hold(milliseconds: int) -> str:
    """Hold a worker slot."""
    time.sleep(milliseconds / 1000)
    return "held"


@blueprint.get("/stream/<int:milliseconds>")
def stream(milliseconds: int) -> Response:
    """Hold a worker slot while the response goes out."""

    def chunks() -> Iterator[str]:
        for _ in range(2):
            time.sleep(milliseconds / 2000)
            yield "chunk"

    return Response(chunks())


@blueprint.get("/fail/<int:number>")
def fail(number: int) -> str:
    """Raise."""
    raise ValueError(number)


app.register_blueprint(blueprint, url_prefix="/shop")
