"""What a serving module is told, read from the environment. A bad value ends the process with one sentence."""

import math
import os
from pathlib import Path

from ..case import CURED, SCRATCH, SEVERITY

_DATABASE = "DATABASE_URL"


def severity() -> float:
    """Return the factor to multiply the costly part with: 1 unless said otherwise. Raises SystemExit if not > 0."""
    text = os.environ.get(SEVERITY, "1")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SystemExit(f"{SEVERITY}: {text!r} is not a number above 0.")
    return value


def cured() -> bool:
    """Return True when the costly part is to be left out. Raises SystemExit for anything but 0, 1 or nothing."""
    text = os.environ.get(CURED, "")
    if text not in {"", "0", "1"}:
        raise SystemExit(f"{CURED}: {text!r} is neither 0 nor 1.")
    return text == "1"


def scratch() -> Path:
    """Return the folder for the files of this run. Raises SystemExit if none is named or it is not there."""
    text = os.environ.get(SCRATCH, "")
    if not text:
        raise SystemExit(f"{SCRATCH}: names no folder.")
    folder = Path(text)
    if not folder.is_dir():
        raise SystemExit(f"{SCRATCH}: there is no folder {text!r}.")
    return folder


def database_url(driver: str) -> str:
    """Return `DATABASE_URL` for `driver`, a dialect with or without a driver of SQLAlchemy's.

    `sqlite+aiosqlite`, `postgresql+asyncpg`; plain `postgresql` is what psycopg and asyncpg themselves take. Raises
    SystemExit if no database is named or it is of another kind.
    """
    scheme, rest = _database()
    if scheme != driver.partition("+")[0]:
        raise SystemExit(f"{_DATABASE}: names {scheme!r}, and this app speaks {driver!r}.")
    return f"{driver}://{rest}"


def sqlite_path() -> str:
    """Return the file that `DATABASE_URL` names, for `sqlite3.connect`. Raises SystemExit if it names none."""
    path = database_url("sqlite").removeprefix("sqlite:///")
    if not path or path.startswith(("sqlite:", ":")):
        raise SystemExit(f"{_DATABASE}: names no file of SQLite.")
    return path


def companion_url(variable: str) -> str:
    """Return the address of the companion whose `variable` it is. Raises SystemExit if there is none."""
    text = os.environ.get(variable, "")
    if not text.startswith("http://"):
        raise SystemExit(f"{variable}: {text!r} is not an address such as http://127.0.0.1:8001.")
    return text


def _database() -> tuple[str, str]:
    """Return the kind of database (`sqlite`, `postgresql`), and what follows `://`."""
    text = os.environ.get(_DATABASE, "")
    scheme, found, rest = text.partition("://")
    if not found:
        # The text is not repeated: it may hold a password.
        raise SystemExit(f"{_DATABASE}: names no database.")
    kind = scheme.partition("+")[0]
    return {"postgres": "postgresql"}.get(kind, kind), rest
