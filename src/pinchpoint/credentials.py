"""What a link needs from the command line: an address, a token, and certificates if it shall be secret."""

import ipaddress
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from pinchpoint.links import LinkError, new_token
from pinchpoint.wire import reason

TOKEN_VARIABLE = "PINCHPOINT_TOKEN"  # noqa: S105 - the name of a variable
SHORTEST_TOKEN = 12
"""Characters. Whoever lures one of our sides can try tokens at leisure; a made one holds 192 bits."""
LOOPBACK = "127.0.0.1"


def choose_token(given: str | None, environ: Mapping[str, str] = os.environ) -> tuple[str, bool]:
    """Return the token of the command line, else of `PINCHPOINT_TOKEN`, else a new one, and whether it is new.

    Raises:
        LinkError: a token that was given is too short.

    """
    token = given or environ.get(TOKEN_VARIABLE)
    if not token:
        return new_token(), True
    if len(token) < SHORTEST_TOKEN:
        raise LinkError(
            f"a token of {len(token)} characters can be guessed; "
            f"use {SHORTEST_TOKEN} or more, or leave it out to get one"
        )
    return token, False


def given_token(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the token of the command line, else of `PINCHPOINT_TOKEN`.

    Raises:
        LinkError: there is none, or it is too short.

    """
    token, made = choose_token(given, environ)
    if made:
        raise LinkError(f"the other side's token is missing: give it with --token or in {TOKEN_VARIABLE}")
    return token


def split_address(text: str, default_port: int) -> tuple[str, int]:
    """Split `HOST`, `HOST:PORT`, `[::1]:PORT` or `:PORT`; no host is loopback.

    Raises:
        LinkError: not an address.

    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or text.endswith("]") or (text.count(":") > 1 and not text.startswith("[")):
        host, port = text.strip(), str(default_port)
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:  # noqa: PLR2004 - the last port
        raise LinkError(f"'{text}' is not an address; write it like 10.0.0.1:{default_port}")
    return host.strip("[]") or LOOPBACK, int(port)


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine as seen by itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serving_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS settings of a listener.

    Raises:
        LinkError: the files cannot be read, or do not fit each other.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"cannot use the certificate {certificate} with the key {key}: {reason(error)}") from error
    return context


def calling_tls(ca: Path) -> ssl.SSLContext:
    """Return the TLS settings of a caller that believes certificates signed by `ca`, or that very certificate.

    Raises:
        LinkError: the file cannot be read.

    """
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise LinkError(f"cannot read the certificate {ca}: {reason(error)}") from error
