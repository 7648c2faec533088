"""A run whose load comes from two other hosts, encrypted, each with its own clock; the network of one dies midway."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pinchpoint.recording import CLIENT_GLOB, read_lines
from pinchpoint.report.build import validate
from support.netns import Host, Started, hosts, why_not

pytestmark = [pytest.mark.paced, pytest.mark.timeout(90)]
ENVIRONMENT = {"PINCHPOINT_TOKEN": "only-known-to-these-hosts"}
DEADLINE_S = 60.0
AHEAD_S = {"load-1": 3000, "load-2": 50}
APP = """
import asyncio
four = asyncio.Semaphore(4)  # of 20 ms each: 200/s

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    async with four:
        await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
PINCHPOINT = (sys.executable, "-m", "pinchpoint")
UVICORN = (sys.executable, "-m", "uvicorn", "plain:app", "--no-access-log", "--lifespan", "off", "--port", "8000")


@pytest.fixture
def network() -> Iterator[dict[str, Host]]:
    """Return three hosts: that of the run and its server, and two for load."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with hosts({"run": 0, **AHEAD_S}) as made:
        yield made


@pytest.fixture
def tls(network: dict[str, Host], tmp_path: Path) -> tuple[str, str]:
    """Return a self-signed certificate of the run's host, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=pinchpoint -addext"
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    name = f"subjectAltName=IP:{network['run'].address}"
    subprocess.run(["openssl", *words.split(), name, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


def wait_until(condition: Callable[[], object], said: Callable[[], str]) -> None:
    """Poll until it holds."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.05)


def lending(host: Host, address: str, certificate: str, folder: Path) -> Started:
    """Start `pinchpoint worker` on a host."""
    words = ("worker", "--master", f"{address}:5557", "--allow-host", address, "--tls-ca", certificate)
    return host.start(*PINCHPOINT, *words, log=folder / f"{host.name}.log", env=ENVIRONMENT)


def pressing(host: Host, tls: tuple[str, str], folder: Path) -> Started:
    """Start a run that makes no load itself."""
    (folder / "plain.py").write_text(APP)
    words = [
        *("run", "--url", f"http://{host.address}:8000", "--allow-host", host.address, "--get", "/"),
        *("--load-workers", "0", "--expect-workers", "2", "--listen", f"{host.address}:5557"),
        *("--tls-cert", tls[0], "--tls-key", tls[1]),
        *("--budget", "25s", "--no-profile", "--out", str(folder / "run")),
        *("--", *UVICORN, "--host", host.address),
    ]
    return host.start(*PINCHPOINT, *words, log=folder / "run.log", cwd=folder, env=ENVIRONMENT)


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Return the events of a kind so far."""
    return [row for row in read_lines(folder / "run" / "events.jsonl") if row.get("kind") == kind]


def test_a_run_goes_on_when_the_network_of_a_load_host_dies(
    network: dict[str, Host], tls: tuple[str, str], tmp_path: Path
) -> None:
    """Noticed on both sides within five seconds; the step is void, the rest is measured with the other host."""
    address = network["run"].address
    workers = {name: lending(network[name], address, tls[0], tmp_path) for name in AHEAD_S}
    run = pressing(network["run"], tls, tmp_path)
    wait_until(lambda: len(events(tmp_path, "step")) >= 4, run.said)
    inner = workers["load-1"].inner
    assert inner is not None
    processes = [inner, *inner.children(recursive=True)]
    network["load-1"].unplug()
    unplugged_s = time.monotonic()
    assert workers["load-1"].wait(10) == 3, workers["load-1"].said()
    assert time.monotonic() - unplugged_s < 6
    assert run.wait(DEADLINE_S) == 0, run.said()
    assert workers["load-2"].wait(10) == 0, workers["load-2"].said()

    joined = {event["data"]["name"].rpartition(" ")[2]: event["data"] for event in events(tmp_path, "worker-joined")}
    assert {name: data["offset_s"] for name, data in joined.items()} == pytest.approx(AHEAD_S, abs=0.05)
    (lost,) = events(tmp_path, "worker-lost")
    assert lost["data"]["name"].endswith("on load-1")
    assert lost["t_s"] - unplugged_s < 5
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
    assert "the line to" in workers["load-1"].said()

    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert validate(report) == []
    assert report["validity"]["status"] in {"valid", "suspect"}, report["validity"]
    (said,) = [gate["message"] for gate in report["validity"]["gates"] if gate["name"] == "load-workers"]
    assert "load-1" in said
    assert "measured again" in said
    voids = [event["data"]["t_end_s"] for event in events(tmp_path, "step") if event["data"]["phase"] == "void"]
    assert len(voids) == 1
    assert 80 < report["capacity"]["sustainable_rps"] < 220
    files = sorted((tmp_path / "run").glob(CLIENT_GLOB))
    rows = [row for file in files for row in read_lines(file)]
    assert {row["host"] for row in rows} == set(AHEAD_S)
    assert {row["host"] for row in rows if row["t0_s"] >= voids[0]} == {"load-2"}
