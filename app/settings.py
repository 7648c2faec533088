"""Settings of the reference app, read from the environment and checked before anything starts.

Names are `PINCHPOINT_APP_<FIELD>`; the database also answers to `DATABASE_URL`. A bad value ends the process with one
sentence that names the variable.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from .faults import DEFECTS, FAULTS

PREFIX = "PINCHPOINT_APP_"
SECRET_BYTES_MIN = 32  # RFC 7518 §3.2: a key for HS256 is at least as long as its hash output.

_OTHER_NAMES = {f"{PREFIX}DATABASE_URL": "DATABASE_URL", f"{PREFIX}WORKERS": "WEB_CONCURRENCY"}
_ASYNC_DRIVERS = {
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}


def async_database_url(url: str) -> str:
    """Return `url` with an async driver; raise ValueError for what this app cannot talk to."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise ValueError("is not a database URL such as postgresql://user:password@host/name") from None
    driver = _ASYNC_DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError(f"names {parsed.drivername!r}; use sqlite or postgresql")
    if driver.startswith("sqlite") and parsed.database in {None, "", ":memory:"}:
        raise ValueError("must name a file: workers cannot share a database in memory")
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
        raise ValueError(f"must be at least {SECRET_BYTES_MIN} bytes long")
    return secret


class Settings(BaseSettings):
    """What the app can be told. Times in seconds, sizes in connections unless named otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, hide_input_in_errors=True)

    run_dir: str = Field(min_length=1)
    jwt_secret: Annotated[SecretStr, AfterValidator(_long_enough)]
    token_lifetime_s: int = Field(default=3600, ge=1)
    database_url: str | None = Field(
        default=None, validation_alias=AliasChoices(f"{PREFIX}DATABASE_URL", "DATABASE_URL")
    )
    pool_size: int = Field(default=5, ge=1)
    max_overflow: int = Field(default=0, ge=0)
    pool_timeout_s: float = Field(default=30.0, gt=0)
    metrics: bool = True
    fault: Annotated[tuple[str, ...], NoDecode] = ()
    fault_severity: float = Field(default=1.0, gt=0, le=1000)

    # Read by gunicorn_conf.py.
    workers: int = Field(default=1, ge=1, validation_alias=AliasChoices(f"{PREFIX}WORKERS", "WEB_CONCURRENCY"))
    worker_class: str | None = None
    threads: int = Field(default=1, ge=1)
    backlog: int = Field(default=2048, ge=1)
    timeout_s: int = Field(default=30, ge=0)
    bind: str = "127.0.0.1:8000"
    loop: Literal["asyncio", "uvloop", "auto"] = "asyncio"
    reuse_port: bool = True

    @field_validator("database_url")
    @classmethod
    def _with_async_driver(cls, value: str | None) -> str | None:
        return None if value is None else async_database_url(value)

    @field_validator("fault", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("fault")
    @classmethod
    def _known_faults(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = FAULTS.keys() | DEFECTS.keys()
        unknown = sorted(set(value) - known)
        if unknown:
            raise ValueError(f"names no fault of this app: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        return value

    @property
    def url(self) -> str:
        """The database to use: the one named, else a SQLite file in the run folder."""
        return self.database_url or f"sqlite+aiosqlite:///{self.run_dir}/items.db"


def load_settings(**overrides: Any) -> Settings:
    """Read and check the environment; `overrides` win over it.

    Raises SystemExit with one sentence per bad variable: under gunicorn that ends the master before a worker exists.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SystemExit("\n".join(_sentence(str(item["loc"][0]), item["msg"]) for item in error.errors())) from None


def _sentence(location: str, message: str) -> str:
    name = location if location.isupper() else f"{PREFIX}{location.upper()}"
    if name not in os.environ:
        name = _OTHER_NAMES.get(name, name)
    text = message.removeprefix("Value error, ")
    return f"{name}: {text[0].lower()}{text[1:]}."
