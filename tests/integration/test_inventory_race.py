"""The last-item race over the network: 200 buyers, five pieces, real servers and databases.

Twice each in CI. Ten times each, as docs/seeds.md has it:
`PINCHPOINT_RACE_ROUNDS=10 pytest tests/integration/test_inventory_race.py`.
"""

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pinchpoint.app import stock
from pinchpoint.readiness import free_port, http_status
from support.inventory_shop import race
from support.postgres import skip_reason, temporary_postgres

ROUNDS = int(os.environ.get("PINCHPOINT_RACE_ROUNDS", "2"))
BUYERS, PIECES = 200, 5
DEADLINE_S = 30.0
DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgres))

pytestmark = pytest.mark.timeout(120 + 30 * ROUNDS)


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Yield the URL of a PostgreSQL server; None: a file will do."""
    if request.param == "sqlite":
        yield None
        return
    if reason := skip_reason():
        pytest.skip(reason)
    with temporary_postgres() as url:
        yield url


@pytest.fixture
def database(server: str | None, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if server is None:
        return f"sqlite:///{tmp_path}/shop.db"
    name = f"shop_{time.monotonic_ns()}"
    asyncio.run(_create_database(server, name))
    return f"{server.rpartition('/')[0]}/{name}"


async def _create_database(server: str, name: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


@contextlib.contextmanager
def serving(folder: Path, database: str, workers: int, fault: str = "") -> Iterator[int]:
    """Run the reference app; yield its port once it answers."""
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PINCHPOINT_", "PROMETHEUS_", "DATABASE_"))}
    variables = {"DATABASE_URL": database, "PINCHPOINT_APP_FAULT": fault, "PINCHPOINT_APP_RUN_DIR": str(folder / "run")}
    conf = ("-c", "python:pinchpoint.app.gunicorn_conf", "-b", f"127.0.0.1:{port}", "--workers", str(workers))
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *conf, "pinchpoint.app.main:app"],
            cwd=folder,
            env={**clean, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while http_status(f"http://127.0.0.1:{port}/inventory/health") != 200:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline_s, (folder / "log").read_text()
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    """Send one request; return the JSON of its answer, which must be a success."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        assert response.status in {200, 201}, answer
        return json.loads(answer)
    finally:
        connection.close()


def last_pieces(port: int) -> int:
    """Create a product of five pieces; return its id."""
    product = ask(port, "POST", "/products", {"name": "Last pieces", "price": 9.99, "stock": PIECES})
    return int(product["id"])


def test_two_hundred_buyers_get_exactly_the_five_pieces(database: str, tmp_path: Path) -> None:
    """Five orders and 195 refusals each time, no other answer, from two workers; and the database agrees."""
    with serving(tmp_path, database, workers=2) as port:
        for _ in range(ROUNDS):
            product_id = last_pieces(port)
            assert race(port, product_id, BUYERS) == {201: PIECES, 409: BUYERS - PIECES}
            assert ask(port, "GET", f"/products/{product_id}")["stock"] == 0
        command = [sys.executable, "-m", "pinchpoint.app.stock", database]
        checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_S)

    assert (checked.returncode, checked.stderr) == (0, "")
    assert json.loads(checked.stdout) == {
        "oversold": 0,
        "negative_stock": 0,
        "unbalanced": [],
        "products": ROUNDS,
        "orders": ROUNDS * PIECES,
        "ok": True,
    }


def test_the_racy_variant_is_caught_every_time(database: str, tmp_path: Path) -> None:
    """One worker is enough: after each race the audit names that product, and every piece sold too many."""
    products: list[int] = []
    with serving(tmp_path, database, workers=1, fault="overselling") as port:
        sold_too_many = 0
        for _ in range(ROUNDS):
            products.append(last_pieces(port))
            answers = race(port, products[-1], BUYERS)
            sold_too_many += answers[201] - PIECES
            found = asyncio.run(stock.audit(database))

            assert answers[201] > PIECES
            assert answers[201] + answers[409] == BUYERS
            assert (found.ok, found.oversold) == (False, sold_too_many)
            assert [balance.product_id for balance in found.unbalanced] == products
