"""A WSGI app in which a test can break the probe while it serves."""

import concurrent.futures
from collections.abc import Iterator

from flask import Flask, Response, jsonify, request

EXECUTOR = concurrent.futures.ThreadPoolExecutor(2, "exports")
app = Flask(__name__)


@app.get("/")
def root() -> str:
    """Answer at once."""
    return "yes"


@app.get("/boom")
def boom() -> str:
    """Raise."""
    raise ValueError("the app's own")


@app.get("/stream")
def stream() -> Response:
    """Answer in three pieces."""

    def pieces() -> Iterator[bytes]:
        yield from (b"a", b"b", b"c")

    return Response(pieces())


@app.get("/everything")
def everything() -> Response:
    """Use a thread pool."""
    return jsonify([EXECUTOR.submit(str, 7).result()])


@app.post("/break")
def broken() -> str:
    """Break the probe, as the body says."""
    exec(request.data, {})  # noqa: S102 - a test's own words
    return "broken"
