"""The line between two machines: who is let in, what holds on the way, and whose clock is how far ahead."""

import functools
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint import links
from pinchpoint.credentials import calling_tls, serving_tls
from pinchpoint.links import Link, LinkError, Listener, answer, connect, measure_offset
from pinchpoint.offsets import Offset, offset_of
from pinchpoint.wire import Keys

TOKEN = "one that nobody guesses"


@pytest.fixture
def refused() -> list[str]:
    """What the listener logged."""
    return []


@pytest.fixture
def listener(refused: list[str]) -> Iterator[Listener]:
    """A listener on a free port of loopback."""
    with Listener("127.0.0.1", 0, TOKEN, log=refused.append) as one:
        yield one


def in_background(call: Callable[[], object]) -> list[object]:
    """Run a call in a thread; the list gets its result, or the error it raised, and the thread."""
    result: list[object] = []

    def run() -> None:
        try:
            result.append(call())
        except LinkError as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    result.append(thread)
    return result


def outcome(result: list[object]) -> object:
    """Wait for what `in_background` runs."""
    thread = result[0]
    assert isinstance(thread, threading.Thread)
    thread.join(10)
    return result[1]


def pair(listener: Listener, token: str = TOKEN) -> tuple[Link, Link]:
    """Connect a caller; return both ends, the caller's first."""
    calling = in_background(lambda: connect("127.0.0.1", listener.port, token, timeout_s=5))
    accepted = listener.accept(5)
    ours = outcome(calling)
    assert isinstance(ours, Link)
    assert accepted is not None
    return ours, accepted


def linked(ours: socket.socket, theirs: socket.socket) -> tuple[Link, Link]:
    """Return links over a socket pair, as if both had greeted."""
    return Link(ours, "a", Keys(b"1" * 32, b"2" * 32)), Link(theirs, "b", Keys(b"2" * 32, b"1" * 32))


def test_both_sides_talk_once_the_token_is_proven(listener: Listener) -> None:
    """Messages go both ways, whole and in order."""
    ours, theirs = pair(listener)
    with ours, theirs:
        for number in range(3):
            ours.send({"number": number})
        theirs.send({"text": "grüße\n"})

        assert ours.take(2) == [{"text": "grüße\n"}]
        assert theirs.take(2) == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_a_wrong_token_is_refused_in_plain_words(listener: Listener, refused: list[str]) -> None:
    """The caller learns what to do; the listener logs who came."""
    calling = in_background(lambda: connect("127.0.0.1", listener.port, "some other token"))

    assert listener.accept(0.2) is None
    assert "it has another token; give the one printed there with --token" in str(outcome(calling))
    assert len(refused) == 1
    assert refused[0].endswith("it does not know the token")


def test_a_listener_that_does_not_know_the_token_is_not_believed() -> None:
    """The caller wants the proof as well: whoever took the listener's place cannot give it orders."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calling = in_background(lambda: connect("127.0.0.1", server.getsockname()[1], TOKEN))
        sock, _ = server.accept()
        with sock:
            sock.sendall(b'{"pinchpoint": 1, "nonce": "00"}\n')
            assert b"proof" in sock.recv(1000)
            sock.sendall(b'{"proof": "00"}\n')
            error = outcome(calling)

    assert "it could not prove that it knows the token" in str(error)


def test_the_token_never_travels() -> None:
    """What a caller sends holds nothing of the token, and another nonce gives another proof."""
    heard = []
    for nonce in ("00", "01"):
        with socket.create_server(("127.0.0.1", 0)) as server:
            calling = in_background(functools.partial(connect, "127.0.0.1", server.getsockname()[1], TOKEN))
            sock, _ = server.accept()
            with sock:
                sock.sendall(b'{"pinchpoint": 1, "nonce": "%s"}\n' % nonce.encode())
                heard.append(sock.recv(1000))
            outcome(calling)

    assert all(TOKEN.encode() not in words for words in heard)
    assert heard[0] != heard[1]


def test_strangers_hold_nobody_up(listener: Listener, refused: list[str]) -> None:
    """One that says nothing, one that hangs up and one that talks HTTP: the rightful caller comes through at once."""
    with socket.create_connection(("127.0.0.1", listener.port)) as silent:
        socket.create_connection(("127.0.0.1", listener.port)).close()
        with socket.create_connection(("127.0.0.1", listener.port)) as browser:
            browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            began_s = time.monotonic()
            ours, theirs = pair(listener)
            took_s = time.monotonic() - began_s
            ours.close()
            theirs.close()
            listener.accept(0.1)
        assert silent.fileno() >= 0

    assert took_s < 1
    assert any("it is not pinchpoint" in line for line in refused)


def test_a_silent_stranger_is_dropped(listener: Listener, refused: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told nothing and its socket is closed once its time is over."""
    monkeypatch.setattr(links, "GREETING_S", 0.1)
    with socket.create_connection(("127.0.0.1", listener.port)) as silent:
        listener.accept(0.3)
        silent.settimeout(2)
        silent.recv(1000)  # our nonce

        assert silent.recv(1000) == b""
    assert len(refused) == 1
    assert "did not prove the token" in refused[0]


