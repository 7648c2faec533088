"""One authenticated line between two machines: JSON messages over TCP, with TLS if wanted, and their clocks' offset.

Both sides prove that they know the token before either believes a word (HMAC-SHA256 over two nonces; the token itself
is never sent; see `wire`). Every line after that carries a MAC under a key of this very connection and its own number,
so that a line that was altered, repeated or slipped in on the way ends the link. Only TLS hides what is said.

Nothing here makes threads: a link is a descriptor to select on. Use one link from one thread at a time.
"""

import contextlib
import logging
import secrets
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from pinchpoint.errors import PinchpointError
from pinchpoint.offsets import Offset, offset_of
from pinchpoint.wire import (
    CHUNK,
    LONGEST_LINE,
    Frames,
    Greeting,
    Keys,
    Stranger,
    await_events,
    drive,
    greet_as_caller,
    greet_as_listener,
    reason,
    seal,
    tune,
)

__all__ = ["Link", "LinkError", "Listener", "Offset", "answer", "connect", "measure_offset", "new_token"]

GREETING_S = 5.0
"""A stranger that says nothing is dropped after this long."""
STRANGERS_AT_ONCE = 64
SEND_S = 5.0
"""A peer that takes nothing for this long hangs."""
ROUND_S = 5.0
AT_ONCE = 4 * LONGEST_LINE
_log = logging.getLogger(__name__)


class LinkError(PinchpointError):
    """There is no line to the other side: refused, wrong token, not pinchpoint, TLS, gone."""


def new_token() -> str:
    """Return a token of 192 random bits."""
    return secrets.token_urlsafe(24)


