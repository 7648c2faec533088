"""`/petstore`: pets, orders, users and a login, as in Swagger's petstore: clients number the users, a pet is sold once.

Both conflicts are decided by a constraint in the one statement that writes: nothing is looked up first, so nothing can
happen between looking and writing, however many clients want the same.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table, bindparam, insert, or_, select
from sqlalchemy.exc import IntegrityError

from .database import ID_MAX, NO_NUL, UtcDateTime, engine_of, metadata, now

USER_ID_MAX = 2**63 - 1  # int64, as in Swagger's petstore

pets = Table(
    "petstore_pets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("category", String(100), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
orders = Table(
    "petstore_orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pet_id", Integer, ForeignKey(pets.c.id), nullable=False, unique=True),  # one order per pet
    Column("quantity", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
users = Table(
    "petstore_users",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("username", String(150), nullable=False, unique=True),
    Column("password_hash", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

_CREATE_PET = insert(pets).returning(pets.c.id)
_PET = (
    select(pets.c.id, pets.c.name, pets.c.category, pets.c.created_at, orders.c.id.is_not(None).label("ordered"))
    .select_from(pets.outerjoin(orders, orders.c.pet_id == pets.c.id))
    .where(pets.c.id == bindparam("pet"))
)
# No row without the pet, and the constraint's error for a pet that is taken: one statement tells the three cases apart.
_ORDER = (
    insert(orders)
    .from_select(
        ["pet_id", "quantity", "created_at"],
        select(pets.c.id, bindparam("pieces", type_=Integer), bindparam("moment", type_=UtcDateTime)).where(
            pets.c.id == bindparam("pet")
        ),
    )
    .returning(orders.c.id, orders.c.pet_id, orders.c.quantity, orders.c.created_at)
)
_CREATE_USER = insert(users)
_TAKEN = select(users.c.id, users.c.username).where(
    or_(users.c.id == bindparam("number"), users.c.username == bindparam("name"))
)
_BY_NAME = select(users.c.id, users.c.password_hash).where(users.c.username == bindparam("name"))

router = APIRouter(prefix="/petstore", tags=["petstore"])


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


NOT_FOUND: dict[str, Any] = {"model": Problem, "description": "There is no such pet"}
TAKEN: dict[str, Any] = {"model": Problem, "description": "Somebody was first; the detail names the conflict"}
REFUSED: dict[str, Any] = {"model": Problem, "description": "The username or the password is wrong"}


class PetIn(BaseModel):
    """What a client sends of a pet."""

    model_config = ConfigDict(strict=True)

    name: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    category: str = Field(default="", max_length=100, pattern=NO_NUL)


class PetOut(BaseModel):
    """A pet, and whether it can still be ordered."""

    id: int
    name: str
    category: str
    status: Literal["available", "ordered"]
    created_at: datetime


class OrderIn(BaseModel):
    """What a client sends to order a pet."""

    model_config = ConfigDict(strict=True)

    pet_id: int = Field(ge=1, le=ID_MAX)
    quantity: int = Field(default=1, ge=1, le=100)


class OrderOut(BaseModel):
    """An order."""

    id: int
    pet_id: int
    quantity: int
    created_at: datetime


class UserIn(BaseModel):
    """What a client sends to create a user; it chooses the id."""

    model_config = ConfigDict(strict=True)

    id: int = Field(ge=1, le=USER_ID_MAX)
    username: str = Field(min_length=1, max_length=150, pattern=NO_NUL)
    password: str = Field(min_length=1, max_length=128)


class UserOut(BaseModel):
    """What is told about a user."""

    id: int
    username: str
    created_at: datetime


class LoginIn(BaseModel):
    """What a client sends to log in."""

    model_config = ConfigDict(strict=True)

    username: str = Field(min_length=1, max_length=150, pattern=NO_NUL)
    password: str = Field(min_length=1, max_length=128)


class SessionOut(BaseModel):
    """A login. Like Swagger's petstore this one names a session, and asks for it nowhere."""

    user_id: int
    session: str


