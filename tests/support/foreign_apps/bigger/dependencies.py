"""What every caller must bring: a word in the query, and for some routes another in a header."""

from typing import Annotated

from fastapi import Header, HTTPException


async def get_token_header(x_token: Annotated[str, Header()]) -> None:
    """Refuse whoever does not know the word for the header."""
    if x_token != "fake-super-secret-token":
        raise HTTPException(400, "X-Token header invalid")


async def get_query_token(token: str) -> None:
    """Refuse whoever does not know the word for the query."""
    if token != "jessica":
        raise HTTPException(400, "No Jessica token provided")
