"""Where the OpenAPI document comes from: a file, a server that runs, or an app that is started for it and ended."""

import http.client
import json
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from pinchpoint.commands import scratch
from pinchpoint.commands.boot import wait_ready
from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig, check_host
from pinchpoint.commands.target import plan_target
from pinchpoint.credentials import is_loopback
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.processes import start

BOOT_S = 60.0
"""An app may migrate a database before it answers for the first time."""
ANSWER_S = 30.0
"""The first request for a document makes it, which takes seconds in an app of hundreds of operations."""
STOP_GRACE_S = 3.0
LARGEST_BYTES = 50_000_000
OK = 200
PATHS = (
    "/openapi.json",
    "/api/openapi.json",
    "/api/v1/openapi.json",
    "/v1/openapi.json",
    "/schema/openapi.json",
    "/api/schema/?format=json",
    "/openapi.yaml",
    "/swagger.json",
)
"""Where frameworks have it, unless they were told otherwise; FastAPI's own comes first."""
PAGES = ("/docs", "/redoc", "/api/docs", "/schema")
"""Pages that name the document's address: FastAPI's, and Litestar's."""
_LINK = re.compile(r"""(?:url|spec-url|specUrl)["']?\s*[:=]\s*["']([^"']+)["']""")
_SUFFIXES = (".json", ".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed document, and where it was found."""

    content: Any
    place: str
    reference: bool = False
    """It is that of the app that comes with pinchpoint."""


def from_file(path: Path) -> Document:
    """Read a document from a file.

    Raises:
        UsageError: it is not there, or is neither JSON nor YAML.

    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UsageError(f"--openapi {path}: {reason}") from error
    return Document(content=parsed(text, str(path)), place=str(path))


def from_url(url: str, path: str | None, allow_hosts: tuple[str, ...]) -> Document:
    """Fetch a document from a server that runs.

    `url` is the document's own address, or the server's; then `path` is tried, or else the usual places.

    Raises:
        UsageError: the host is not this machine and was not allowed, or what came is no document.
        TargetError: nobody answers there, or no document is found.

    """
    check_host(url, allow_hosts)
    own = urlsplit(url).path
    if path is None and own.strip("/"):
        if (text := fetched(url)) is not None:
            return Document(content=parsed(text, url), place=url)
        if own.endswith(_SUFFIXES):
            raise TargetError(f"{url} has no document")
    return _found(url.rstrip("/"), path)


@contextmanager
def started(config: RunConfig) -> Iterator[str]:
    """Start a target, without the probe, and yield its address; ends it.

    Raises:
        UsageError: the configuration makes no sense.
        TargetError: the app does not start.

    """
    config = validated(replace(config, pin=False))
    # Left where the app does not start: what it said is in it, and the message names the place.
    folder = Path(tempfile.mkdtemp(prefix="pinchpoint-init-"))
    own = scratch.app_folder() if _is_reference(config) else None
    try:
        plan = plan_target(config, folder, folder, own)
        assert plan.command is not None  # noqa: S101 - only a server that runs already has none
        with start(replace(plan.command, env=plan.env)) as child:
            wait_ready(plan.ready_url, child, BOOT_S)
            try:
                yield plan.base_url
            finally:
                child.stop(STOP_GRACE_S)
                shutil.rmtree(folder, ignore_errors=True)
    except UsageError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _is_reference(config: RunConfig) -> bool:
    return config.target is None and not config.command


def from_app(config: RunConfig, path: str | None) -> Document:
    """Start an app, fetch its document, and end it.

    Raises:
        UsageError: the configuration makes no sense, or what came is no document.
        TargetError: the app does not start, or no document is found.

    """
    with started(config) as base_url:
        document = _found(base_url, path)
    address = urlsplit(document.place)
    name = config.target or (config.command[0] if config.command else "the reference app")
    return replace(document, place=f"{address.path} of {name}", reference=_is_reference(config))


def _found(base_url: str, path: str | None) -> Document:
    """Look in the usual places, then for a page that names another one."""
    if path is not None:
        url = f"{base_url}/{path.lstrip('/')}"
        if (text := fetched(url)) is None:
            raise TargetError(f"{url} has no document; leave --path out to look in the usual places")
        return Document(content=parsed(text, url), place=url)
    for url in (f"{base_url}{one}" for one in PATHS):
        if (text := fetched(url)) is not None and _is_document(text):
            return Document(content=parsed(text, url), place=url)
    for page in (f"{base_url}{one}" for one in PAGES):
        link = _LINK.search(fetched(page) or "")
        url = urljoin(page, link[1]) if link else ""
        # Only on the same server: the page may name one that is not ours to ask.
        if urlsplit(url).netloc == urlsplit(page).netloc and (text := fetched(url)) is not None and _is_document(text):
            return Document(content=parsed(text, url), place=url)
    raise TargetError(
        f"no OpenAPI document was found at {base_url} (tried {', '.join(PATHS[:3])} and others); "
        "name its place with --path, or give it as a file with --openapi"
    )


def _is_document(text: str) -> bool:
    try:
        found = parsed(text, "")
    except UsageError:
        return False
    return isinstance(found, dict) and ("openapi" in found or "swagger" in found)


def fetched(url: str) -> str | None:
    """GET a text; None when there is none (any status but 200). Redirections are not followed.

    Raises:
        TargetError: nobody answers there.

    """
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("GET", (parts.path or "/") + query, headers={"Accept": "application/json, */*"})
        response = connection.getresponse()
        if response.status != OK:
            return None
        return response.read(LARGEST_BYTES).decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"{url} does not answer: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    context = ssl.create_default_context()
    if is_loopback(host):  # signed by nobody, as a rule; another host must be the one it says
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
    return http.client.HTTPSConnection(host, port, timeout=ANSWER_S, context=context)


def parsed(text: str, place: str) -> Any:
    """Parse JSON or YAML.

    Raises:
        UsageError: it is neither.

    """
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip().startswith(("{", "[", "<")):
            raise UsageError(f"{place} is not JSON: {error}") from error
    return _parsed_yaml(text, place)


def _parsed_yaml(text: str, place: str) -> Any:
    import yaml  # noqa: PLC0415 - most documents are JSON

    resolvers = {
        first: [one for one in known if one[0] != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # Dates stay as they are written: JSON has none.
    loader: Any = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
    try:
        return yaml.load(text, loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise UsageError(f"{place} is neither JSON nor YAML: {' '.join(str(error).split())}") from error