@router.post("/pets", status_code=201)
async def create_pet(request: Request, pet: PetIn) -> PetOut:
    """Store a pet and return it with its id."""
    created = now()
    values = {"name": pet.name, "category": pet.category, "created_at": created}
    async with engine_of(request).connect() as connection:
        pet_id = (await connection.execute(_CREATE_PET, values)).scalar_one()
    return PetOut(id=pet_id, name=pet.name, category=pet.category, status="available", created_at=created)


@router.get("/pets/{pet_id}", responses={404: NOT_FOUND})
async def get_pet(request: Request, pet_id: Annotated[int, Path(ge=1, le=ID_MAX)]) -> PetOut:
    """Return one pet; 404 when there is none."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_PET, {"pet": pet_id})).one_or_none()
    if row is None:
        raise HTTPException(404, f"There is no pet {pet_id}")
    status: Literal["available", "ordered"] = "ordered" if row.ordered else "available"
    return PetOut(id=row.id, name=row.name, category=row.category, status=status, created_at=row.created_at)


@router.post("/orders", status_code=201, responses={404: NOT_FOUND, 409: TAKEN})
async def order_pet(request: Request, order: OrderIn) -> OrderOut:
    """Order a pet: the first client gets it, every other one a 409."""
    values = {"pet": order.pet_id, "pieces": order.quantity, "moment": now()}
    try:
        async with engine_of(request).connect() as connection:
            row = (await connection.execute(_ORDER, values)).one_or_none()
    except IntegrityError:
        raise HTTPException(409, f"Pet {order.pet_id} is already ordered") from None
    if row is None:
        raise HTTPException(404, f"There is no pet {order.pet_id}")
    return OrderOut(id=row.id, pet_id=row.pet_id, quantity=row.quantity, created_at=row.created_at)


@router.post("/users", status_code=201, responses={409: TAKEN})
async def create_user(request: Request, user: UserIn) -> UserOut:
    """Create a user under the id that the client chose; 409 when the id or the username is taken."""
    created = now()
    values = {
        "id": user.id,
        "username": user.username,
        "password_hash": _hashed(user.password, user.id),
        "created_at": created,
    }
    try:
        async with engine_of(request).connect() as connection:
            await connection.execute(_CREATE_USER, values)
    except IntegrityError:
        raise HTTPException(409, await _conflict(request, user)) from None
    return UserOut(id=user.id, username=user.username, created_at=created)


@router.post("/login", responses={401: REFUSED})
async def login(request: Request, credentials: LoginIn) -> SessionOut:
    """Log a user in; 401 when the name or the password is wrong, without saying which."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_BY_NAME, {"name": credentials.username})).one_or_none()
    user_id, kept = (USER_ID_MAX, "") if row is None else (row.id, row.password_hash)
    if not hmac.compare_digest(_hashed(credentials.password, user_id), kept) or row is None:
        raise HTTPException(401, "Wrong username or password")
    return SessionOut(user_id=user_id, session=secrets.token_hex(16))


async def _conflict(request: Request, user: UserIn) -> str:
    """Name what is taken; only a request that was refused pays for the question."""
    async with engine_of(request).connect() as connection:
        rows = (await connection.execute(_TAKEN, {"number": user.id, "name": user.username})).all()
    taken = [f"id {user.id}"] if any(row.id == user.id for row in rows) else []
    taken += [f"username {user.username!r}"] if any(row.username == user.username for row in rows) else []
    return f"User {' and '.join(taken) or 'id or username'} already taken"


def _hashed(password: str, user_id: int) -> str:
    """Hash once, salted with the id: a login of 2 ms is what the load needs. `accounts` shows how to keep passwords."""
    return hashlib.blake2b(password.encode(), salt=user_id.to_bytes(8, "big"), digest_size=32).hexdigest()
