"""Stock figures on PostgreSQL: a Flask app with a psycopg pool as large as its workers have threads."""

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from psycopg_pool import ConnectionPool

from .settings import database_url, severity

SETTLE_S = 0.03 * severity()
"""The warehouse's view is refreshed this long after a reader asked for it."""

pool = ConnectionPool(database_url("postgresql"), min_size=1, max_size=24, timeout=30, open=False)
app = Flask("stock")


def figures(article: int) -> tuple[int, int]:
    """Return what is left of an article, and what is on its way."""
    pool.open()
    with pool.connection() as connection:
        connection.execute("SELECT pg_sleep(%s)", (SETTLE_S,))
        row = connection.execute("SELECT %s %% 17, %s %% 5", (article, article)).fetchone()
    return (int(row[0]), int(row[1])) if row is not None else (0, 0)


@app.get("/")
def root() -> ResponseReturnValue:
    """Say that the service is up."""
    return jsonify(service="stock")


@app.get("/stock/<int:article>")
def stock(article: int) -> ResponseReturnValue:
    """Return an article's stock."""
    left, coming = figures(article)
    return jsonify(article=article, left=left, coming=coming)
