"""A PostgreSQL server of one's own, for as long as a test needs it."""

import contextlib
import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_DEBIAN = Path("/usr/lib/postgresql")
_READY_S = 20.0


def postgres_bin() -> Path | None:
    """Return the folder of the newest PostgreSQL server's programs, or None when there is none."""
    found = [folder / "bin" for folder in _DEBIAN.glob("*") if (folder / "bin" / "initdb").exists()]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def skip_reason() -> str | None:
    """Say why `temporary_postgres` cannot work here; None when it can."""
    if postgres_bin() is None:
        return "PostgreSQL's server programs are not installed (Debian: postgresql)"
    if os.getuid() == 0 and _server_user() is None:
        return "root cannot run PostgreSQL, and there is no user postgres to run it as"
    return None


@contextlib.contextmanager
def temporary_postgres(*, cpus: str | None = None) -> Iterator[str]:
    """Start a fresh cluster on a loopback port and a Unix socket; yield its URL; stop and remove it.

    `cpus` pins the server (`taskset -c`). Raises RuntimeError with the server's log when it does not start.
    """
    programs = postgres_bin()
    if programs is None:
        raise RuntimeError(skip_reason())
    folder = Path(tempfile.mkdtemp(prefix="pinchpoint-pg-"))
    as_user = _as_server_user()
    log = folder / "log"
    try:
        user = _server_user() or getpass.getuser()
        if os.getuid() == 0:
            shutil.chown(folder, user)
        data = str(folder / "data")
        _check([*as_user, str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"])
        port = _free_port()
        pin = ["taskset", "-c", cpus] if cpus else []
        options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*pin, *as_user, str(programs / "postgres"), "-D", data, *options],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        try:
            _await_ready(server, [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)], log)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            # Through pg_ctl: under runuser the server is not our direct child.
            stop = [*as_user, str(programs / "pg_ctl"), "stop", "-D", data, "-m", "immediate"]
            subprocess.run(stop, check=False, capture_output=True, cwd="/")
            server.wait(timeout=10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _server_user() -> str | None:
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


def _as_server_user() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []


def _check(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[-1]).name}: {done.stderr.strip() or done.stdout.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(server: "subprocess.Popen[bytes]", probe: list[str], log: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while subprocess.run(probe, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)
