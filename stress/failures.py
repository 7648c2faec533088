"""Name the kind of a failed request. Knows exceptions by class name, so it needs neither Locust nor its clients."""

import errno
from collections.abc import Iterator

from pinchpoint.clientstats import OUT_OF_DESCRIPTORS, OUT_OF_PORTS

CLIENT_ERROR = 400
CAUSES_FOLLOWED = 8

_OUR_OWN_LIMITS = {
    errno.EMFILE: OUT_OF_DESCRIPTORS,
    errno.ENFILE: OUT_OF_DESCRIPTORS,
    errno.EADDRNOTAVAIL: OUT_OF_PORTS,
}
_CONNECTION_NAMES = frozenset(
    {
        "ChunkedEncodingError",
        "ConnectionError",
        "HTTPConnectionClosed",
        "IncompleteRead",
        "NewConnectionError",
        "ProtocolError",
        "RemoteDisconnected",
        "RetriesExceeded",
    }
)


def kind_of(exception: BaseException, status: int) -> str:
    """Return what went wrong, in the fewest words.

    `failed` (the Locust file said so), the HTTP status, `timeout`, `connection`, what the generator itself ran out of,
    or the class name.

    Args:
        exception: what Locust reported with the request.
        status: HTTP status of the response; 0 when there was none.

    """
    chain = list(_causes(exception))
    names = {cls.__name__ for link in chain for cls in type(link).__mro__}
    if "CatchResponseError" in names:
        return "failed"
    if status >= CLIENT_ERROR:
        return str(status)
    numbers = [link.errno for link in chain if isinstance(link, OSError)]
    ours = [_OUR_OWN_LIMITS[number] for number in numbers if number in _OUR_OWN_LIMITS]
    if ours:
        return ours[0]
    if any(isinstance(link, TimeoutError) or "Timeout" in type(link).__name__ for link in chain):
        return "timeout"
    if any(isinstance(link, ConnectionError) for link in chain) or names & _CONNECTION_NAMES:
        return "connection"
    return type(exception).__name__


def _causes(exception: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it wraps, outermost first; clients hide the reason in causes or in arguments."""
    queue: list[BaseException] = [exception]
    seen: list[BaseException] = []
    while queue and len(seen) < CAUSES_FOLLOWED:
        link = queue.pop(0)
        if any(link is other for other in seen):
            continue
        seen.append(link)
        yield link
        hidden = (getattr(link, name, None) for name in ("original", "reason"))
        inner = (link.__cause__, link.__context__, *hidden, *link.args)
        queue.extend(item for item in inner if isinstance(item, BaseException))
