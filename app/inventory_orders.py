"""`/orders` of the inventory: create with one or several lines, read, pay, ship, cancel.

An order takes its stock and is written in one transaction: no stock is sold twice, and none is lost by an order that
fails. What guards the stock is the condition of the UPDATE, not a look before it.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, Integer, Update, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from .database import ID_MAX, NO_NUL, engine_of, now
from .inventory_tables import (
    CANCELLED,
    NAME_MAX,
    PAID,
    PENDING,
    SHIPPED,
    order_lines,
    orders,
    products,
    transaction,
    writing,
)

if TYPE_CHECKING:
    from .faults import Active

LINES_MAX = 20
LINE_PIECES_MAX = 10_000

OrderId = Annotated[int, Path(ge=1, le=ID_MAX)]
Status = Literal["pending", "paid", "shipped", "cancelled"]
Seen = dict[int, tuple[int, float]]
"""Product -> (pieces in stock, price)."""

_WANTED = bindparam("wanted_id", type_=Integer)
_PIECES = bindparam("pieces", type_=Integer)
_THIS = products.c.id == _WANTED
_ALIVE = products.c.archived.is_(False)
_TAKE = (
    update(products)
    .where(_THIS, _ALIVE, products.c.stock >= _PIECES)
    .values(stock=products.c.stock - _PIECES)
    .returning(products.c.price)
)
_GIVE_BACK = update(products).where(_THIS).values(stock=products.c.stock + _PIECES)
_SEE = select(products.c.stock, products.c.price).where(_THIS, _ALIVE)
_OVERWRITE = update(products).where(_THIS).values(stock=bindparam("left_over", type_=BigInteger))

_HEAD = (orders.c.id, orders.c.customer, orders.c.status, orders.c.total, orders.c.created_at)
_ORDER = insert(orders).returning(orders.c.id)
_LINES = insert(order_lines)
_STATUS = select(orders.c.status).where(orders.c.id == _WANTED)
_GET = (
    select(*_HEAD, order_lines.c.product_id, order_lines.c.quantity, order_lines.c.unit_price)
    .join_from(orders, order_lines, order_lines.c.order_id == orders.c.id)
    .where(orders.c.id == _WANTED)
    .order_by(order_lines.c.id)
)
_LIST = select(*_HEAD).order_by(orders.c.id.desc()).limit(bindparam("row_limit")).offset(bindparam("row_offset"))
_LIST_SOME = _LIST.where(orders.c.status == bindparam("wanted_status"))
# By product, so that two that touch the same products never wait for each other crosswise.
_TAKEN = (
    select(order_lines.c.product_id, order_lines.c.quantity)
    .where(order_lines.c.order_id == _WANTED)
    .order_by(order_lines.c.product_id)
)


def _step(to: str, *since: str) -> Update:
    """Return the statement that moves an order on, if it stands where it can be moved from."""
    return update(orders).where(orders.c.id == _WANTED, orders.c.status.in_(since)).values(status=to).returning(*_HEAD)


_PAY = _step(PAID, PENDING)
_SHIP = _step(SHIPPED, PAID)
_CANCEL = _step(CANCELLED, PENDING, PAID)

router = APIRouter(tags=["inventory"])


class LineRequest(BaseModel):
    """So many pieces of a product."""

    model_config = ConfigDict(strict=True, extra="forbid")

    product_id: int = Field(ge=1, le=ID_MAX)
    quantity: int = Field(ge=1, le=LINE_PIECES_MAX)


class OrderRequest(BaseModel):
    """What a client sends. Several lines of one product are one line of their sum."""

    model_config = ConfigDict(strict=True, extra="forbid")

    customer: str = Field(default="guest", min_length=1, max_length=NAME_MAX, pattern=NO_NUL)
    lines: list[LineRequest] = Field(min_length=1, max_length=LINES_MAX)


class OrderLine(BaseModel):
    """What was ordered of a product, at the price of that moment."""

    product_id: int
    quantity: int
    unit_price: float


class OrderHead(BaseModel):
    """An order without its lines."""

    id: int
    customer: str
    status: Status
    total: float
    created_at: datetime


class Order(OrderHead):
    """An order."""

    lines: list[OrderLine]


class OrderProblem(BaseModel):
    """Why it cannot be done."""

    detail: str


def _problem(description: str) -> dict[str, Any]:
    return {"model": OrderProblem, "description": description}


_MISSING: dict[int | str, dict[str, Any]] = {404: _problem("There is no such order.")}
_STUCK: dict[int | str, dict[str, Any]] = {409: _problem("The order is at a point from which this cannot be done.")}
_SOLD_OUT: dict[int | str, dict[str, Any]] = {
    404: _problem("There is no such product."),
    409: _problem("A product is out of stock; nothing was ordered."),
}


@router.post("/orders", status_code=201, responses=_SOLD_OUT)
async def create_order(request: Request, order: OrderRequest) -> Order:
    """Order one or several products, all of them or none; 404 for an unknown one, 409 when one is out of stock."""
    wanted = _wanted(order.lines)
    faults: Active = request.app.state.faults
    if faults.stock_gap is not None:
        return await _create_racily(request, order, wanted, partial(faults.stock_gap, faults.severity))
    async with transaction(request) as connection:
        prices = {product_id: await _take(connection, product_id, pieces) for product_id, pieces in wanted.items()}
        return await _write(connection, order.customer, wanted, prices)


@router.get("/orders")
async def list_orders(
    request: Request,
    status: Annotated[Status | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=ID_MAX)] = 0,
) -> list[OrderHead]:
    """Return a page of orders without their lines, the newest first; with `status` those that stand there."""
    parameters: dict[str, Any] = {"row_limit": limit, "row_offset": offset}
    statement = _LIST
    if status is not None:
        statement = _LIST_SOME
        parameters["wanted_status"] = status
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(statement, parameters)).all()
    return [_head(row) for row in rows]


@router.get("/orders/{order_id}", responses=_MISSING)
async def get_order(request: Request, order_id: OrderId) -> Order:
    """Return one order with its lines; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(_GET, {"wanted_id": order_id})).all()
    if not rows:
        raise HTTPException(404, "Order not found")
    lines = [OrderLine(product_id=row.product_id, quantity=row.quantity, unit_price=row.unit_price) for row in rows]
    return Order(**_head(rows[0]).model_dump(), lines=lines)


