"""A lending library on Flask and SQLite."""

import sqlite3

from flask import Flask, Response, abort, g, jsonify

from .settings import sqlite_path

app = Flask(__name__)
PATH = sqlite_path()
BOOKS = 2_000

with sqlite3.connect(PATH, timeout=30) as made:
    made.execute(
        "CREATE TABLE IF NOT EXISTS books (id INTEGER PRIMARY KEY, title TEXT NOT NULL, copies INTEGER NOT NULL)"
    )
    made.executemany(
        "INSERT OR IGNORE INTO books VALUES (?, ?, ?)",
        [(book, f"Book {book}", book % 7) for book in range(1, BOOKS + 1)],
    )
made.close()


def library() -> sqlite3.Connection:
    """Return this request's connection."""
    if "library" not in g:
        g.library = sqlite3.connect(PATH)
    found: sqlite3.Connection = g.library
    return found


@app.teardown_appcontext
def close(_: BaseException | None) -> None:
    """Close this request's connection."""
    opened = g.pop("library", None)
    if opened is not None:
        opened.close()


@app.get("/")
def root() -> str:
    """Say that the library is open."""
    return "library\n"


@app.get("/books/<int:number>")
def book(number: int) -> Response:
    """Return a book."""
    row = library().execute("SELECT title, copies FROM books WHERE id = ?", (number,)).fetchone()
    if row is None:
        abort(404)
    return jsonify(book=number, title=row[0], copies=row[1])
