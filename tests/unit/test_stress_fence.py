"""A load process elsewhere reaches what was allowed there, and nothing else."""

import subprocess
import sys

import pytest

from pinchpoint.stress.fence import FENCE_VARIABLE, Hook, build_fence, fenced, resolve_host

NAMES = {"shop.test": {"10.0.0.9", "fd00::9"}}


@pytest.fixture
def hook() -> Hook:
    """A fence around `shop.test`."""
    return build_fence(["shop.test"], lambda host: NAMES.get(host, set()))


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 80),
        ("127.9.9.9", 80),
        ("::1", 80, 0, 0),
        ("localhost", 80),
        ("shop.test", 80),
        ("10.0.0.9", 80),
        ("fd00::9", 80, 0, 0),
        "/run/some.socket",
        b"\0abstract",
    ],
)
@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto"])
def test_what_is_allowed_passes(hook: Hook, event: str, address: object) -> None:
    """Loopback, sockets of this machine, and the named host by name or address."""
    hook(event, (None, address))


@pytest.mark.parametrize("address", [("10.0.0.8", 80), ("example.org", 80), ("fe80::1%eth0", 80, 0, 2)])
@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.sendmsg"])
def test_anything_else_is_refused(hook: Hook, event: str, address: object) -> None:
    """With the way out."""
    with pytest.raises(PermissionError, match="allow it with --allow-host there"):
        hook(event, (None, address))


def test_other_audited_events_pass(hook: Hook) -> None:
    """Opening files is not its business; neither is sending on a socket that is connected."""
    hook("open", ("10.0.0.8", "r", 0))
    hook("socket.sendmsg", (None, None))


def test_the_fence_holds_in_a_process() -> None:
    """Python's own sockets cannot get around it, whichever call they use."""
    program = """
import socket
from pinchpoint.stress.fence import set_fence
set_fence()
for call in (lambda s: s.connect(("192.0.2.1", 9)), lambda s: s.connect_ex(("192.0.2.1", 9))):
    try:
        call(socket.socket())
    except PermissionError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=fenced({}, []), capture_output=True, text=True, check=True
    )

    assert done.stdout.count("192.0.2.1 is not allowed on this load worker") == 2


def test_the_environment_carries_the_hosts() -> None:
    """To the load process and to nobody else."""
    assert fenced({"A": "b"}, ["y", "x"]) == {"A": "b", FENCE_VARIABLE: '["x", "y"]'}


def test_a_host_that_is_unknown_has_no_address() -> None:
    """It can be named and not be reached."""
    assert resolve_host("127.0.0.1") == {"127.0.0.1"}
    assert resolve_host("..") == set()
