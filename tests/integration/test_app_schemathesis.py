"""Every endpoint of the reference app against the app's own OpenAPI document, by what schemathesis makes up.

For more than CI's few examples:
`PINCHPOINT_SCHEMATHESIS_EXAMPLES=100 pytest tests/integration/test_app_schemathesis.py`.
"""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.app_server import UVICORN, app_served, client_of
from support.postgres import skip_reason, temporary_postgres

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)
EXAMPLES = os.environ.get("PINCHPOINT_SCHEMATHESIS_EXAMPLES", "10")
"""Of each kind for each endpoint."""
DEADLINE_S = 60.0 + 10 * float(EXAMPLES)

pytestmark = pytest.mark.timeout(DEADLINE_S + 30)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Yield the variables that name a database: none for SQLite."""
    if request.param == "sqlite":
        yield {}
        return
    if reason := skip_reason():
        pytest.skip(reason)
    with temporary_postgres() as url:
        yield {"DATABASE_URL": url}


def test_every_endpoint_answers_as_its_document_says(database: dict[str, str], tmp_path: Path) -> None:
    """No 5xx; statuses, types and bodies as documented; whatever is sent, valid or not, with a token and without."""
    with app_served(tmp_path / "app", UVICORN, **database) as port, client_of(port) as api:
        token = api.ask_json("POST", "/login", {"username": "test_user", "password": "password"})["access_token"]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json"]
        options = ["--checks", ",".join(CHECKS), "--max-examples", EXAMPLES, "--generation-database", "none"]
        done = subprocess.run(
            [*command, *options, "--header", f"Authorization: Bearer {token}", "--no-color"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr


def test_what_cannot_be_answered_back_is_refused_all_the_same(tmp_path: Path) -> None:
    """NaN is no JSON and half a character no text: the refusal does not repeat them."""
    with app_served(tmp_path / "app") as port:
        for body in (
            '{"name": "x", "price": NaN}',
            '{"name": "\\ud800", "price": -1}',
            '{"name": "a\\u0000", "price": 1}',
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/items/", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            connection.close()
            assert response.status == 422
            assert {"type", "loc", "msg"} == set(answer["detail"][0])
