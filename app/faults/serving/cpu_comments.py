"""Comments below an article: FastAPI, `async def`. Blanks at the end are taken off before a comment is shown."""

import re

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from .settings import cured, severity

PASTED_BLANKS = round(950 * severity() ** 0.5)
"""Somebody pasted a table. The pattern tries each blank as the start of the run, so the work grows with the square."""

_TRAILING = re.compile(r"\s+$")
_TEXT = "Compare the columns:" + " " * PASTED_BLANKS + "| 12.50 EUR"

app = FastAPI(title="Comments")


class Comment(BaseModel):
    """A comment as it is shown."""

    id: int
    author: str
    text: str


def tidy(text: str) -> str:
    """Take white space off the end."""
    return text.rstrip() if cured() else _TRAILING.sub("", text)


@app.get("/")
async def home() -> dict[str, str]:
    """Say what this is."""
    return {"service": "comments"}


@app.get("/comments/{comment_id}")
async def comment(comment_id: int) -> Comment:
    """Return one comment."""
    if comment_id < 1:
        raise HTTPException(404, "no such comment")
    return Comment(id=comment_id, author=f"reader {comment_id % 97}", text=tidy(_TEXT)[:80])
