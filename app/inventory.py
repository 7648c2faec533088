"""The inventory's products and its dashboard: `/products` and `/inventory`; `/orders` are in `inventory_orders`.

Nobody sets a stock but the one who creates the product: it is added to by restocks and taken from by orders.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Float, Integer, bindparam, case, func, insert, select, type_coerce, update
from sqlalchemy.exc import SQLAlchemyError

from .database import ID_MAX, NO_NUL, engine_of, now
from .inventory_orders import router
from .inventory_tables import (
    CANCELLED,
    NAME_MAX,
    PAID,
    PENDING,
    SHIPPED,
    TEXT_MAX,
    orders,
    products,
    restocks,
    transaction,
    writing,
)

# One router for both files: routes of a router inside a router take longer to find.
__all__ = ["router"]

PRICE_MAX = 1_000_000.0
PIECES_MAX = 1_000_000
BULK_MAX = 100
LOW_STOCK = 10
"""At most this many pieces are a low stock."""

_WANTED = bindparam("wanted_id", type_=Integer)
_ALIVE = products.c.archived.is_(False)
_COLUMNS = (
    products.c.id,
    products.c.name,
    products.c.description,
    products.c.price,
    products.c.stock,
    products.c.created_at,
)
_GET = select(*_COLUMNS).where(products.c.id == _WANTED, _ALIVE)
_LIST = (
    select(*_COLUMNS)
    .where(_ALIVE)
    .order_by(products.c.id)
    .limit(bindparam("row_limit"))
    .offset(bindparam("row_offset"))
)
_CREATE = insert(products).returning(*_COLUMNS)
_OF_LIVE = update(products).where(products.c.id == _WANTED, _ALIVE)
_CHANGE = _OF_LIVE.values(
    name=bindparam("new_name"), description=bindparam("new_description"), price=bindparam("new_price")
).returning(*_COLUMNS)
_ARCHIVE = _OF_LIVE.values(archived=True).returning(products.c.id)
_ADD = _OF_LIVE.values(stock=products.c.stock + bindparam("pieces", type_=Integer)).returning(*_COLUMNS)
_RESTOCKED = insert(restocks)

_SIGN_OF_LIFE = select(1)
_STOCK = select(
    func.count(),
    func.coalesce(func.sum(products.c.stock), 0),
    func.coalesce(func.sum(case((products.c.stock <= 0, 1), else_=0)), 0),
    func.coalesce(func.sum(case((products.c.stock.between(1, LOW_STOCK), 1), else_=0)), 0),
    func.coalesce(func.sum(type_coerce(products.c.stock * products.c.price, Float)), 0.0),
).where(_ALIVE)
_ORDERS = select(orders.c.status, func.count(), func.coalesce(func.sum(orders.c.total), 0.0)).group_by(orders.c.status)
_LAST_ORDERS = (
    select(orders.c.created_at, orders.c.id, orders.c.status, orders.c.total)
    .order_by(orders.c.id.desc())
    .limit(bindparam("row_limit"))
)
_LAST_RESTOCKS = (
    select(restocks.c.created_at, restocks.c.id, restocks.c.product_id, restocks.c.quantity)
    .order_by(restocks.c.id.desc())
    .limit(bindparam("row_limit"))
)

ProductId = Annotated[int, Path(ge=1, le=ID_MAX)]


class ProductDetails(BaseModel):
    """What can be said and changed about a product."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_MAX, pattern=NO_NUL)
    description: str = Field(default="", max_length=TEXT_MAX, pattern=NO_NUL)
    price: float = Field(ge=0, le=PRICE_MAX, allow_inf_nan=False)


class NewProduct(ProductDetails):
    """What a client sends to create a product."""

    stock: int = Field(default=0, ge=0, le=PIECES_MAX)


class NewProducts(BaseModel):
    """Several products at once."""

    model_config = ConfigDict(strict=True, extra="forbid")

    products: list[NewProduct] = Field(min_length=1, max_length=BULK_MAX)


class Delivery(BaseModel):
    """Pieces that came in."""

    model_config = ConfigDict(strict=True, extra="forbid")

    quantity: int = Field(ge=1, le=PIECES_MAX)


class Product(BaseModel):
    """What a client gets. `stock` in pieces."""

    id: int
    name: str
    description: str
    price: float
    stock: int
    created_at: datetime


class InventoryHealth(BaseModel):
    """That the database answered, and which kind it is."""

    status: Literal["ok"]
    database: str


class InventorySummary(BaseModel):
    """The dashboard's figures. Deleted products do not count; the revenue is that of paid and shipped orders."""

    products: int
    pieces: int
    out_of_stock: int
    low_stock: int
    stock_value: float
    orders: dict[str, int]
    revenue: float


class Activity(BaseModel):
    """Something that happened: an order (with its status and total) or a restock (of a product, in pieces)."""

    kind: Literal["order", "restock"]
    id: int
    at: datetime
    status: str | None = None
    total: float | None = None
    product_id: int | None = None
    quantity: int | None = None


class InventoryProblem(BaseModel):
    """Why there is no such thing."""

    detail: str


_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": InventoryProblem, "description": "There is no such product."}
}
_DOWN: dict[int | str, dict[str, Any]] = {
    503: {"model": InventoryProblem, "description": "The database does not answer."}
}


# --- products -------------------------------------------------------------------------------------------------------


