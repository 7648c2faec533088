"""`pinchpoint agent`: on the server's host, stream the collector's samples to a run elsewhere, one run at a time."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from pinchpoint.commands.agent_server import AttachedServer, StartedServer
from pinchpoint.credentials import LOOPBACK, choose_token, serving_tls, split_address
from pinchpoint.errors import PinchpointError, UsageError
from pinchpoint.links import Link, LinkError, Listener
from pinchpoint.monitoring.agent import Conversation
from pinchpoint.monitoring.agent_words import DEFAULT_PORT
from pinchpoint.readiness import free_port

LOOK_S = 0.25
"""How soon a signal, the end of a run or the server's death is noticed while nobody calls."""
JOIN_S = 15.0
PORT = "{port}"
_ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not listened on


@dataclass(frozen=True)
class AgentConfig:
    """What an agent was asked to do."""

    pid: int | None = None
    command: tuple[str, ...] = ()
    port: int | None = None
    """Of the server."""
    pages: Path | None = None
    listen: str = f"{LOOPBACK}:{DEFAULT_PORT}"
    token: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class Reception:
    """Lets one run in, tells others that it is there, and watches the server while nobody is."""

    def __init__(self, server: AttachedServer | StartedServer, console: Console) -> None:
        self._server = server
        self._console = console
        self._talk: Conversation | None = None
        self._thread: threading.Thread | None = None
        self._guest = ""
        self._death_told = False

    def welcome(self, link: Link) -> None:
        """Serve a run that proved the token, or say why not."""
        if self._thread is not None and self._thread.is_alive():
            _turn_away(link, f"with a run from {self._guest}; it serves one at a time")
            return
        try:
            self._server.revive()
        except PinchpointError as error:
            _turn_away(link, str(error))
            return
        self._death_told = False
        talk = self._talk = Conversation(link, self._server)
        self._guest = link.peer
        self._thread = threading.Thread(target=self._hold, args=(talk, link.peer), name="pinchpoint-agent", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Tell the user once when the server has ended."""
        ended = None if self._death_told else self._server.ending()
        if ended is not None:
            self._death_told = True
            self._say(str(ended["message"]))
            if said := self._server.said():
                self._say(said)

    def close(self) -> None:
        """End the run that is on."""
        if self._talk is not None and self._thread is not None:
            self._talk.stop()
            self._thread.join(JOIN_S)

    def _hold(self, talk: Conversation, guest: str) -> None:
        self._say(f"a run from {guest} is on")
        self._say(f"the run from {guest} has left: {talk.hold()}")

    def _say(self, message: str) -> None:
        _say(self._console, message)


def _say(console: Console, message: str) -> None:
    console.print(message, markup=False, highlight=False, soft_wrap=True)


def _turn_away(link: Link, why: str) -> None:
    try:
        link.send({"kind": "busy", "message": why})
    except LinkError:
        return
    finally:
        link.close()


def run_agent(config: AgentConfig, console: Console) -> None:
    """Serve runs until SIGTERM or SIGINT.

    Raises:
        UsageError: the options make no sense.
        TargetError: the server does not listen.
        LinkError: the address cannot be listened on, or a token is too short.

    """
    config = _checked(config)
    host, port = split_address(config.listen, DEFAULT_PORT)
    token, made = choose_token(config.token)
    tls = None
    if config.tls_cert is not None and config.tls_key is not None:
        tls = serving_tls(config.tls_cert, config.tls_key)
    with _stopped_by_signals() as stop, Listener(host, port, token, tls, log=partial(_say, console)) as listener:
        server = _server(config)
        reception = Reception(server, console)
        try:
            _introduce(server, (host, listener.port), token if made else None, config.tls_cert, console)
            while not stop.is_set():
                link = listener.accept(LOOK_S)
                if link is not None:
                    reception.welcome(link)
                reception.look()
        finally:
            reception.close()
            server.close()


def _checked(config: AgentConfig) -> AgentConfig:
    """Hold the options against each other, and fill the port in."""
    if (config.pid is None) == (not config.command):
        raise UsageError("give either --pid of a server that runs, or after `--` the command that starts it")
    if config.pages is not None and config.pid is None:
        raise UsageError("--pages goes with --pid; a command's pages are the agent's own")
    if (config.tls_cert is None) != (config.tls_key is None):
        raise UsageError("--tls-cert and --tls-key go together")
    if any(PORT in word for word in config.command):
        port = config.port or free_port()
        command = tuple(word.replace(PORT, str(port)) for word in config.command)
        return replace(config, port=port, command=command)
    return config


def _server(config: AgentConfig) -> AttachedServer | StartedServer:
    if config.pid is not None:
        return AttachedServer(config.pid, config.port, config.pages)
    return StartedServer(config.command, config.port)


def _introduce(
    server: AttachedServer | StartedServer,
    address: tuple[str, int],
    new_token: str | None,
    certificate: Path | None,
    console: Console,
) -> None:
    """Say on stderr what is watched, and what to type on the other host."""
    listens, port = address
    host = socket.gethostname() if listens in _ANYWHERE else listens
    words = ["pinchpoint", "run", "--url", f"http://{host}:{server.port or 'PORT'}"]
    words += [] if host == LOOPBACK else ["--allow-host", host]
    words += ["--agent", f"{host}:{port}"]
    words += ["--token", new_token] if new_token is not None else []
    words += ["--tls-ca", certificate.name] if certificate is not None else []
    lines = [f"agent on {listens}:{port} watches {server.name}", f"on the load host:  {' '.join(words)}"]
    if new_token is None:
        lines.append("with the token that this agent was given, in --token or PINCHPOINT_TOKEN")
    for line in lines:
        _say(console, line)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    stop = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    # What is ignored stays ignored: that is what `nohup` asks for.
    handled = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in handled}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
