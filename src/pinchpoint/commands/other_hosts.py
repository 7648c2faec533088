"""The commands that run on other hosts than the run itself, as the command line shows them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def agent(
    *,
    ctx: typer.Context,
    pid: Annotated[
        int | None, typer.Option(min=2, help="A server that already runs here; looked at, never ended.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="TCP port of the server; `{port}` in COMMAND stands for it."),
    ] = None,
    pages: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the probe's pages, with --pid; default: its own.")
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Address on which a run may call this agent.")
    ] = "127.0.0.1:5558",
    token: Annotated[
        str | None, typer.Option(help="What a run must know; default: PINCHPOINT_TOKEN, else a new one is printed.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate: the line is encrypted.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its private key.")] = None,
) -> None:
    """Send what is seen of a server on this host to a run on another one, until Ctrl-C.

    On the server's host, with the server started by the agent (the probe is inside then), or one that runs already:

    - `pinchpoint agent --listen 10.0.0.2:5558 --port 8000 -- uvicorn app:app --host 10.0.0.2 --port {port}`

    - `pinchpoint agent --listen 10.0.0.2:5558 --pid 4242`

    On the load host, with the token that the agent prints:

    - `pinchpoint run --url http://10.0.0.2:8000 --allow-host 10.0.0.2 --agent 10.0.0.2:5558 --token TOKEN`

    It serves one run at a time, any number one after the other. docs/agent.md says what is sent, and what it costs.
    """
    from pinchpoint.commands.agent import AgentConfig, run_agent  # noqa: PLC0415 - `--help` should load little

    config = AgentConfig(pid, ctx.obj, port, pages, listen, token, tls_cert, tls_key)
    run_agent(config, Console(stderr=True))


def worker(
    *,
    master: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="Where the run listens; it prints this command.")],
    token: Annotated[str | None, typer.Option(help="That of the run; default: PINCHPOINT_TOKEN.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Load processes to offer; the run counts each.")] = 1,
    cpus: Annotated[str | None, typer.Option(help="CPUs that they may run on, such as 0-3.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Certificate that the run's TLS rests on.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A host that may be pressed from here; repeatable. Loopback always may.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until the run listens.")] = 60.0,
    keep: Annotated[bool, typer.Option("--keep", help="Wait for the next run after each, until Ctrl-C.")] = False,
) -> None:
    """Make load on this machine for a `pinchpoint run --expect-workers` on another one.

    The run sends its Locust file, which is Python: give its token to nobody whom you would not let run code here.
    """
    from pinchpoint.commands.config import parse_cpus  # noqa: PLC0415 - as above
    from pinchpoint.commands.worker import WorkerConfig, run_worker  # noqa: PLC0415
    from pinchpoint.credentials import given_token  # noqa: PLC0415

    config = WorkerConfig(
        master=master,
        token=given_token(token),
        processes=processes,
        cpus=parse_cpus(cpus, "--cpus") if cpus is not None else None,
        tls_ca=tls_ca,
        allow_hosts=tuple(allow_host or ()),
        wait_s=wait,
        keep=keep,
    )
    run_worker(config, Console(stderr=True))