@router.post("/orders/{order_id}/pay", responses={**_MISSING, **_STUCK})
async def pay_order(request: Request, order_id: OrderId) -> OrderHead:
    """Pay a pending order; 404 when there is none, 409 when it is not pending."""
    return await _moved(request, _PAY, order_id)


@router.post("/orders/{order_id}/ship", responses={**_MISSING, **_STUCK})
async def ship_order(request: Request, order_id: OrderId) -> OrderHead:
    """Ship a paid order; 404 when there is none, 409 when it is not paid."""
    return await _moved(request, _SHIP, order_id)


@router.post("/orders/{order_id}/cancel", responses={**_MISSING, **_STUCK})
async def cancel_order(request: Request, order_id: OrderId) -> OrderHead:
    """Cancel an order that is not shipped and put its pieces back; 404 when there is none, 409 when it is too late."""
    async with transaction(request) as connection:
        row = (await connection.execute(_CANCEL, {"wanted_id": order_id})).one_or_none()
        if row is None:
            raise await _stuck(connection, order_id)
        for product_id, pieces in (await connection.execute(_TAKEN, {"wanted_id": order_id})).all():
            await connection.execute(_GIVE_BACK, {"wanted_id": product_id, "pieces": pieces})
    return _head(row)


# --- taking stock ---------------------------------------------------------------------------------------------------


def _wanted(lines: Iterable[LineRequest]) -> dict[int, int]:
    """Return the pieces of each product, in the order of their ids.

    All orders lock their products in this order, so no two of them wait for each other (PostgreSQL would kill one).
    """
    pieces: dict[int, int] = {}
    for line in lines:
        pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    return dict(sorted(pieces.items()))


async def _take(connection: AsyncConnection, product_id: int, pieces: int) -> float:
    """Take pieces if there are as many, in the one statement that looks; return the price of one.

    A second buyer waits here until the first has committed, and its condition is then held against what is left.
    """
    price = await connection.scalar(_TAKE, {"wanted_id": product_id, "pieces": pieces})
    if price is None:
        raise _refusal(product_id, (await connection.execute(_SEE, {"wanted_id": product_id})).one_or_none())
    return float(price)


async def _create_racily(
    request: Request, order: OrderRequest, wanted: dict[int, int], wait: Callable[[], Awaitable[None]]
) -> Order:
    """Read the stock, wait, and write back what was read less what is taken: the fault `overselling`.

    Who reads in between reads the same stock. A transaction around it would change nothing at READ COMMITTED.
    """
    seen: Seen = {}
    async with engine_of(request).connect() as connection:
        for product_id, pieces in wanted.items():
            row = (await connection.execute(_SEE, {"wanted_id": product_id})).one_or_none()
            if row is None or row.stock < pieces:
                raise _refusal(product_id, row)
            seen[product_id] = (row.stock, row.price)
    await wait()
    async with transaction(request) as connection:
        for product_id, pieces in wanted.items():
            left = seen[product_id][0] - pieces
            await connection.execute(_OVERWRITE, {"wanted_id": product_id, "left_over": left})
        prices = {product_id: price for product_id, (_, price) in seen.items()}
        return await _write(connection, order.customer, wanted, prices)


async def _write(connection: AsyncConnection, customer: str, wanted: dict[int, int], prices: dict[int, float]) -> Order:
    """Write the order whose pieces were taken."""
    total = round(sum(pieces * prices[product_id] for product_id, pieces in wanted.items()), 2)
    head: dict[str, Any] = {"customer": customer, "status": PENDING, "total": total, "created_at": now()}
    order_id = (await connection.execute(_ORDER, head)).scalar_one()
    lines: list[dict[str, Any]] = [
        {"product_id": product_id, "quantity": pieces, "unit_price": prices[product_id]}
        for product_id, pieces in wanted.items()
    ]
    await connection.execute(_LINES, [{"order_id": order_id, **line} for line in lines])
    return Order(id=order_id, lines=[OrderLine(**line) for line in lines], **head)


def _refusal(product_id: int, row: Any) -> HTTPException:
    if row is None:
        return HTTPException(404, f"Product {product_id} not found")
    return HTTPException(409, f"Product {product_id} is out of stock")


# --- moving on ------------------------------------------------------------------------------------------------------


async def _moved(request: Request, step: Update, order_id: int) -> OrderHead:
    async with writing(request) as connection:
        row = (await connection.execute(step, {"wanted_id": order_id})).one_or_none()
        if row is None:
            raise await _stuck(connection, order_id)
    return _head(row)


async def _stuck(connection: AsyncConnection, order_id: int) -> HTTPException:
    """Say why an order cannot be moved on."""
    status = await connection.scalar(_STATUS, {"wanted_id": order_id})
    return HTTPException(404, "Order not found") if status is None else HTTPException(409, f"The order is {status}")


def _head(row: Any) -> OrderHead:
    return OrderHead(id=row[0], customer=row[1], status=row[2], total=row[3], created_at=row[4])
