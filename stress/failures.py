"""Name the kind of a failed request. Knows exceptions by class name, so it needs neither Locust nor its clients."""

from collections.abc import Iterator

CLIENT_ERROR = 400
CAUSES_FOLLOWED = 8

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
    """Return `failed` (the Locust file said so), the HTTP status, `timeout`, `connection` or the class name.

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
