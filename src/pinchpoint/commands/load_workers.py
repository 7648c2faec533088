"""Load workers of other machines in a run: listen, say what to type there, wait for them, and take them in."""

import select
import shlex
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pinchpoint.commands.config import RunConfig
from pinchpoint.credentials import TOKEN_VARIABLE, choose_token, is_loopback, serving_tls, split_address
from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.links import Link, LinkError, Listener
from pinchpoint.stress.control import Settings
from pinchpoint.stress.joining import Hello, Order
from pinchpoint.stress.load_spec import GeneratorSpec
from pinchpoint.stress.remote import RemoteWorker

DEFAULT_PORT = 5557
HELLO_S = 5.0
LOOK_S = 0.25
DRIFT_TOLD_S = 0.01
"""A clock that drifts more than this over a run is told: it is ten times what the measurement is off by on a LAN."""
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - recognised, not listened on


@dataclass(frozen=True)
class Recruit:
    """A load worker that has come and waits for its order."""

    link: Link
    hello: Hello


@contextmanager
def gathered(config: RunConfig, say: Callable[[str], None]) -> Iterator[list[Recruit]]:
    """Wait for the load workers that a run expects; hang up on them on the way out.

    Raises:
        LinkError: the address cannot be listened on, or the certificate cannot be used.
        MeasurementError: too few have come in time.

    """
    recruits: list[Recruit] = []
    if not config.expect_workers:
        yield recruits
        return
    host, port = split_address(config.listen, DEFAULT_PORT)
    token, made = choose_token(config.token)
    tls = None
    if config.tls_cert is not None and config.tls_key is not None:
        tls = serving_tls(config.tls_cert, config.tls_key)
    try:
        with Listener(host, port, token, tls, say) as listener:
            typed = command(config, listener, token if made else None)
            say(f"waiting for {_count(config.expect_workers)}; on each other host type:\n  {typed}")
            _wait(config, listener, recruits, say)
        yield recruits
    finally:
        for recruit in recruits:
            recruit.link.close()


def command(config: RunConfig, listener: Listener, token: str | None) -> str:
    """Return what to type on the other hosts; the token is shown only where it was made for this run."""
    host = socket.gethostname() if listener.host in _ANYWHERE else listener.host
    where = f"[{host}]" if ":" in host else host
    words = [f"{TOKEN_VARIABLE}={shlex.quote(token or '<the token of this run>')}", "pinchpoint", "worker"]
    words += ["--master", f"{where}:{listener.port}"]
    target = _host_of(config.url or "")
    if target and not is_loopback(target):
        words += ["--allow-host", target]
    if config.tls_cert is not None:
        words += ["--tls-ca", shlex.quote(config.tls_cert.name)]
    return " ".join(words)


def _wait(config: RunConfig, listener: Listener, recruits: list[Recruit], say: Callable[[str], None]) -> None:
    deadline_s = time.monotonic() + config.worker_wait_s
    ours = Hello.ours()
    while len(recruits) < config.expect_workers:
        if (left_s := deadline_s - time.monotonic()) <= 0:
            raise MeasurementError(_too_few(config, recruits))
        watched = [listener.fileno(), *(recruit.link.fileno() for recruit in recruits)]
        select.select(watched, [], [], min(LOOK_S, left_s))
        if (link := listener.accept(0)) is not None and (recruit := _recruit(config, link, ours, say)) is not None:
            recruits.append(recruit)
            say(f"load worker {recruit.hello.host} has joined: {len(recruits)} of {config.expect_workers}")
        for gone in [recruit for recruit in recruits if _has_left(recruit)]:
            recruits.remove(gone)
            say(f"load worker {gone.hello.host} has left again, {gone.link.why}")


def _has_left(recruit: Recruit) -> bool:
    recruit.link.put_back(recruit.link.take())
    return recruit.link.closed


def _recruit(config: RunConfig, link: Link, ours: Hello, say: Callable[[str], None]) -> Recruit | None:
    """Hear who it is; None, with the reason told to both, when it cannot take part."""
    messages = link.take(HELLO_S)
    hello = Hello.from_message(messages[0]) if messages else None
    if hello is None:
        why: str | None = "it is no load worker"
    elif (why := hello.misfit(ours)) is None and _loops_back(config, link):
        why = f"the target {config.url or 'is on loopback and'} can be reached from the run's own host only; use --url"
    if hello is not None and why is None:
        if (difference := hello.difference(ours)) is not None:
            say(difference)
        return Recruit(link, hello)
    say(f"refused {hello.host if hello is not None else link.peer}: {why}")
    try:
        link.send({"refused": why})
    except LinkError:
        return None
    link.close()
    return None


def _loops_back(config: RunConfig, link: Link) -> bool:
    """Tell whether a worker of another host would press its own loopback."""
    target = _host_of(config.url or "")
    return (not target or is_loopback(target)) and not is_loopback(link.peer.rpartition(":")[0])


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _too_few(config: RunConfig, recruits: list[Recruit]) -> str:
    names = ", ".join(recruit.hello.host for recruit in recruits) or "none"
    return (
        f"{len(recruits)} of {_count(config.expect_workers)} came within {config.worker_wait_s:g} s ({names}); "
        "start the others with the command above, or give them longer with --worker-wait"
    )


def enlist(recruits: list[Recruit], spec: GeneratorSpec, settings: Callable[[], Settings]) -> list[RemoteWorker]:
    """Give every recruit its order; each says `ready` to the generator once its first users have logged in.

    Raises:
        MeasurementError: one has left.
        UsageError: the Locust file cannot be sent.

    """
    enlisted = []
    for recruit in recruits:
        own = settings()
        try:
            worker = RemoteWorker(own.process, recruit.hello.host, recruit.link, spec.folder)
        except LinkError as error:
            raise MeasurementError(
                f"load worker {recruit.hello.host} has left before the run began: {error}"
            ) from error
        worker.order(Order.of(spec, own))
        enlisted.append(worker)
    return enlisted


def drifted(worker: RemoteWorker) -> str | None:
    """Say that a worker's clock runs at another speed, once that is worth a word."""
    if abs(worker.drift_s) < DRIFT_TOLD_S:
        return None
    return f"the clock of {worker.name} drifts from ours; its times are corrected for it"


def check_workers(config: RunConfig) -> None:
    """Refuse what cannot be asked of load workers, before anything starts.

    Raises:
        UsageError: no load process at all, or half a certificate.

    """
    if config.processes == 0 and config.expect_workers == 0:
        raise UsageError("--load-workers 0 leaves nobody to make load; expect some from other hosts: --expect-workers")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    for path in (config.tls_cert, config.tls_key):
        if path is not None and not Path(path).is_file():
            raise UsageError(f"there is no file {path}")


def _count(workers: int) -> str:
    return "1 load worker" if workers == 1 else f"{workers} load workers"
