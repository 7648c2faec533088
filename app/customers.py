"""`/customers`: create, get, list, replace, change and delete.

One statement each, as in `items`. An e-mail address belongs to one customer at most: a second one is refused with 409.
Addresses are kept in lower case, so letter case makes no difference. An id is never used again.
"""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Column, Integer, String, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from .database import ID_MAX, NO_NUL, UtcDateTime, engine_of, metadata, now

NAME_MAX, PHONE_MAX = 200, 40
EMAIL_MAX = 254  # RFC 5321 §4.5.3.1.3: 256 octets with the brackets around it

customers = Table(
    "customers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(NAME_MAX), nullable=False),
    Column("email", String(EMAIL_MAX), nullable=False, unique=True),
    Column("phone", String(PHONE_MAX), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # Without it SQLite gives the id of the last row away again once that is deleted; PostgreSQL never does.
    sqlite_autoincrement=True,
)

_COLUMNS = (customers.c.id, customers.c.name, customers.c.email, customers.c.phone, customers.c.created_at)
_GET = select(*_COLUMNS).where(customers.c.id == bindparam("customer_id"))
_LIST = select(*_COLUMNS).order_by(customers.c.id).limit(bindparam("row_limit")).offset(bindparam("row_offset"))
_CREATE = insert(customers).returning(*_COLUMNS)
_CHANGE = update(customers).where(customers.c.id == bindparam("customer_id")).returning(*_COLUMNS)
_DELETE = delete(customers).where(customers.c.id == bindparam("customer_id"))

CustomerId = Annotated[int, Path(ge=1, le=ID_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=NAME_MAX, pattern=NO_NUL)]
# ASCII only, so that lower case is as long.
Email = Annotated[
    str,
    StringConstraints(
        max_length=EMAIL_MAX, to_lower=True, pattern=r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$"
    ),
]
Phone = Annotated[str, Field(max_length=PHONE_MAX, pattern=r"^[0-9 +()./-]*$")]

router = APIRouter(tags=["customers"])


class CustomerIn(BaseModel):
    """What a client sends."""

    name: Name
    email: Email
    phone: Phone = ""


class CustomerChange(BaseModel):
    """What a client sends to change some fields. What is left out stays; `null` is no value."""

    # What a factory makes is never looked at; a plain default would be shown in the API's document.
    name: Name = Field(default_factory=str)
    email: Email = Field(default_factory=str)
    phone: Phone = Field(default_factory=str)


class CustomerOut(BaseModel):
    """What a client gets."""

    id: int
    name: str
    email: str
    phone: str
    created_at: datetime


class CustomerProblem(BaseModel):
    """Why there is no customer to return."""

    detail: str


_MISSING: dict[int | str, dict[str, Any]] = {
    404: {"model": CustomerProblem, "description": "There is no such customer."}
}
_TAKEN: dict[int | str, dict[str, Any]] = {
    409: {"model": CustomerProblem, "description": "Another customer has this e-mail address."}
}


@router.get("/customers/{customer_id}", responses=_MISSING)
async def get_customer(request: Request, customer_id: CustomerId) -> CustomerOut:
    """Return one customer; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_GET, {"customer_id": customer_id})).one_or_none()
    return _found(row)


@router.post("/customers", status_code=201, responses=_TAKEN)
@router.post("/customers/", status_code=201, include_in_schema=False)
async def create_customer(request: Request, customer: CustomerIn) -> CustomerOut:
    """Store a customer and return it with its id; 409 when another one has the e-mail address."""
    try:
        async with engine_of(request).connect() as connection:
            row = (await connection.execute(_CREATE, {**customer.model_dump(), "created_at": now()})).one()
    except IntegrityError:
        raise _taken() from None
    return _found(row)


@router.get("/customers")
@router.get("/customers/", include_in_schema=False)
async def list_customers(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    offset: Annotated[int, Query(ge=0, le=ID_MAX)] = 0,
) -> list[CustomerOut]:
    """Return a page of customers in the order of ids; an empty one behind the last."""
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(_LIST, {"row_limit": limit, "row_offset": offset})).all()
    return [_found(row) for row in rows]


@router.put("/customers/{customer_id}", responses={**_MISSING, **_TAKEN})
async def replace_customer(request: Request, customer_id: CustomerId, customer: CustomerIn) -> CustomerOut:
    """Replace a customer's data; 404 when there is none, 409 when another one has the e-mail address."""
    return await _changed(request, customer_id, customer.model_dump())


@router.patch("/customers/{customer_id}", responses={**_MISSING, **_TAKEN})
async def change_customer(request: Request, customer_id: CustomerId, change: CustomerChange) -> CustomerOut:
    """Change the fields that are sent; 404 when there is no such customer, 409 when another one has the address."""
    values = change.model_dump(exclude_unset=True)
    # An UPDATE sets at least one column.
    return await (_changed(request, customer_id, values) if values else get_customer(request, customer_id))


@router.delete("/customers/{customer_id}", status_code=204, responses=_MISSING)
async def delete_customer(request: Request, customer_id: CustomerId) -> Response:
    """Delete a customer; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        deleted = (await connection.execute(_DELETE, {"customer_id": customer_id})).rowcount
    if not deleted:
        raise HTTPException(404, "Customer not found")
    return Response(status_code=204)


async def _changed(request: Request, customer_id: int, values: dict[str, Any]) -> CustomerOut:
    try:
        async with engine_of(request).connect() as connection:
            # Fetched in the one statement that writes: no race, and no lock held between two round trips.
            row = (await connection.execute(_CHANGE.values(**values), {"customer_id": customer_id})).one_or_none()
    except IntegrityError:
        raise _taken() from None
    return _found(row)


def _taken() -> HTTPException:
    return HTTPException(409, "E-mail address already taken")


def _found(row: Any) -> CustomerOut:
    if row is None:
        raise HTTPException(404, "Customer not found")
    return CustomerOut(id=row[0], name=row[1], email=row[2], phone=row[3], created_at=row[4])