@router.get("/products")
async def list_products(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=ID_MAX)] = 0,
    q: Annotated[str | None, Query(max_length=100, pattern=NO_NUL)] = None,
) -> list[Product]:
    """Return a page in the order of ids, of all products or of those whose name contains `q` (letter case ignored)."""
    statement = _LIST if q is None else _LIST.where(products.c.name.icontains(q, autoescape=True))
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(statement, {"row_limit": limit, "row_offset": offset})).all()
    return [_found(row) for row in rows]


@router.post("/products", status_code=201)
async def create_product(request: Request, product: NewProduct) -> Product:
    """Store a product and return it with its id."""
    async with writing(request) as connection:
        row = (await connection.execute(_CREATE, _values(product))).one()
    return _found(row)


@router.post("/products/bulk", status_code=201)
async def create_products(request: Request, bulk: NewProducts) -> list[Product]:
    """Store up to 100 products, all of them or none; return them in the order of their ids."""
    async with writing(request) as connection:
        # SQLAlchemy makes one INSERT with many rows of it (up to 1,000 of them), which is atomic by itself.
        rows = (await connection.execute(_CREATE, [_values(product) for product in bulk.products])).all()
    return sorted((_found(row) for row in rows), key=lambda product: product.id)


@router.get("/products/{product_id}", responses=_MISSING)
async def get_product(request: Request, product_id: ProductId) -> Product:
    """Return one product; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_GET, {"wanted_id": product_id})).one_or_none()
    return _found(row)


@router.put("/products/{product_id}", responses=_MISSING)
async def change_product(request: Request, product_id: ProductId, product: ProductDetails) -> Product:
    """Replace a product's name, description and price, never its stock; 404 when there is none."""
    values = {"new_name": product.name, "new_description": product.description, "new_price": product.price}
    async with writing(request) as connection:
        row = (await connection.execute(_CHANGE, {"wanted_id": product_id, **values})).one_or_none()
    return _found(row)


@router.delete("/products/{product_id}", status_code=204, responses=_MISSING)
async def delete_product(request: Request, product_id: ProductId) -> Response:
    """Take a product off the list, for good; 404 when there is none. Orders of it stay."""
    async with writing(request) as connection:
        row = (await connection.execute(_ARCHIVE, {"wanted_id": product_id})).one_or_none()
    if row is None:
        raise HTTPException(404, "Product not found")
    return Response(status_code=204)


@router.post("/products/{product_id}/restock", responses=_MISSING)
async def restock_product(request: Request, product_id: ProductId, delivery: Delivery) -> Product:
    """Add pieces to a product's stock; 404 when there is none."""
    async with transaction(request) as connection:
        row = (await connection.execute(_ADD, {"wanted_id": product_id, "pieces": delivery.quantity})).one_or_none()
        product = _found(row)
        await connection.execute(
            _RESTOCKED, {"product_id": product_id, "quantity": delivery.quantity, "created_at": now()}
        )
    return product


# --- the dashboard --------------------------------------------------------------------------------------------------


@router.get("/inventory/health", responses=_DOWN)
async def inventory_health(request: Request) -> InventoryHealth:
    """Ask the database for a sign of life; 503 when there is none."""
    engine = engine_of(request)
    try:
        async with engine.connect() as connection:
            await connection.scalar(_SIGN_OF_LIFE)
    except (SQLAlchemyError, OSError):
        raise HTTPException(503, "The database does not answer") from None
    return InventoryHealth(status="ok", database=engine.dialect.name)


@router.get("/inventory/summary")
async def inventory_summary(request: Request) -> InventorySummary:
    """Return the figures of all products and orders."""
    async with engine_of(request).connect() as connection:
        count, pieces, empty, low, value = (await connection.execute(_STOCK)).one()
        rows = (await connection.execute(_ORDERS)).all()
    by_status = {status: (number, total) for status, number, total in rows}
    # A sum of big integers is a decimal in PostgreSQL.
    return InventorySummary(
        products=count,
        pieces=int(pieces),
        out_of_stock=int(empty),
        low_stock=int(low),
        stock_value=round(float(value), 2),
        orders={status: by_status.get(status, (0, 0.0))[0] for status in (PENDING, PAID, SHIPPED, CANCELLED)},
        revenue=round(sum(by_status.get(status, (0, 0.0))[1] for status in (PAID, SHIPPED)), 2),
    )


@router.get("/inventory/activity")
async def inventory_activity(request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> list[Activity]:
    """Return what happened last, the newest first."""
    async with engine_of(request).connect() as connection:
        ordered = (await connection.execute(_LAST_ORDERS, {"row_limit": limit})).all()
        restocked = (await connection.execute(_LAST_RESTOCKS, {"row_limit": limit})).all()
    events = [
        Activity(kind="order", id=row.id, at=row.created_at, status=row.status, total=row.total) for row in ordered
    ]
    events += [
        Activity(kind="restock", id=row.id, at=row.created_at, product_id=row.product_id, quantity=row.quantity)
        for row in restocked
    ]
    return sorted(events, key=lambda event: event.at, reverse=True)[:limit]


def _values(product: NewProduct) -> dict[str, Any]:
    return {
        "name": product.name,
        "description": product.description,
        "price": product.price,
        "initial_stock": product.stock,
        "stock": product.stock,
        "archived": False,
        "created_at": now(),
    }


def _found(row: Any) -> Product:
    if row is None:
        raise HTTPException(404, "Product not found")
    return Product(id=row[0], name=row[1], description=row[2], price=row[3], stock=row[4], created_at=row[5])
