"""An app after FastAPI's tutorial on SQL databases, and its longer form with teams: tables, and models for each way."""

import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_engine(
    f"sqlite:///{os.environ.get('HEROES_FILE', 'heroes.db')}", connect_args={"check_same_thread": False}
)


class Base(DeclarativeBase):
    """All tables."""


class Team(Base):
    """A table."""

    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    headquarters: Mapped[str]


class Hero(Base):
    """A table."""

    __tablename__ = "hero"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    age: Mapped[int | None] = mapped_column(index=True)
    secret_name: Mapped[str]
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))


class TeamIn(BaseModel):
    """A new team."""

    name: str = Field(min_length=1, max_length=40)
    headquarters: str


class TeamOut(TeamIn):
    """A team."""

    model_config = ConfigDict(from_attributes=True)
    id: int


class HeroBase(BaseModel):
    """What everybody may know."""

    name: str
    age: int | None = Field(default=None, ge=0, le=200)
    team_id: int | None = None


class HeroIn(HeroBase):
    """A new hero."""

    secret_name: str


class HeroPatch(BaseModel):
    """A change."""

    name: str | None = None
    age: int | None = Field(default=None, ge=0, le=200)
    secret_name: str | None = None


class HeroOut(HeroBase):
    """A hero."""

    model_config = ConfigDict(from_attributes=True)
    id: int


class MissionIn(BaseModel):
    """What a team is sent to; it must be there."""

    team_id: int
    title: str = Field(max_length=60)


def session() -> Iterator[Session]:
    """Lend a session to one request."""
    with Session(engine) as one:
        yield one


Base.metadata.create_all(engine)
Db = Annotated[Session, Depends(session)]
app = FastAPI(title="Heroes", version="1.2")


@app.post("/teams/", status_code=201)
def create_team(team: TeamIn, db: Db) -> TeamOut:
    """Found a team."""
    row = Team(**team.model_dump())
    db.add(row)
    db.commit()
    return TeamOut.model_validate(row)


@app.get("/teams/{team_id}")
def read_team(team_id: int, db: Db) -> TeamOut:
    """Return a team."""
    row = db.get(Team, team_id)
    if row is None:
        raise HTTPException(404, "Team not found")
    return TeamOut.model_validate(row)


@app.post("/missions", status_code=204)
def start_mission(mission: MissionIn, db: Db) -> None:
    """Send a team somewhere; 404 for one that is not there."""
    if db.get(Team, mission.team_id) is None:
        raise HTTPException(404, "Team not found")


@app.post("/heroes/")
def create_hero(hero: HeroIn, db: Db) -> HeroOut:
    """Enlist a hero."""
    row = Hero(**hero.model_dump())
    db.add(row)
    db.commit()
    return HeroOut.model_validate(row)


@app.get("/heroes/")
def read_heroes(db: Db, offset: int = 0, limit: Annotated[int, Query(le=100)] = 100) -> list[HeroOut]:
    """List heroes."""
    rows = db.scalars(select(Hero).offset(offset).limit(limit))
    return [HeroOut.model_validate(row) for row in rows]


def known_hero(hero_id: int, db: Db) -> Hero:
    """Return a hero; 404 for none."""
    row = db.get(Hero, hero_id)
    if row is None:
        raise HTTPException(404, "Hero not found")
    return row


@app.get("/heroes/{hero_id}")
def read_hero(hero: Annotated[Hero, Depends(known_hero)]) -> HeroOut:
    """Return a hero."""
    return HeroOut.model_validate(hero)


@app.patch("/heroes/{hero_id}")
def update_hero(hero: Annotated[Hero, Depends(known_hero)], patch: HeroPatch, db: Db) -> HeroOut:
    """Change a hero."""
    for name, value in patch.model_dump(exclude_unset=True).items():
        setattr(hero, name, value)
    db.commit()
    return HeroOut.model_validate(hero)


@app.delete("/heroes/{hero_id}")
def delete_hero(hero: Annotated[Hero, Depends(known_hero)], db: Db) -> dict[str, bool]:
    """Dismiss a hero."""
    db.delete(hero)
    db.commit()
    return {"ok": True}


@app.get("/heroes", deprecated=True)
def read_heroes_the_old_way() -> list[HeroOut]:
    """List nobody any more."""
    return []
