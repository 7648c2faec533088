"""Routes of users: nobody is ever added."""

from fastapi import APIRouter

router = APIRouter(tags=["users"])


@router.get("/users/")
async def read_users() -> list[dict[str, str]]:
    """List everybody."""
    return [{"username": "Rick"}, {"username": "Morty"}]


@router.get("/users/me")
async def read_user_me() -> dict[str, str]:
    """Say who the caller is."""
    return {"username": "fakecurrentuser"}


@router.get("/users/{username}")
async def read_user(username: str) -> dict[str, str]:
    """Return one."""
    return {"username": username}