def test_more_strangers_than_places_push_out_the_oldest(
    listener: Listener, refused: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of silent connections cannot lock a worker out."""
    monkeypatch.setattr(links, "STRANGERS_AT_ONCE", 3)
    flood = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(6)]
    ours, theirs = pair(listener)
    ours.close()
    theirs.close()
    for sock in flood:
        sock.close()

    assert refused[0].endswith("too many strangers at once")


def test_something_else_that_listens_is_named_as_such() -> None:
    """An SSH server, say."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calling = in_background(lambda: connect("127.0.0.1", server.getsockname()[1], TOKEN))
        sock, _ = server.accept()
        with sock:
            sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            error = outcome(calling)

    assert "it is not pinchpoint" in str(error)


def test_one_that_says_nothing_is_not_waited_for_forever() -> None:
    """The time given counts for the greeting as well."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(LinkError, match="did not greet as pinchpoint"),
    ):
        connect("127.0.0.1", server.getsockname()[1], TOKEN, timeout_s=0.2)


def test_nobody_there_is_said_with_the_address() -> None:
    """The most frequent mistake of all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    with pytest.raises(LinkError, match=f"cannot reach 127.0.0.1:{port}: Connection refused"):
        connect("127.0.0.1", port, TOKEN)


def test_an_address_in_use_is_said(listener: Listener) -> None:
    """Two runs cannot listen at the same place."""
    with pytest.raises(LinkError, match=f"cannot listen on 127.0.0.1:{listener.port}"):
        Listener("127.0.0.1", listener.port, TOKEN)


def test_a_link_says_why_it_is_gone(listener: Listener) -> None:
    """The other side ended it: what came before is not lost, sending raises."""
    ours, theirs = pair(listener)
    theirs.send({"last": "word"})
    theirs.close()

    assert ours.take(2) + ours.take(2) == [{"last": "word"}]
    assert (ours.closed, ours.why) == (True, "it ended the connection")
    with pytest.raises(LinkError, match="is gone: it ended the connection"):
        ours.send({})


def test_a_peer_that_takes_nothing_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process must not hang the engine."""
    monkeypatch.setattr(links, "SEND_S", 0.2)
    ours, theirs = linked(*socket.socketpair())
    with ours, theirs, pytest.raises(LinkError, match=r"it took nothing for 0\.2 s"):
        ours.send({"much": "x" * 5_000_000})


def test_two_sides_that_both_send_much_do_not_block_each_other() -> None:
    """Each reads while it cannot write."""
    ours, theirs = linked(*socket.socketpair())
    big = {"much": "x" * 3_000_000}

    def send_and_take(link: Link) -> list[dict[str, object]]:
        link.send(big)
        return link.take(5)

    with ours, theirs:
        sending = in_background(lambda: send_and_take(theirs))
        heard = send_and_take(ours)

        assert (heard, outcome(sending)) == ([big], [big])


class _Echo:
    """Stands for a link whose other side answers pings after given delays, with a clock that is ahead."""

    peer, why, closed = "fake", "", False

    def __init__(self, ahead_s: float, delays: list[tuple[float, float]]) -> None:
        self.now_s = 100.0
        self._ahead_s, self._delays = ahead_s, iter(delays)
        self._waiting: list[dict[str, object]] = []
        self.returned: list[dict[str, object]] = []

    def clock(self) -> float:
        return self.now_s

    def send(self, message: dict[str, object]) -> None:
        there_s, back_s = next(self._delays)
        at_s = self.now_s + there_s + self._ahead_s
        self.now_s += there_s + back_s
        self._waiting = [{"row": 1}, {"pong": message["ping"], "t_s": at_s}]

    def take(self, timeout_s: float = 0.0) -> list[dict[str, object]]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def put_back(self, messages: list[dict[str, object]]) -> None:
        self.returned += messages


DELAY_S = st.floats(0, 2)


@given(st.floats(-1e6, 1e6), st.lists(st.tuples(DELAY_S, DELAY_S), min_size=8, max_size=8))
def test_the_true_offset_lies_within_the_error(ahead_s: float, delays: list[tuple[float, float]]) -> None:
    """However unequal the two ways are; and messages in between are kept."""
    echo = _Echo(ahead_s, delays)

    offset = measure_offset(echo, echo.clock)  # type: ignore[arg-type] # a fake

    assert abs(offset.seconds - ahead_s) <= offset.error_s + 1e-6
    assert offset.error_s == pytest.approx(min(there_s + back_s for there_s, back_s in delays) / 2, abs=1e-6)
    assert len(echo.returned) == 8


def test_an_exchange_shows_the_offset_in_its_middle() -> None:
    """Sent at 10, received at 12, theirs was 111 in between: 100 ahead, give or take 1."""
    assert offset_of(10, 111, 12) == Offset(100, 1)


def test_the_offset_of_a_real_link_is_that_of_the_clocks(listener: Listener) -> None:
    """On one machine the true offset is what we add to the clock."""
    ours, theirs = pair(listener)

    def serve() -> None:
        while not theirs.closed:
            for message in theirs.take(0.1):
                answer(message, theirs, lambda: time.monotonic() + 1234)

    serving = in_background(serve)
    offset = measure_offset(ours)
    ours.close()
    outcome(serving)

    assert abs(offset.seconds - 1234) <= offset.error_s
    assert offset.error_s < 0.05


def test_an_other_side_that_answers_no_ping_is_named(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host may be frozen."""
    monkeypatch.setattr(links, "ROUND_S", 0.1)
    ours, theirs = pair(listener)

    with ours, theirs, pytest.raises(LinkError, match=r"does not answer: nothing came for 0\.1 s"):
        measure_offset(ours)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=pinchpoint"
    subprocess.run(
        ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


def test_tls_with_a_certificate_of_ones_own(certificate: tuple[Path, Path], refused: list[str]) -> None:
    """The caller that has the certificate gets in, one that has none does not, and neither does one without TLS."""
    cert, key = certificate
    with Listener("127.0.0.1", 0, TOKEN, serving_tls(cert, key), refused.append) as listener:
        calling = in_background(lambda: connect("127.0.0.1", listener.port, TOKEN, calling_tls(cert)))
        theirs = listener.accept(5)
        ours = outcome(calling)
        assert isinstance(ours, Link)
        assert theirs is not None
        with ours, theirs:
            theirs.send({"much": "x" * 1_000_000})
            assert ours.take(5) == [{"much": "x" * 1_000_000}]
            ours.send({"a": 1})
            assert theirs.take(5) == [{"a": 1}]

        import ssl  # noqa: PLC0415 - the only test that needs it

        doubting = in_background(
            lambda: connect("127.0.0.1", listener.port, TOKEN, ssl.create_default_context(), timeout_s=3)
        )
        assert listener.accept(0.3) is None
        assert "its certificate is not believed" in str(outcome(doubting))
        plain = in_background(lambda: connect("127.0.0.1", listener.port, TOKEN, timeout_s=0.15))
        assert listener.accept(0.2) is None
        assert "it may want TLS (--tls-ca)" in str(outcome(plain))


def test_a_plain_listener_is_said_to_speak_no_tls(certificate: tuple[Path, Path], listener: Listener) -> None:
    """The other way round."""
    calling = in_background(
        lambda: connect("127.0.0.1", listener.port, TOKEN, calling_tls(certificate[0]), timeout_s=2)
    )
    assert listener.accept(0.2) is None
    assert "TLS failed" in str(outcome(calling))
