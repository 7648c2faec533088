"""Waiting for load workers: who is taken, who is refused, what is to be typed, and when it is enough."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.load_workers import Recruit, check_workers, command, gathered
from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.links import Link, LinkError, Listener, connect
from pinchpoint.readiness import free_port
from pinchpoint.stress.joining import Hello

TOKEN = "a token for tests only"
ELSEWHERE = "http://10.0.0.9:8000"


@pytest.fixture
def config() -> RunConfig:
    """One worker is expected, briefly."""
    return RunConfig(expect_workers=1, listen=f"127.0.0.1:{free_port()}", token=TOKEN, worker_wait_s=0.4)


Call = Callable[[dict[str, object]], None]


@pytest.fixture
def call(config: RunConfig) -> Iterator[Call]:
    """Return how to call the run and say something, from a thread; the link stays until the test ends."""
    threads: list[threading.Thread] = []
    over = threading.Event()

    def talk(message: dict[str, object]) -> None:
        link: Link | None = None
        while link is None and not over.is_set():
            try:
                link = connect("127.0.0.1", int(config.listen.rpartition(":")[2]), TOKEN)
            except LinkError:
                over.wait(0.02)
        if link is not None:
            with link:
                link.send(message)
                while not over.is_set() and not link.closed:
                    heard.extend(link.take(0.05))

    def start(message: dict[str, object]) -> None:
        threads.append(threading.Thread(target=talk, args=(message,)))
        threads[-1].start()

    heard: list[dict[str, object]] = []
    start.heard = heard  # type: ignore[attr-defined]
    yield start
    over.set()
    for thread in threads:
        thread.join(5)


def gather(config: RunConfig, said: list[str]) -> list[Recruit]:
    """Wait for workers, and let them go."""
    with gathered(config, said.append) as recruits:
        return list(recruits)


def test_a_run_that_expects_nobody_listens_nowhere(config: RunConfig) -> None:
    """No port is opened unasked."""
    with gathered(replace(config, expect_workers=0, listen="nowhere at all"), pytest.fail) as recruits:
        assert recruits == []


def test_a_worker_that_fits_is_taken(config: RunConfig, call: Call) -> None:
    """And told to the user, with how many there are."""
    said: list[str] = []
    call(Hello.ours().message())

    recruits = gather(config, said)

    assert [recruit.hello for recruit in recruits] == [Hello.ours()]
    assert said[-1] == f"load worker {Hello.ours().host} has joined: 1 of 1"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (replace(Hello.ours(), pinchpoint="0.0").message(), "it has pinchpoint 0.0, and the run"),
        ({"role": "agent"}, "it is no load worker"),
    ],
)
def test_one_that_does_not_fit_is_refused(config: RunConfig, call: Call, message: dict[str, object], why: str) -> None:
    """It learns why, the user learns why, and it is not counted."""
    said: list[str] = []
    call(message)

    with pytest.raises(MeasurementError, match=r"0 of 1 load worker came within 0\.4 s \(none\)"):
        gather(config, said)

    assert any(why in line for line in said)
    assert any(why in str(heard.get("refused")) for heard in call.heard)  # type: ignore[attr-defined]


def test_another_locust_is_told_and_taken(config: RunConfig, call: Call) -> None:
    """It may cost more or less, and makes the same load."""
    said: list[str] = []
    call(replace(Hello.ours(), locust="2.0").message())

    assert len(gather(config, said)) == 1
    assert any("has locust 2.0" in line for line in said)


def test_a_worker_that_leaves_again_is_waited_for_anew(config: RunConfig) -> None:
    """Somebody pressed Ctrl-C there while the run waited for the second one."""
    said: list[str] = []
    two = replace(config, expect_workers=2)

    def come_and_go() -> None:
        while True:
            try:
                link = connect("127.0.0.1", int(config.listen.rpartition(":")[2]), TOKEN)
            except LinkError:
                continue
            link.send(Hello.ours().message())
            link.close()
            return

    thread = threading.Thread(target=come_and_go)
    thread.start()
    with pytest.raises(MeasurementError, match="0 of 2 load workers"):
        gather(two, said)
    thread.join()

    assert any("has left again" in line for line in said)


@pytest.mark.parametrize(
    ("change", "token", "expected"),
    [
        (
            {"url": ELSEWHERE},
            "made-for-this-run",
            "PINCHPOINT_TOKEN=made-for-this-run pinchpoint worker --master 127.0.0.1:PORT --allow-host 10.0.0.9",
        ),
        (
            {"url": "http://127.0.0.1:8000", "tls_cert": Path("/keys/cert.pem")},
            None,
            "PINCHPOINT_TOKEN='<the token of this run>' pinchpoint worker --master 127.0.0.1:PORT --tls-ca cert.pem",
        ),
    ],
)
def test_what_to_type_elsewhere_is_said(
    config: RunConfig, change: dict[str, object], token: str | None, expected: str
) -> None:
    """Ready to be copied; a token of the user's own is not shown."""
    with Listener("127.0.0.1", 0, TOKEN) as listener:
        typed = command(replace(config, **change), listener, token)  # type: ignore[arg-type]

        assert typed == expected.replace("PORT", str(listener.port))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"processes": 0, "expect_workers": 0}, "--load-workers 0 leaves nobody to make load"),
        ({"tls_cert": Path("cert.pem")}, "--tls-cert and --tls-key go together"),
        ({"tls_cert": Path("/no/cert"), "tls_key": Path("/no/key")}, "there is no file /no/cert"),
    ],
)
def test_what_makes_no_sense_is_refused(config: RunConfig, change: dict[str, object], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match=said):
        check_workers(replace(config, **change))  # type: ignore[arg-type]


def test_a_machine_may_make_no_load_itself_when_others_do(config: RunConfig) -> None:
    """`--load-workers 0 --expect-workers 1`."""
    check_workers(replace(config, processes=0))
