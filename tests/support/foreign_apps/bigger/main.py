"""An app after FastAPI's tutorial on bigger applications: routers in files of their own, dependencies for all."""

from fastapi import APIRouter, Depends, FastAPI

from . import items, users
from .dependencies import get_query_token, get_token_header

admin = APIRouter()


@admin.post("/")
async def update_admin() -> dict[str, str]:
    """Do something for the administrator."""
    return {"message": "Admin getting schwifty"}


app = FastAPI(dependencies=[Depends(get_query_token)])
app.include_router(users.router)
app.include_router(items.router)
app.include_router(
    admin,
    prefix="/admin",
    tags=["admin"],
    dependencies=[Depends(get_token_header)],
    responses={418: {"description": "I'm a teapot"}},
)


@app.get("/")
async def root() -> dict[str, str]:
    """Say hello."""
    return {"message": "Hello Bigger Applications!"}
