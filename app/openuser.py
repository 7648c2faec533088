"""`/agents` and `/tasks`: what a signed-in user owns. Registration, login and `/me` are in `accounts`.

One statement each, but for a deletion. Pages of agents are kept in memory until their owner's agents change (`cache`).
A page of somebody else's agents cannot be had: the owner is the name in the token, not something a client sends.
"""

from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from .accounts import UNAUTHENTICATED, Refusal, SignedIn, not_authenticated
from .cache import Cache, uncounted
from .database import ID_MAX, NO_NUL, UtcDateTime, engine_of, metadata, now, users

PAGE_MAX = 100
STAMPS_FILE = "agents.stamps"

agents = Table(
    "agents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner_id", Integer, ForeignKey(users.c.id), nullable=False),
    Column("name", String(100), nullable=False),
    Column("description", String(2000), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("agents_of_owner", "owner_id", "id"),
    # Without it SQLite gives the id of the last row away again once that is deleted; PostgreSQL never does.
    sqlite_autoincrement=True,
)
tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True),
    # PostgreSQL cascades for a task that is created while its agent goes. SQLite has one writer, and no such moment.
    Column("agent_id", Integer, ForeignKey(agents.c.id, ondelete="CASCADE"), nullable=False),
    Column("title", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("tasks_of_agent", "agent_id", "id"),
    sqlite_autoincrement=True,
)

_AGENT = (agents.c.id, agents.c.name, agents.c.description, agents.c.created_at)
_TASK = (tasks.c.id, tasks.c.agent_id, tasks.c.title, tasks.c.created_at)
# In the statement itself: no second round trip to ask who somebody is.
_OWNER = select(users.c.id).where(users.c.username == bindparam("owner")).scalar_subquery()
_OWN = (agents.c.id == bindparam("agent")) & (agents.c.owner_id == _OWNER)
_OWN_AGENT = select(agents.c.id).where(_OWN).scalar_subquery()

_LIST = (
    select(*_AGENT)
    .where(agents.c.owner_id == _OWNER)
    .order_by(agents.c.id)
    .limit(bindparam("row_limit"))
    .offset(bindparam("row_offset"))
)
_GET = select(*_AGENT).where(_OWN)
_CREATE = insert(agents).values(owner_id=_OWNER).returning(*_AGENT)
_DELETE = delete(agents).where(_OWN)
_LIST_TASKS = (
    select(*_TASK)
    .join_from(tasks, agents, tasks.c.agent_id == agents.c.id)
    .where(agents.c.owner_id == _OWNER)
    .order_by(tasks.c.id)
    .limit(bindparam("row_limit"))
    .offset(bindparam("row_offset"))
)
_CREATE_TASK = insert(tasks).values(agent_id=_OWN_AGENT).returning(*_TASK)
_DELETE_TASKS = delete(tasks).where(tasks.c.agent_id == _OWN_AGENT)

AgentId = Annotated[int, Path(ge=1, le=ID_MAX)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Offset = Annotated[int, Query(ge=0, le=ID_MAX)]

_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Refusal, "description": "The user has no such agent."}}

router = APIRouter(tags=["openuser"], responses=UNAUTHENTICATED)


class AgentIn(BaseModel):
    """What a client sends."""

    name: str = Field(min_length=1, max_length=100, pattern=NO_NUL)
    description: str = Field(default="", max_length=2000, pattern=NO_NUL)


class AgentOut(BaseModel):
    """What a client gets."""

    id: int
    name: str
    description: str
    created_at: datetime


class TaskIn(BaseModel):
    """What a client sends: work for one of the user's agents."""

    agent_id: int = Field(ge=1, le=ID_MAX)
    title: str = Field(min_length=1, max_length=200, pattern=NO_NUL)


class TaskOut(BaseModel):
    """What a client gets."""

    id: int
    agent_id: int
    title: str
    created_at: datetime


