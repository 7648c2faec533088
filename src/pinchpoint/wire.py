"""What two pinchpoints say to each other before a `Link` stands, and how each line after that is sealed.

The listener greets with a nonce; the caller answers with its own and a proof; the listener proves in turn. Both proofs
are HMAC-SHA256 under a key made of the token and both nonces, so that neither can be used again elsewhere. A line is 32
hex digits of MAC, one JSON object, a line feed.
"""

import functools
import hmac
import json
import secrets
import select
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

LONGEST_LINE = 32 * 1024 * 1024
LONGEST_GREETING = 1024
CHUNK = 65_536
MAC_LENGTH = 32
"""Hex digits: 128 of HMAC-SHA256's 256 bits (RFC 2104, section 5)."""
PROTOCOL = 1
DEAD_S = 4
"""A host that acknowledges nothing for this long is gone; the kernel tells us."""
Outcome = TypeVar("Outcome")


class Stranger(Exception):  # noqa: N818 - said of a peer
    """A peer that did not do as it must; the text says what it did instead."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What each side's lines are sealed with, on this connection alone."""

    ours: bytes
    theirs: bytes


Greeting = Generator[int, None, tuple[Keys, bytes]]
"""Yields the selector events to wait for; returns the keys, and what the other side said beyond the greeting."""


def seal(key: bytes, count: int, message: dict[str, Any]) -> bytes:
    """Return message number `count` as one line."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return _mac(key, count, body) + body + b"\n"


class Frames:
    """Cut a stream of bytes into messages, each proven to come from the other side, whole and in its turn."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._count = 0
        self._buffer = bytearray()
        self._seen = 0

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages completed by `data`. Raises `Stranger` when one is damaged or has no end."""
        self._buffer += data
        messages = []
        while (end := self._buffer.find(b"\n", self._seen)) >= 0:
            messages.append(self._open(bytes(self._buffer[:end])))
            del self._buffer[: end + 1]
            self._seen = 0
        self._seen = len(self._buffer)
        if self._seen > LONGEST_LINE:
            raise Stranger(f"it sent a line of more than {LONGEST_LINE} bytes")
        return messages

    def _open(self, line: bytes) -> dict[str, Any]:
        mac, body = line[:MAC_LENGTH], line[MAC_LENGTH:]
        if not hmac.compare_digest(mac, _mac(self._key, self._count, body)):
            raise Stranger("a line was damaged on the way")
        self._count += 1
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Stranger("it sent a line that is no message")
        return message


def _mac(key: bytes, count: int, body: bytes) -> bytes:
    return hmac.digest(key, count.to_bytes(8, "big") + body, "sha256").hex()[:MAC_LENGTH].encode()


def greet_as_listener(sock: socket.socket, token: str) -> Greeting:
    """Greet a caller whose socket has just been accepted; raises `Stranger` when it does not prove the token."""
    yield from _settle_tls(sock)
    nonce = secrets.token_hex(32)
    yield from _say(sock, {"pinchpoint": PROTOCOL, "nonce": nonce})
    heard, rest = yield from _hear(sock)
    key = _session_key(token, nonce, str(heard.get("nonce")))
    if not hmac.compare_digest(str(heard.get("proof")).encode(), _proof(key, b"caller")):
        yield from _say(sock, {"refused": "it has another token; give the one printed there with --token"})
        raise Stranger("it does not know the token")
    yield from _say(sock, {"proof": _proof(key, b"listener").decode()})
    return Keys(_derived(key, b"from listener"), _derived(key, b"from caller")), rest


def greet_as_caller(sock: socket.socket, token: str) -> Greeting:
    """Do the other half of `greet_as_listener`."""
    yield from _settle_tls(sock)
    greeting, _ = yield from _hear(sock)
    if greeting.get("pinchpoint") != PROTOCOL:
        raise Stranger("it is not pinchpoint, or one of another version")
    nonce = secrets.token_hex(32)
    key = _session_key(token, str(greeting.get("nonce")), nonce)
    yield from _say(sock, {"nonce": nonce, "proof": _proof(key, b"caller").decode()})
    heard, rest = yield from _hear(sock)
    if "refused" in heard:
        raise Stranger(str(heard["refused"]))
    if not hmac.compare_digest(str(heard.get("proof")).encode(), _proof(key, b"listener")):
        raise Stranger("it could not prove that it knows the token")
    return Keys(_derived(key, b"from caller"), _derived(key, b"from listener")), rest


def _session_key(token: str, listeners: str, callers: str) -> bytes:
    return hmac.digest(token.encode(), json.dumps([PROTOCOL, listeners, callers]).encode(), "sha256")


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, purpose, "sha256")


def _proof(key: bytes, side: bytes) -> bytes:
    return _derived(key, b"proof of " + side).hex().encode()


def _settle_tls(sock: socket.socket) -> Generator[int, None, None]:
    sock.setblocking(False)
    if isinstance(sock, ssl.SSLSocket):
        yield from _attempt(sock.do_handshake, selectors.EVENT_READ)


def _say(sock: socket.socket, message: dict[str, Any]) -> Generator[int, None, None]:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[(yield from _attempt(functools.partial(sock.send, data), selectors.EVENT_WRITE)) :]


def _hear(sock: socket.socket) -> Generator[int, None, tuple[dict[str, Any], bytes]]:
    """Read one short line: nobody has proven anything yet."""
    heard = b""
    while b"\n" not in heard:
        chunk = yield from _attempt(lambda: sock.recv(CHUNK), selectors.EVENT_READ)
        if not chunk:
            raise Stranger("it hung up before it had proven the token")
        heard += chunk
        if b"\n" not in heard and len(heard) > LONGEST_GREETING:
            break
    line, _, rest = heard.partition(b"\n")
    try:
        message = json.loads(line) if len(line) <= LONGEST_GREETING else None
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Stranger("it is not pinchpoint")
    return message, rest


def _attempt(operation: Callable[[], Outcome], event: int) -> Generator[int, None, Outcome]:
    """Repeat what would block, yielding what to wait for in between."""
    while True:
        try:
            return operation()
        except ssl.SSLWantReadError:
            yield selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            yield selectors.EVENT_WRITE
        except BlockingIOError:
            yield event


def drive(greeting: Greeting, sock: socket.socket, deadline_s: float) -> tuple[Keys, bytes]:
    """Carry a greeting out; raises `TimeoutError` at `deadline_s` (monotonic seconds)."""
    try:
        while True:
            events = next(greeting)
            if (left_s := deadline_s - time.monotonic()) <= 0:
                raise TimeoutError
            await_events(sock, events, left_s)
    except StopIteration as done:
        result: tuple[Keys, bytes] = done.value
        return result


def await_events(sock: socket.socket, events: int, timeout_s: float) -> None:
    """Wait until a socket is ready for one of the selector events, or broken, or the time is over."""
    poll = select.poll()
    reading, writing = events & selectors.EVENT_READ, events & selectors.EVENT_WRITE
    poll.register(sock, (select.POLLIN if reading else 0) | (select.POLLOUT if writing else 0))
    poll.poll(max(0.0, timeout_s) * 1000)


def tune(sock: socket.socket) -> None:
    """Send small lines at once, and notice within `DEAD_S` that the other host is gone, silent or not."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": DEAD_S - 1, "TCP_USER_TIMEOUT": DEAD_S * 1000}
    for name, value in options.items():
        if hasattr(socket, name):  # not all of them outside Linux
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def reason(error: BaseException) -> str:
    """Say in a few words what an error of a socket was."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"the other side does not speak TLS as we do ({error.reason or error})"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
