"""The command line: parses, calls a command, prints the result on stdout and everything else on stderr."""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from pinchpoint import __version__
from pinchpoint.commands import measuring, other_hosts
from pinchpoint.commands.compare import compare
from pinchpoint.commands.init.command import init
from pinchpoint.commands.options import settings
from pinchpoint.commands.printing import AS_JSON, Result, leave, show_json, talk, wrote
from pinchpoint.commands.scenarios import scenarios
from pinchpoint.errors import ExitCode, PinchpointError

app = typer.Typer(
    help="Find the load at which a Python web app breaks, and name the one resource that breaks it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
RUNS = Path("runs")
SHARING = ("run", "soak", "sweep", "checklist")
"""Commands that share `configure`'s options, and so the settings."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; what follows `--` is the server command of `run`."""
    words = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    try:
        defaults = settings(Path.cwd()) if words and words[0] in SHARING else {}
        # A sweep varies the workers; a checklist is several runs, and the budget is that of one.
        own = {"sweep": _without(defaults, "workers"), "checklist": _without(defaults, "budget")}
        by_command = {**dict.fromkeys(SHARING, defaults), **own}
        app(args=words, obj=tuple(command), default_map=by_command)
    except PinchpointError as error:
        talk.print(f"pinchpoint: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        talk.print("pinchpoint: cannot write: the disk is full; free some space", style="red", highlight=False)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.INVALID_MEASUREMENT)
    sys.exit(ExitCode.DONE)


def _without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pinchpoint {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the load at which a Python web app breaks, and name the one resource that breaks it."""


measuring.register(app)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/latest.")] = RUNS / "latest",
    *,
    k6: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the figures there too, as k6's handleSummary data."),
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Rebuild every output of a recorded run, whole or cut short; needs no server."""
    from pinchpoint.commands.k6 import export_k6  # noqa: PLC0415 - `--help` should not load scientific libraries
    from pinchpoint.commands.rebuild import rebuild  # noqa: PLC0415 - as above
    from pinchpoint.report.terminal import render_summary  # noqa: PLC0415

    rebuilt = rebuild(folder)
    if rebuilt.damaged_rows:
        talk.print(f"{rebuilt.damaged_rows} damaged rows of the recording were left out", highlight=False)
    if k6 is not None:
        wrote({"k6": export_k6(folder, rebuilt.report, k6)})
    if as_json:
        show_json(rebuilt.report)
        return
    render_summary(rebuilt.report, Result())
    wrote(rebuilt.paths)


app.command()(compare)
app.command()(scenarios)
app.command()(init)


@app.command()
def runs(folder: Annotated[Path, typer.Argument(help="Where the runs are.")] = RUNS) -> None:
    """List recorded runs, newest first."""
    from rich.table import Table  # noqa: PLC0415

    from pinchpoint import units  # noqa: PLC0415
    from pinchpoint.commands.runs import list_runs  # noqa: PLC0415

    lines = list_runs(folder)
    if not lines:
        talk.print(f"no runs in {folder}; `pinchpoint run` makes one", highlight=False)
        return
    table = Table("run", "started", "target", "verdict", "sustainable", box=None)
    for line in lines:
        verdict = (line.verdict or "no report") + (" (partial)" if line.partial else "")
        table.add_row(line.id, line.started_at, line.target, verdict, units.rate(line.sustainable_rps))
    Result().print(table)


@app.command(rich_help_panel="Watch")
def exporter(
    *,
    pid: Annotated[
        int | None, typer.Option(min=1, help="A running server: its process and all it started are seen from outside.")
    ] = None,
    pages: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder of the probe's pages; default: as in `probe-env`.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 9464,
    print_dashboard: Annotated[
        bool, typer.Option("--print-dashboard", help="Print the Grafana dashboard and leave.")
    ] = False,
) -> None:
    """Serve the figures of a running server to Prometheus, until Ctrl-C.

    To see inside it, start the server with the probe, which changes nothing in its code or its packages:

    - `eval "$(pinchpoint probe-env)"` once in a shell; it sets PYTHONPATH and PINCHPOINT_PROBE_DIR

    - `uvicorn app:app &` or any other server, in the same shell

    - `pinchpoint exporter`, and point Prometheus at http://127.0.0.1:9464/metrics

    A server that runs already without the probe is seen from outside: `--pid`. docs/metrics.md lists the metrics.
    """
    from pinchpoint.commands.exporter import run_exporter  # noqa: PLC0415
    from pinchpoint.monitoring.exporter import dashboard  # noqa: PLC0415

    if print_dashboard:
        show_json(dashboard())
        return
    run_exporter(pid, pages, host, port, talk)


@app.command("probe-env", rich_help_panel="Watch")
def probe_env(
    pages: Annotated[Path | None, typer.Option(file_okay=False, help="Folder for the probe's pages.")] = None,
) -> None:
    """Print shell commands that put the probe into any server started afterwards: eval "$(pinchpoint probe-env)"."""
    from pinchpoint.commands.exporter import probe_exports  # noqa: PLC0415

    typer.echo(probe_exports(pages))


app.command(rich_help_panel="Other hosts")(other_hosts.agent)
app.command(rich_help_panel="Other hosts")(other_hosts.worker)


@app.command(rich_help_panel="Watch")
def doctor(
    *,
    pid: Annotated[
        int | None, typer.Option(min=1, help="A running server: what can be seen of this very process.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """Say what this machine permits, with the consequence and the remedy of each limit; takes up to 5 s.

    Exit code 0: usable, whatever is limited. 3: nothing can be measured here.
    """
    from pinchpoint.commands import doctor as office  # noqa: PLC0415

    with talk.status("looking") as status:
        checks = office.examine(pid, lambda name: status.update(f"looking: {name}"))
    if as_json:
        show_json(office.as_json(checks))
    else:
        office.render(checks, Result())
    leave(office.exit_code(checks), None)


@app.command()
def selftest(
    *,
    case: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one, also one beyond the short set; repeatable.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Of each case, such as 60s.")] = "60s",
    postgres: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A PostgreSQL server in which databases may be made, for cases that need one."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Where the recordings go.")] = RUNS / "selftest",
    show: Annotated[bool, typer.Option("--list", help="Show every case there is, and run none.")] = False,
    as_json: AS_JSON = False,
) -> None:
    """Is pinchpoint right on this machine? Press apps with a known bottleneck, and see whether it is named.

    Each case is a small app with one fault whose limit is arithmetic, run as you would run your own: `pinchpoint run`
    in a process of its own, which is not told what is wrong. The short set has one case of every class and takes about
    nine minutes; nothing else should run meanwhile.

    - `pinchpoint selftest` the short set

    - `pinchpoint selftest --list` all cases, with what each needs

    - `pinchpoint selftest --case thread-lock --case leak-async --budget 90s`

    - `pinchpoint report runs/selftest/thread-lock` the whole report of a case

    Exit code 0: every verdict was right. 1: one was wrong. 3: a measurement was invalid on this machine.
    """
    from pinchpoint.commands import selftest as trial  # noqa: PLC0415 - as above
    from pinchpoint.commands.config import parse_budget  # noqa: PLC0415

    if show:
        trial.listing(Result())
        return
    _try_cases(case or [], parse_budget(budget), out, postgres, as_json=as_json)


def _try_cases(cases: list[str], budget_s: float, out: Path, postgres: str | None, *, as_json: bool) -> None:
    from pinchpoint.commands import selftest as trial  # noqa: PLC0415 - as above

    outcomes = trial.selftest(cases, budget_s, out, talk, postgres)
    if as_json:
        show_json(trial.as_json(outcomes))
    else:
        trial.render(outcomes, Result())
    leave(trial.exit_code(outcomes), None)


if __name__ == "__main__":
    main()
