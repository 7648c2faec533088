"""An app after FastAPI's tutorial on OAuth2 with passwords, hashes and JSON web tokens: one login, two locked pages.

Like everything in this folder it is written as its readers would write their own; nothing in it knows of a load.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import BaseModel

SIGNING_KEY = "0123456789abcdef0123456789abcdef"
ALGORITHM = "HS256"
TOKEN_LASTS = timedelta(minutes=30)


class Token(BaseModel):
    """What a login answers."""

    access_token: str
    token_type: str


class User(BaseModel):
    """What is told about a user."""

    username: str
    email: str | None = None
    full_name: str | None = None
    disabled: bool | None = None


class StoredUser(User):
    """What is kept of one."""

    hashed_password: str


hashes = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1),))
users = {
    "johndoe": StoredUser(
        username="johndoe",
        full_name="John Doe",
        email="johndoe@example.com",
        disabled=False,
        hashed_password=hashes.hash("secret"),
    )
}
bearer = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


def current_user(token: Annotated[str, Depends(bearer)]) -> StoredUser:
    """Return whose token it is; 401 for a token of nobody."""
    refusal = HTTPException(
        status.HTTP_401_UNAUTHORIZED, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}
    )
    try:
        name = jwt.decode(token, SIGNING_KEY, algorithms=[ALGORITHM]).get("sub")
    except jwt.InvalidTokenError:
        raise refusal from None
    if name not in users:
        raise refusal
    return users[name]


def active_user(user: Annotated[StoredUser, Depends(current_user)]) -> StoredUser:
    """Return the user whose token it is, unless that one is locked out."""
    if user.disabled:
        raise HTTPException(400, "Inactive user")
    return user


@app.post("/token")
def login_for_access_token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> Token:
    """Give a token for a name and a password."""
    user = users.get(form.username)
    if user is None or not hashes.verify(form.password, user.hashed_password):
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Bearer"})
    claims = {"sub": user.username, "exp": datetime.now(UTC) + TOKEN_LASTS}
    return Token(access_token=jwt.encode(claims, SIGNING_KEY, algorithm=ALGORITHM), token_type="bearer")


@app.get("/users/me/")
def read_users_me(user: Annotated[StoredUser, Depends(active_user)]) -> User:
    """Say who the caller is."""
    return User(**user.model_dump(exclude={"hashed_password"}))


@app.get("/users/me/items/")
def read_own_items(user: Annotated[StoredUser, Depends(active_user)]) -> list[dict[str, str]]:
    """List what the caller owns."""
    return [{"item_id": "Foo", "owner": user.username}]
