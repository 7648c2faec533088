"""`pinchpoint init`: a Locust file for the user's own app, from its OpenAPI document."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pinchpoint.commands.config import RunConfig, parse_env
from pinchpoint.commands.printing import talk
from pinchpoint.errors import UsageError

if TYPE_CHECKING:  # `--help` should load little
    from pinchpoint.commands.init.plan import LoadPlan
    from pinchpoint.commands.init.source import Document
    from pinchpoint.commands.init.words import Usage

SERVER, LOGIN = "Server", "Who the load is"
_SHOWN = 12
"""Lines about single operations; the file has all of them."""


def init(
    target: Annotated[
        str | None, typer.Argument(metavar="[MODULE:APP]", help="Your app; it is started, asked, and ended.")
    ] = None,
    *,
    ctx: typer.Context,
    url: Annotated[str | None, typer.Option(help="A server that runs already, or the address of its document.")] = None,
    openapi: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="The document as a file, JSON or YAML.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="Where the app has its document; default: the usual places.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="The file to write.")] = Path(
        "locustfile.py"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite it if it is there.")] = False,
    auth_user: Annotated[
        str | None,
        typer.Option(rich_help_panel=LOGIN, help="Name to log in with; default: LOAD_USERNAME when the file runs."),
    ] = None,
    auth_password: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOGIN, help="Its password, which is then in the file; default: LOAD_PASSWORD when it runs."
        ),
    ] = None,
    python: Annotated[
        str | None, typer.Option(rich_help_panel=SERVER, help="The app's own interpreter, such as .venv/bin/python.")
    ] = None,
    cwd: Annotated[
        Path | None,
        typer.Option(rich_help_panel=SERVER, exists=True, file_okay=False, help="Folder the app starts in."),
    ] = None,
    factory: Annotated[
        bool, typer.Option("--factory", rich_help_panel=SERVER, help="APP makes the app: it is called first.")
    ] = False,
    env: Annotated[
        list[str] | None, typer.Option(rich_help_panel=SERVER, help="NAME=VALUE for the app; repeatable.")
    ] = None,
    ready: Annotated[
        str, typer.Option(rich_help_panel=SERVER, help="Path polled until the app answers; any status below 500.")
    ] = "/",
    allow_host: Annotated[
        list[str] | None, typer.Option(rich_help_panel=SERVER, help="A host, not this machine, that is yours to press.")
    ] = None,
) -> None:
    """Write a Locust file for your app: a task for each operation of its OpenAPI document.

    - `pinchpoint init shop.main:app` starts the app, reads /openapi.json, ends the app, writes locustfile.py

    - `pinchpoint init --url http://127.0.0.1:8000` asks a server that runs

    - `pinchpoint init --openapi openapi.yaml -o load.py` needs no app

    - `pinchpoint init -- .venv/bin/uvicorn shop.main:app --port {port}` whatever a command starts

    Bodies are made from the schemas, ids are those of records that the load has made itself, a login is found if there
    is one. What could not be done is said here and in the file. docs/init.md
    """
    words: tuple[str, ...] = ctx.obj or ()
    config = RunConfig(
        target=target,
        command=words,
        url=url,
        python=python,
        cwd=cwd,
        factory=factory,
        env=parse_env(env or []),
        ready_path=ready if ready.startswith("/") else f"/{ready}",
        allow_hosts=tuple(allow_host or ()),
    )
    check(config, openapi, path, out, force=force)
    if auth_password is not None and auth_user is None:
        raise UsageError("--auth-password needs --auth-user")
    document = read(config, openapi, path)
    plan, text = make(document, config, out.name, auth_user, auth_password)
    out.write_text(text, encoding="utf-8")
    tell(plan, out, talk, password=auth_password is not None)


def check(config: RunConfig, openapi: Path | None, path: str | None, out: Path, *, force: bool) -> None:
    """Refuse what cannot be meant, before anything is started.

    Raises:
        UsageError: two sources, a file that is there already, or a folder that is not.

    """
    if openapi is not None and (config.target or config.command or config.url):
        raise UsageError("--openapi is a document that is read as it is: leave out the app and --url")
    if openapi is not None and path is not None:
        raise UsageError("--path is a place on a server; --openapi is a file")
    if config.target is not None and config.command:
        raise UsageError("give MODULE:APP or a command after `--`, not both")
    if config.target is not None and config.url is not None:
        raise UsageError("--url asks a server that runs already: leave out MODULE:APP")
    if out.exists() and not force:
        raise UsageError(f"{out} is there already; --force overwrites it, -o writes to another file")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {out.parent}")
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise UsageError(f"{out} cannot be written")


def read(config: RunConfig, openapi: Path | None, path: str | None) -> "Document":
    """Get the document from where the user said.

    Raises:
        UsageError: it is no document.
        TargetError: the app does not start, or has none.

    """
    from pinchpoint.commands.init import source as init_source  # noqa: PLC0415 - `--help` should load little

    if openapi is not None:
        return init_source.from_file(openapi)
    if config.url is not None and not config.command:
        return init_source.from_url(config.url, path, config.allow_hosts)
    return init_source.from_app(config, path)


def make(
    document: "Document", config: RunConfig, name: str, user: str | None = None, password: str | None = None
) -> tuple["LoadPlan", str]:
    """Return the plan and the text of the Locust file; `name` is the file's.

    Raises:
        UsageError: it is no OpenAPI 3 document, or nothing in it can be sent.

    """
    from pinchpoint.commands.init.plan import make_plan  # noqa: PLC0415 - as above
    from pinchpoint.commands.init.words import written  # noqa: PLC0415
    from pinchpoint.stress.openapi.document import read_api  # noqa: PLC0415

    try:
        api = read_api(document.content)
    except UsageError as error:
        raise UsageError(f"{document.place}: {error}") from error
    plan = make_plan(api, user, password)
    if not plan.tasks:
        why = f" ({plan.left_out[0][0]}: {plan.left_out[0][1]})" if plan.left_out else ""
        raise UsageError(f"{document.place} has no operation that a load could be made of{why}")
    return plan, written(plan, usage(config, name, reference=document.reference))


def usage(config: RunConfig, name: str, *, reference: bool = False) -> "Usage":
    """Say how the file is run against what it was made from."""
    from pinchpoint.commands.init.words import Usage  # noqa: PLC0415 - as above

    options = [*(["--python", config.python] if config.python else []), *(["--factory"] if config.factory else [])]
    options += ["--cwd", str(config.cwd)] if config.cwd else []
    if config.command:
        return Usage(name=name, target=" ".join([*options, "--", *config.command]))
    if config.url is not None:
        host = config.url if "//" in config.url else f"http://{config.url}"
        scheme, _, rest = host.partition("//")
        base = f"{scheme}//{rest.partition('/')[0]}"
        return Usage(name=name, target=f"--url {base} --pid PID", host=base)
    app = [] if reference else [config.target or "MODULE:APP"]
    return Usage(name=name, target=" ".join([*options, *app]))


def tell(plan: "LoadPlan", out: Path, talk: Console, *, password: bool) -> None:
    """Say on stderr what was written, and what was not."""

    def say(text: str, style: str | None = None) -> None:
        talk.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    lines = [f"left out: {label}: {why}" for label, why in plan.left_out]
    lines += [f"look at: {label}: {note}" for label, note in plan.notes]
    for line in lines[:_SHOWN]:
        say(line)
    if len(lines) > _SHOWN:
        say(f"and {len(lines) - _SHOWN} more, at the top of {out}")
    missing = [f"LOAD_{one.name}" for one in plan.variables if one.must and not one.default]
    if missing:
        say(f"before you run it: set {', '.join(missing)} in the environment")
    elif plan.sign_in is not None and plan.sign_in.registration is not None:
        say("every user registers an account of its own; LOAD_USERNAME and LOAD_PASSWORD log in with one that is there")
    if password:
        say(f"{out} holds the password that you gave; leave --auth-password out to keep it out")
    count = len(plan.tasks)
    say(f"Wrote {out}: {count} {'task' if count == 1 else 'tasks'}", "dim")
