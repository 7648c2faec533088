"""Keep a load process on a worker host from connecting to anything but the hosts that were allowed there.

The target's address is checked before anything starts; this also catches a Locust file that names other hosts by full
URL, and redirects. It guards against mistakes, not against malice: whoever has the token runs Python here.
"""

import ipaddress
import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

FENCE_VARIABLE = "PINCHPOINT_ALLOWED_HOSTS"
"""JSON list of the names and addresses that may be connected to beside loopback; unset: any."""
_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
Hook = Callable[[str, tuple[Any, ...]], None]


def fenced(environ: Mapping[str, str], hosts: Iterable[str]) -> dict[str, str]:
    """Return the environment of a load process that may reach these hosts and loopback."""
    return {**environ, FENCE_VARIABLE: json.dumps(sorted(hosts))}


def build_fence(hosts: Iterable[str], resolve: Callable[[str], set[str]]) -> Hook:
    """Return an audit hook (PEP 578) that refuses connections to other hosts with a PermissionError."""
    known = {address for host in hosts for address in {host, *resolve(host)}}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS:
            return
        address = arguments[1]
        if isinstance(address, tuple) and address and not _may(str(address[0]), known):
            raise PermissionError(f"{address[0]} is not allowed on this load worker; allow it with --allow-host there")

    return hook


def set_fence(environ: Mapping[str, str] = os.environ) -> None:
    """Put up the fence that the environment asks for; for the rest of this process's life."""
    if FENCE_VARIABLE in environ:
        sys.addaudithook(build_fence(json.loads(environ[FENCE_VARIABLE]), resolve_host))


def resolve_host(host: str) -> set[str]:
    """Return the addresses of a host; none when it is not known."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return set()


def _may(host: str, known: set[str]) -> bool:
    if host in known or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
