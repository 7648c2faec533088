"""`pinchpoint worker`: lend this machine's CPUs to a run on another one."""

import os
import select
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from pinchpoint.commands.config import check_host
from pinchpoint.credentials import calling_tls, split_address
from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.links import Link, LinkError, connect
from pinchpoint.processes import start
from pinchpoint.stress.fence import fenced
from pinchpoint.stress.joined import Joined

DEFAULT_PORT = 5557
"""As Locust's."""
RETRY_S = 1.0
LOOK_S = 0.1
"""How often new figures are looked for: they are written once a second."""
CONNECT_S = 5.0


@dataclass(frozen=True)
class WorkerConfig:
    """What `pinchpoint worker` was asked to do.

    Attributes:
        master: `HOST[:PORT]` of the run.
        token: that of the run.
        processes: load processes to offer; each counts as one worker.
        cpus: that they may run on.
        tls_ca: certificate that the run's TLS rests on; None: no TLS.
        allow_hosts: that may be pressed from here beside loopback.
        wait_s: how long to wait for the run to listen.
        keep: wait for the next run after each.

    """

    master: str
    token: str
    processes: int = 1
    cpus: frozenset[int] | None = None
    tls_ca: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    wait_s: float = 60.0
    keep: bool = False


def run_worker(config: WorkerConfig, console: Console) -> None:
    """Take part in a run, or with `keep` in one after the other until Ctrl-C.

    Raises:
        UsageError: an address or the certificate makes no sense, or the target is not allowed here.
        LinkError: the run cannot be reached, or refuses us.
        MeasurementError: the run was cut off, or a load process died.

    """
    host, port = split_address(config.master, DEFAULT_PORT)
    tls = calling_tls(config.tls_ca) if config.tls_ca is not None else None
    call = partial(connect, host, port, config.token, tls, CONNECT_S)

    def say(words: str) -> None:
        console.print(words, markup=False, highlight=False, soft_wrap=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same orderly way out as Ctrl-C
    while True:
        try:
            _take_part(config, call, say)
        except (LinkError, MeasurementError, UsageError) as error:
            if not config.keep:
                raise
            say(f"pinchpoint: {error}")
            time.sleep(RETRY_S)
        if not config.keep:
            return


def _take_part(config: WorkerConfig, call: Callable[[], Link], say: Callable[[str], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="pinchpoint-worker-"))
    members: list[Joined] = []
    try:
        for number in range(config.processes):
            link = _reach(config, call, say if number == 0 else lambda _: None)
            members.append(_join(config, link, folder / str(number)))
        say(f"joined {config.master} with {_count(config.processes)}; waiting for load")
        _serve(members, say)
    finally:
        for member in members:
            member.close()
        shutil.rmtree(folder, ignore_errors=True)
    say("the run is over")


def _join(config: WorkerConfig, link: Link, folder: Path) -> Joined:
    folder.mkdir()
    return Joined(
        link,
        folder,
        start,
        allow=partial(check_host, allow_hosts=config.allow_hosts),
        environ=fenced(os.environ, config.allow_hosts),
        cpus=config.cpus,
    )


def _reach(config: WorkerConfig, call: Callable[[], Link], say: Callable[[str], None]) -> Link:
    """Call until the run listens; anything but silence is final.

    Raises:
        LinkError: nobody has listened in time, or somebody else does.

    """
    deadline_s = time.monotonic() + config.wait_s
    told = False
    while True:
        try:
            return call()
        except LinkError as error:
            silence = isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, ssl.SSLError)
            late = not config.keep and time.monotonic() >= deadline_s
            if not silence or late:
                raise
            if not told:
                how_long = "until it is there" if config.keep else f"for {config.wait_s:g} s"
                say(f"{error}; trying again {how_long}")
                told = True
        time.sleep(RETRY_S)


def _serve(members: list[Joined], say: Callable[[str], None]) -> None:
    """Pass words and figures on until the run has no more use for any of us.

    Raises:
        MeasurementError: one did not end as it should.

    """
    told = False
    while running := [member for member in members if not member.over]:
        select.select([number for member in running for number in member.filenos()], [], [], LOOK_S)
        for member in running:
            member.pump()
            if member.over:
                member.close()
        if not told and (pressing := next((member.pressing for member in members if member.pressing), "")):
            say(f"pressing {pressing}")
            told = True
    if problem := next((member.problem for member in members if member.problem), ""):
        raise MeasurementError(problem)


def _count(processes: int) -> str:
    return "1 load process" if processes == 1 else f"{processes} load processes"
