"""The barest real app: one async route with a parameter, no database. Whatever is added to it shows."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/items/{item_id}")
async def read_item(item_id: int) -> dict[str, int]:
    """Answer at once."""
    return {"id": item_id}
