"""`/items`: list, search, get, create, change, delete.

One statement each, and the connection goes back before JSON is made.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import bindparam, delete, insert, select, update

from .accounts import Refusal
from .database import ID_MAX, NO_NUL, engine_of, items, now

if TYPE_CHECKING:
    from .faults import Active


_COLUMNS = (items.c.id, items.c.name, items.c.description, items.c.price, items.c.created_at)
# Built once: the compiled form is then found by identity instead of by walking the statement each time.
_GET = select(*_COLUMNS).where(items.c.id == bindparam("item_id"))
_LIST = select(*_COLUMNS).order_by(items.c.id).limit(bindparam("row_limit")).offset(bindparam("row_offset"))
_SEARCH = _LIST.where(items.c.name.ilike(bindparam("pattern"), escape="\\"))
_CREATE = insert(items).returning(*_COLUMNS)
_CHANGE = update(items).where(items.c.id == bindparam("item_id")).returning(*_COLUMNS)
_DELETE = delete(items).where(items.c.id == bindparam("item_id"))

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Refusal, "description": "There is no such item."}}

ItemId = Annotated[int, Path(ge=1, le=ID_MAX)]

router = APIRouter(tags=["items"])


class ItemIn(BaseModel):
    """What a client sends."""

    name: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    description: str = Field(default="", max_length=2000, pattern=NO_NUL)
    price: float = Field(ge=0, allow_inf_nan=False)


class ItemOut(BaseModel):
    """What a client gets."""

    id: int
    name: str
    description: str
    price: float
    created_at: datetime


@router.get("/items/{item_id}", responses=_MISSING)
async def get_item(request: Request, item_id: ItemId) -> ItemOut:
    """Return one item; 404 when there is none."""
    faults: Active = request.app.state.faults
    for disturb_loop in faults.on_loop:
        disturb_loop(faults.severity)
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_GET, {"item_id": item_id})).one_or_none()
        for disturb_connection in faults.on_connection:
            await disturb_connection(connection, faults.severity)
    return _found(row)


@router.post("/items/", status_code=201)
@router.post("/items", status_code=201, include_in_schema=False)
async def create_item(request: Request, item: ItemIn) -> ItemOut:
    """Store an item and return it with its id."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_CREATE, {**_values(item), "created_at": now()})).one()
    return _found(row)


@router.get("/items/")
@router.get("/items", include_in_schema=False)
async def list_items(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=ID_MAX)] = 0,
    q: Annotated[str | None, Query(max_length=100, pattern=NO_NUL)] = None,
) -> list[ItemOut]:
    """Return a page in the order of ids, of all items or of those whose name contains `q` (letter case ignored)."""
    parameters: dict[str, Any] = {"row_limit": limit, "row_offset": offset}
    statement = _LIST
    if q is not None:
        statement = _SEARCH
        parameters["pattern"] = f"%{_escaped(q)}%"
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(statement, parameters)).all()
    return [_found(row) for row in rows]


@router.put("/items/{item_id}", responses=_MISSING)
async def change_item(request: Request, item_id: ItemId, item: ItemIn) -> ItemOut:
    """Replace an item's name, description and price; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        # Fetched in the one statement that writes: no race, and no lock held between two round trips.
        row = (await connection.execute(_CHANGE.values(**_values(item)), {"item_id": item_id})).one_or_none()
    return _found(row)


@router.delete("/items/{item_id}", status_code=204, responses=_MISSING)
async def delete_item(request: Request, item_id: ItemId) -> Response:
    """Delete an item; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        deleted = (await connection.execute(_DELETE, {"item_id": item_id})).rowcount
    if not deleted:
        raise HTTPException(404, "Item not found")
    return Response(status_code=204)


def _values(item: ItemIn) -> dict[str, Any]:
    return {"name": item.name, "description": item.description, "price": item.price}


def _found(row: Any) -> ItemOut:
    if row is None:
        raise HTTPException(404, "Item not found")
    return ItemOut(id=row[0], name=row[1], description=row[2], price=row[3], created_at=row[4])


def _escaped(text: str) -> str:
    """Take the wildcards of LIKE literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