class Link:
    """The line to one other side. `closed` once it is gone, and then `why` says the reason in a sentence."""

    def __init__(
        self, sock: socket.socket, peer: str, keys: Keys, rest: bytes = b"", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Made by `connect` and `Listener.accept`."""
        self.peer = peer
        self.why = ""
        self.closed = False
        self._sock = sock
        self._clock = clock
        self._key = keys.ours
        self._count = 0
        self._frames = Frames(keys.theirs)
        self._inbox: deque[dict[str, Any]] = deque()
        self._heard_s = clock()
        sock.setblocking(False)
        self._take_in(rest)

    def __enter__(self) -> Self:
        """Close it on the way out of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor to select on, -1 once closed. `take` leaves nothing behind that it would not show."""
        return self._sock.fileno()

    @property
    def silent_s(self) -> float:
        """Seconds since anything came from the other side."""
        return self._clock() - self._heard_s

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; returns when the kernel has all of it.

        Raises:
            LinkError: the link is closed, or the other side took nothing for `SEND_S` seconds; it is closed then.

        """
        line = seal(self._key, self._count, message)
        if len(line) > LONGEST_LINE:
            raise LinkError(f"a message of {len(line)} bytes is too long for one line")
        self._push(memoryview(line))
        if self.closed:
            raise LinkError(f"the line to {self.peer} is gone: {self.why}")
        self._count += 1

    def take(self, timeout_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the messages that have come, waiting up to `timeout_s` for the first; none once the link is closed."""
        deadline_s = self._clock() + timeout_s
        self._receive()
        while not self._inbox and not self.closed and (left_s := deadline_s - self._clock()) > 0:
            self._wait(selectors.EVENT_READ, left_s)
            self._receive()
        messages = list(self._inbox)
        self._inbox.clear()
        return messages

    def put_back(self, messages: list[dict[str, Any]]) -> None:
        """Return messages that were not for the caller; the next `take` gives them out first."""
        self._inbox.extendleft(reversed(messages))

    def close(self, why: str = "we closed it") -> None:
        """End the link; closing twice is fine."""
        if not self.closed:
            self.closed, self.why = True, why
        with contextlib.suppress(OSError):
            self._sock.close()

    def _push(self, data: memoryview) -> None:
        deadline_s = self._clock() + SEND_S
        while data and not self.closed:
            try:
                data = data[self._sock.send(data) :]
                deadline_s = self._clock() + SEND_S
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if self._clock() >= deadline_s:
                    self.close(f"it took nothing for {SEND_S:g} s")
                # Read as well: two sides that both only send would wait for each other.
                self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE, 0.1)
                self._receive()
            except OSError as error:
                self.close(reason(error))

    def _wait(self, events: int, timeout_s: float) -> None:
        if not self.closed:
            await_events(self._sock, events, timeout_s)

    def _receive(self) -> None:
        """Take in all that has come, up to a bound: a peer that talks without end must not hold us."""
        room = AT_ONCE
        while not self.closed and room > 0:
            try:
                data = self._sock.recv(CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self.close(reason(error))
                return
            if not data:
                self.close("it ended the connection")
                return
            room -= len(data)
            self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        self._heard_s = self._clock()
        try:
            self._inbox.extend(self._frames.feed(data))
        except Stranger as error:
            self.close(str(error))


class Listener:
    """Waits for other sides that know the token. Strangers are refused, logged, and never hold anybody up."""

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        tls: ssl.SSLContext | None = None,
        log: Callable[[str], None] = _log.warning,
    ) -> None:
        """Listen on `host` and `port` (0: any that is free).

        Raises:
            LinkError: there is no token, or the address cannot be listened on.

        """
        if not token:
            raise LinkError("listening needs a token")
        self._token, self._tls, self._say = token, tls, log
        self._greetings: dict[socket.socket, tuple[Greeting, float, str]] = {}
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            self._server = socket.create_server((host, port), family=family, backlog=STRANGERS_AT_ONCE)
        except OSError as error:
            raise LinkError(f"cannot listen on {host}:{port}: {reason(error)}; choose another address") from error
        self._server.setblocking(False)
        self.host = host
        self.port: int = self._server.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        """Close it on the way out of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when `accept(0)` has something to do."""
        return self._selector.fileno()

    def accept(self, timeout_s: float) -> Link | None:
        """Return the next other side that proved the token; None when there was none in `timeout_s` seconds."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            for key, _ in self._selector.select(max(0.0, min(left_s, 0.5))):
                if key.fileobj is self._server:
                    self._welcome()
                elif isinstance(key.fileobj, socket.socket) and (link := self._go_on(key.fileobj)) is not None:
                    return link
            self._drop_late()
            if left_s <= 0:
                return None

    def close(self) -> None:
        """Stop listening; links that were accepted live on."""
        for sock in list(self._greetings):
            self._drop(sock)
        self._selector.close()
        self._server.close()

    def _welcome(self) -> None:
        try:
            sock, address = self._server.accept()
        except OSError:
            return  # it has left already, or we are out of descriptors
        if len(self._greetings) >= STRANGERS_AT_ONCE:
            self._refuse(next(iter(self._greetings)), "too many strangers at once")
        peer = f"{address[0]}:{address[1]}"
        try:
            tune(sock)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:
            sock.close()
            return
        self._greetings[sock] = (greet_as_listener(sock, self._token), time.monotonic() + GREETING_S, peer)
        self._selector.register(sock, selectors.EVENT_WRITE)

    def _go_on(self, sock: socket.socket) -> Link | None:
        """Take the greeting one step further; return the link when that was the last."""
        greeting, _, peer = self._greetings[sock]
        try:
            self._selector.modify(sock, next(greeting))
        except StopIteration as done:
            self._forget(sock)
            keys, rest = done.value
            return Link(sock, peer, keys, rest)
        except (OSError, Stranger) as error:
            self._refuse(sock, reason(error))
        return None

    def _drop_late(self) -> None:
        now_s = time.monotonic()
        for sock in [sock for sock, (_, late_s, _) in self._greetings.items() if now_s >= late_s]:
            self._refuse(sock, f"it did not prove the token within {GREETING_S:g} s")

    def _refuse(self, sock: socket.socket, why: str) -> None:
        self._say(f"refused {self._greetings[sock][2]}: {why}")
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        self._forget(sock)
        with contextlib.suppress(OSError):
            sock.close()

    def _forget(self, sock: socket.socket) -> None:
        self._greetings.pop(sock)
        self._selector.unregister(sock)


def connect(host: str, port: int, token: str, tls: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> Link:
    """Call a listener and prove the token, both ways.

    Raises:
        LinkError: nobody is there, the token is another one, it is not pinchpoint, or TLS failed.

    """
    where = f"{host}:{port}"
    deadline_s = time.monotonic() + timeout_s
    try:
        sock = socket.create_connection((host, port), timeout_s)
    except (OSError, UnicodeError) as error:  # UnicodeError: a host name that no name can be
        raise LinkError(f"cannot reach {where}: {reason(error)}") from error
    try:
        tune(sock)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        keys, rest = drive(greet_as_caller(sock, token), sock, deadline_s)
    except TimeoutError as error:
        sock.close()
        hint = "it may want no TLS" if tls is not None else "it may want TLS (--tls-ca)"
        message = f"{where} did not greet as pinchpoint does within {timeout_s:g} s; {hint}, or be something else"
        raise LinkError(message) from error
    except Stranger as error:
        sock.close()
        raise LinkError(f"{where}: {error}") from error
    except OSError as error:
        sock.close()
        what = "TLS failed" if isinstance(error, ssl.SSLError) else "the connection broke"
        raise LinkError(f"{where}: {what}: {reason(error)}") from error
    return Link(sock, where, keys, rest)


def answer(message: dict[str, Any], link: Link, clock: Callable[[], float] = time.monotonic) -> bool:
    """Answer a ping; False when the message is none."""
    if "ping" not in message:
        return False
    link.send({"pong": message["ping"], "t_s": clock()})
    return True


def measure_offset(link: Link, clock: Callable[[], float] = time.monotonic, rounds: int = 8) -> Offset:
    """Measure how far the other side's monotonic clock is ahead; other messages wait for the next `take`.

    The round with the shortest delay counts; see `offset_of`.

    Raises:
        LinkError: the other side is gone or does not answer.

    """
    best: Offset | None = None
    others: list[dict[str, Any]] = []
    try:
        for _ in range(rounds):
            found = _one_round(link, clock, others)
            best = found if best is None or found.error_s < best.error_s else best
    finally:
        link.put_back(others)
    if best is None:
        raise LinkError("an offset needs at least one round")
    return best


def _one_round(link: Link, clock: Callable[[], float], others: list[dict[str, Any]]) -> Offset:
    number = secrets.randbits(32)
    late_s = time.monotonic() + ROUND_S
    sent_s = clock()
    link.send({"ping": number})
    while (left_s := late_s - time.monotonic()) > 0 and not link.closed:
        messages = link.take(left_s)
        received_s = clock()
        pong = next((message for message in messages if message.get("pong") == number), None)
        others += [message for message in messages if message is not pong]
        if pong is not None:
            return offset_of(sent_s, float(pong["t_s"]), received_s)
    raise LinkError(f"{link.peer} does not answer: {link.why or f'nothing came for {ROUND_S:g} s'}")
