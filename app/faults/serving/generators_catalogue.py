"""A small catalogue, all in memory."""

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

TITLES = ("Kettle", "Toaster", "Lamp", "Chair", "Table", "Shelf")
app = FastAPI(title="Catalogue")


class Article(BaseModel):
    """What a visitor sees of an article."""

    number: int
    title: str
    price_cents: int


ARTICLES = {
    number: Article(number=number, title=TITLES[number % len(TITLES)], price_cents=990 + 37 * number)
    for number in range(500)
}


@app.get("/")
async def root() -> dict[str, int]:
    """Return the number of articles."""
    return {"articles": len(ARTICLES)}


@app.get("/articles/{number}")
async def article(number: int) -> Article:
    """Return one article."""
    if number not in ARTICLES:
        raise HTTPException(404)
    return ARTICLES[number]
