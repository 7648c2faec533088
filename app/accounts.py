"""`/register`, `/login` and `/me`: argon2 passwords and signed tokens."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import jwt
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel, Field
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError

from .database import NO_NUL, engine_of, now, users
from .settings import Settings

ALGORITHM = "HS256"
# OWASP Password Storage Cheat Sheet, Argon2id: at least 19 MiB of memory, 2 iterations, 1 degree of parallelism.
_PASSWORDS = PasswordHash((Argon2Hasher(memory_cost=19 * 1024, time_cost=2, parallelism=1),))
# Checked when the user is unknown, so that the answer takes as long as for a known one.
_NOBODY = _PASSWORDS.hash("nobody's password")

_BY_NAME = select(users.c.username, users.c.password_hash, users.c.created_at).where(
    users.c.username == bindparam("name")
)
_bearer = HTTPBearer(auto_error=False)

router = APIRouter(tags=["accounts"])


class Credentials(BaseModel):
    """A user's name and password. The limit on the password's length bounds the work of hashing it."""

    username: str = Field(min_length=1, max_length=150, pattern=NO_NUL)
    password: str = Field(min_length=8, max_length=128)


class Token(BaseModel):
    """A bearer token."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the type of token, RFC 6750


class User(BaseModel):
    """What is told about a user."""

    username: str
    created_at: datetime


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


UNAUTHENTICATED: dict[int | str, dict[str, Any]] = {401: {"model": Refusal, "description": "There is no valid token."}}
_TAKEN: dict[int | str, dict[str, Any]] = {409: {"model": Refusal, "description": "The name is taken."}}
_WRONG: dict[int | str, dict[str, Any]] = {401: {"model": Refusal, "description": "The name or the password is wrong."}}


def hash_password(password: str) -> str:
    """Hash with argon2id; about 20 ms of CPU and 19 MiB, so never on the event loop."""
    return _PASSWORDS.hash(password)


@router.post("/register", status_code=201, responses=_TAKEN)
async def register(request: Request, credentials: Credentials) -> User:
    """Create a user; 409 when the name is taken."""
    # argon2 releases the interpreter lock: in a thread, the loop goes on serving.
    hashed = await run_in_threadpool(hash_password, credentials.password)
    created = now()
    try:
        async with engine_of(request).connect() as connection:
            await connection.execute(
                insert(users), {"username": credentials.username, "password_hash": hashed, "created_at": created}
            )
    except IntegrityError:
        raise HTTPException(409, "Username already taken") from None
    return User(username=credentials.username, created_at=created)


@router.post("/login", responses=_WRONG)
async def login(request: Request, credentials: Credentials) -> Token:
    """Return a token; 401 when the name or the password is wrong, without saying which."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_BY_NAME, {"name": credentials.username})).one_or_none()
    hashed = _NOBODY if row is None else row.password_hash
    correct = await run_in_threadpool(_PASSWORDS.verify, credentials.password, hashed)
    if row is None or not correct:
        raise HTTPException(401, "Wrong username or password")
    return Token(access_token=make_token(request.app.state.settings, row.username))


async def signed_in(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> str:
    """Return the name in the bearer token; 401 without a valid one. The signature is proof enough: no statement."""
    name = read_token(request.app.state.settings, bearer.credentials) if bearer else None
    if name is None:
        raise not_authenticated()
    return name


def not_authenticated() -> HTTPException:
    """Return the refusal of whoever shows no valid token."""
    return HTTPException(401, "Not authenticated", {"WWW-Authenticate": "Bearer"})


SignedIn = Annotated[str, Depends(signed_in)]
"""For routes: the name of the user who asks."""


@router.get("/me", responses=UNAUTHENTICATED)
async def me(request: Request, name: SignedIn) -> User:
    """Return the user a bearer token was made for; 401 without a valid one."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_BY_NAME, {"name": name})).one_or_none()
    if row is None:
        raise not_authenticated()
    return User(username=row.username, created_at=row.created_at)


def make_token(settings: Settings, username: str) -> str:
    """Sign a token for `username` that expires after `settings.token_lifetime_s`."""
    expires = now() + timedelta(seconds=settings.token_lifetime_s)
    return jwt.encode({"sub": username, "exp": expires}, settings.jwt_secret.get_secret_value(), algorithm=ALGORITHM)


def read_token(settings: Settings, token: str) -> str | None:
    """Return the username in a token, or None when it is forged, expired or incomplete."""
    try:
        claims = jwt.decode(
            token,
            settings.jwt_secret.get_secret_value(),
            algorithms=[ALGORITHM],
            options={"require": ["sub", "exp"]},
        )
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"])
