"""Account statements: Flask, SQLAlchemy and its usual pool on PostgreSQL."""

from functools import cache

from flask import Blueprint, Flask, Response, abort, jsonify
from sqlalchemy import Engine, create_engine, text

from .databases_schema import migrate
from .settings import cured, database_url, severity

_TABLE = "CREATE TABLE IF NOT EXISTS accounts (id int PRIMARY KEY, holder text NOT NULL, cents bigint NOT NULL)"
_ROWS = "INSERT INTO accounts SELECT i, 'holder ' || i, i * 100 FROM generate_series(1, 2000) i ON CONFLICT DO NOTHING"
# Balances live with the clearing house; this view stands for the foreign table and waits as it does.
_VIEW = f"""
CREATE OR REPLACE VIEW cleared_accounts AS
SELECT a.id, a.holder, a.cents, pg_sleep({0.060 * severity():.6f})::text AS settled FROM accounts a
"""  # noqa: S608 - a number of ours
_READ = text("SELECT id, holder, cents, settled FROM cleared_accounts WHERE id = :id")

statements = Blueprint("statements", __name__, url_prefix="/accounts")


@cache
def engine() -> Engine:
    """Return the engine of this process, made at its first request."""
    pool = 40 if cured() else 4
    return create_engine(database_url("postgresql+psycopg"), pool_size=pool, max_overflow=2, pool_timeout=60)


@statements.get("/<int:account_id>/statement")
def statement(account_id: int) -> Response:
    """Return what is on an account."""
    with engine().connect() as connection:
        row = connection.execute(_READ, {"id": account_id}).one_or_none()
    if row is None:
        abort(404)
    return jsonify(account=row.id, holder=row.holder, cents=row.cents)


def create_app() -> Flask:
    """Return the service, its tables made."""
    migrate(_TABLE, _ROWS, _VIEW)
    flask = Flask(__name__)
    flask.register_blueprint(statements)
    return flask


app = create_app()
