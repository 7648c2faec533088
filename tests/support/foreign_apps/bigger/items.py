"""Routes of items: a fixed few, of which one can be changed."""

from typing import Any

from fastapi import APIRouter, Depends, HTTPException

from .dependencies import get_token_header

router = APIRouter(
    prefix="/items",
    tags=["items"],
    dependencies=[Depends(get_token_header)],
    responses={404: {"description": "Not found"}},
)
items = {"plumbus": {"name": "Plumbus"}, "gun": {"name": "Portal Gun"}}


@router.get("/", response_model=None)
async def read_items() -> Any:
    """List all, by their id."""
    return items


@router.get("/{item_id}")
async def read_item(item_id: str) -> dict[str, str]:
    """Return one."""
    if item_id not in items:
        raise HTTPException(404, "Item not found")
    return {"name": items[item_id]["name"], "item_id": item_id}


@router.put("/{item_id}", tags=["custom"], responses={403: {"description": "Operation forbidden"}})
async def update_item(item_id: str) -> dict[str, str]:
    """Change the one that may be changed."""
    if item_id != "plumbus":
        raise HTTPException(403, "You can only update the item: plumbus")
    return {"item_id": item_id, "name": "The great Plumbus"}
