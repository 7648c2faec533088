"""A small wiki: Flask with Jinja templates, pages in memory."""

from flask import Flask, abort, render_template_string
from flask.typing import ResponseReturnValue

from .settings import severity

PARAGRAPHS = round(6 * severity())
PAGE = """<!doctype html><title>{{ title }}</title><h1>{{ title }}</h1>
{% for text in paragraphs %}<p>{{ loop.index }}: {{ text }}</p>{% endfor %}"""

app = Flask("wiki")
pages = {f"page-{number}": [f"See also page-{number * 7 % 30}."] * PARAGRAPHS for number in range(30)}


@app.get("/")
def root() -> ResponseReturnValue:
    """List the pages."""
    return {"pages": sorted(pages)}


@app.get("/wiki/<name>")
def page(name: str) -> ResponseReturnValue:
    """Show a page."""
    if name not in pages:
        abort(404)
    return render_template_string(PAGE, title=name, paragraphs=pages[name])