@router.get("/agents")
async def list_agents(request: Request, owner: SignedIn, limit: Limit = 20, offset: Offset = 0) -> list[AgentOut]:
    """Return a page of the user's agents in the order of ids."""

    async def load() -> list[AgentOut]:
        async with engine_of(request).connect() as connection:
            parameters = {"owner": owner, "row_limit": limit, "row_offset": offset}
            rows = (await connection.execute(_LIST, parameters)).all()
        return [_agent(row) for row in rows]

    return await _pages(request).read(owner, (limit, offset), load)


@router.post("/agents", status_code=201)
async def create_agent(request: Request, agent: AgentIn, owner: SignedIn) -> AgentOut:
    """Store an agent of the user's and return it with its id."""
    values = {"owner": owner, "name": agent.name, "description": agent.description, "created_at": now()}
    try:
        async with engine_of(request).connect() as connection:
            row = (await connection.execute(_CREATE, values)).one()
    except IntegrityError:
        # Nobody of that name: the token has outlived the database that its user was in.
        raise not_authenticated() from None
    finally:
        _pages(request).written(owner)
    return _agent(row)


@router.get("/agents/{agent_id}", responses=_MISSING)
async def get_agent(request: Request, agent_id: AgentId, owner: SignedIn) -> AgentOut:
    """Return one of the user's agents; 404 when it is not theirs, whether there is one or not."""
    async with engine_of(request).connect() as connection:
        row = (await connection.execute(_GET, {"agent": agent_id, "owner": owner})).one_or_none()
    if row is None:
        raise _no_agent()
    return _agent(row)


@router.delete("/agents/{agent_id}", status_code=204, responses=_MISSING)
async def delete_agent(request: Request, agent_id: AgentId, owner: SignedIn) -> Response:
    """Delete one of the user's agents and its tasks, both or neither; 404 when it is not theirs."""
    engine = engine_of(request)
    isolation = "READ COMMITTED" if engine.dialect.name == "postgresql" else "SERIALIZABLE"
    parameters = {"agent": agent_id, "owner": owner}
    try:
        async with engine.execution_options(isolation_level=isolation).begin() as connection:
            await connection.execute(_DELETE_TASKS, parameters)
            deleted = (await connection.execute(_DELETE, parameters)).rowcount
    finally:
        _pages(request).written(owner)
    if not deleted:
        raise _no_agent()
    return Response(status_code=204)


@router.get("/tasks")
async def list_tasks(request: Request, owner: SignedIn, limit: Limit = 20, offset: Offset = 0) -> list[TaskOut]:
    """Return a page of the tasks of all of the user's agents, in the order of ids."""
    async with engine_of(request).connect() as connection:
        parameters = {"owner": owner, "row_limit": limit, "row_offset": offset}
        rows = (await connection.execute(_LIST_TASKS, parameters)).all()
    return [_task(row) for row in rows]


@router.post("/tasks", status_code=201, responses=_MISSING)
async def create_task(request: Request, task: TaskIn, owner: SignedIn) -> TaskOut:
    """Give one of the user's agents a task; 404 when the agent is not theirs."""
    values = {"owner": owner, "agent": task.agent_id, "title": task.title, "created_at": now()}
    try:
        async with engine_of(request).connect() as connection:
            row = (await connection.execute(_CREATE_TASK, values)).one()
    except IntegrityError:
        # The agent is NULL, or was deleted between the look and the insert.
        raise _no_agent() from None
    return _task(row)


def _pages(request: Request) -> Cache[list[AgentOut]]:
    """Return the app's cache of listings; made on its first use, by the worker that serves."""
    state = request.app.state
    pages: Cache[list[AgentOut]] | None = getattr(state, "agent_pages", None)
    if pages is None:
        counters = getattr(state, "cache_counters", uncounted)("agents")
        pages = state.agent_pages = Cache(FilePath(state.settings.run_dir) / STAMPS_FILE, counters)
    return pages


def _no_agent() -> HTTPException:
    return HTTPException(404, "Agent not found")


def _agent(row: Any) -> AgentOut:
    return AgentOut(id=row[0], name=row[1], description=row[2], created_at=row[3])


def _task(row: Any) -> TaskOut:
    return TaskOut(id=row[0], agent_id=row[1], title=row[2], created_at=row[3])
