"""The command line: parses, calls a command, prints the result on stdout and everything else on stderr."""

import errno
import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from pinchpoint import __version__
from pinchpoint.commands import checklist, other_hosts
from pinchpoint.commands.compare import compare
from pinchpoint.commands.init import init
from pinchpoint.commands.options import LOAD, configure, cores, settings
from pinchpoint.commands.printing import Result, show_json
from pinchpoint.commands.scenarios import scenarios
from pinchpoint.errors import ExitCode, PinchpointError

if TYPE_CHECKING:
    from pinchpoint.commands.config import RunConfig

app = typer.Typer(
    help="Find the load at which a Python web app breaks, and name the one resource that breaks it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
talk = Console(stderr=True)
RUNS = Path("runs")
SHARING = ("run", "soak", "sweep", "checklist")
"""Commands that share `configure`'s options, and so the settings."""
SOAK_SEARCH_S, SOAK_START_S = 75.0, 15.0
"""What a soak needs before it begins, with and without a search for its rate: for the time shown as left."""


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line; what follows `--` is the server command of `run`."""
    words = list(sys.argv[1:] if argv is None else argv)
    command: list[str] = []
    if "--" in words:
        cut = words.index("--")
        words, command = words[:cut], words[cut + 1 :]
    try:
        defaults = settings(Path.cwd()) if words and words[0] in SHARING else {}
        by_command = {**dict.fromkeys(SHARING, defaults), "sweep": _without(defaults, "workers")}
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


def _with_options(
    body: Callable[..., None], *extra: inspect.Parameter, leave_out: frozenset[str] = frozenset()
) -> Callable[..., None]:
    """Give a command `configure`'s options beside its own, so that no option is declared twice."""
    shared = [one for one in inspect.signature(configure).parameters.values() if one.name not in leave_out]

    @functools.wraps(body)
    def command(**values: object) -> None:
        body(**values)

    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*shared, *extra))]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


KNOB = "What to compare"


def _knob(words: str) -> object:
    return Annotated[str | None, typer.Option(rich_help_panel=KNOB, help=words)]


AS_JSON = Annotated[bool, typer.Option("--json", help="Print the JSON to stdout, and nothing else there.")]


def run(*, ctx: typer.Context, preset: str | None, as_json: bool, **options: Any) -> None:
    """Find the limit of an app and name its bottleneck.

    What is pressed, in four ways:

    - `pinchpoint run` the reference app that comes with pinchpoint

    - `pinchpoint run --python .venv/bin/python app.main:app` your app, in its own environment: under gunicorn if that
      is installed there, else under uvicorn, hypercorn, granian or waitress

    - `pinchpoint run -- .venv/bin/uvicorn app.main:app --port {port}` whatever a command starts, on a free port; with
      `--url http://127.0.0.1:8000` on that one

    - `pinchpoint run --url http://127.0.0.1:8000 --pid 4242` a server that runs already, seen from outside only

    What it is pressed with: `--get /items --get '/search?q=x'`, or `-f locustfile.py`, or a bundled `--scenario`, which
    brings a load, limits and targets of its own along: `pinchpoint scenarios`.
    """
    from pinchpoint.commands.packs import with_pack  # noqa: PLC0415 - `--help` should not load scientific libraries

    config: RunConfig = replace(configure(**with_pack(options, preset)), command=ctx.obj, preset=preset)
    _execute(config, as_json=as_json)


def _execute(config: "RunConfig", *, as_json: bool) -> None:
    from pinchpoint.commands.run import execute  # noqa: PLC0415 - `--help` should not load scientific libraries
    from pinchpoint.report.terminal import render_summary  # noqa: PLC0415

    result = execute(config, talk)
    if result.rebuilt is not None:
        if as_json:
            show_json(result.rebuilt.report)
        else:
            render_summary(result.rebuilt.report, Result())
            _wrote(result.rebuilt.paths)
    _leave(result.exit_code, result.problem)


def soak(
    *, ctx: typer.Context, seconds: str, rate: float | None, share: float | None, as_json: bool, **options: Any
) -> None:
    """Hold a steady load for long: does memory leak, does anything else grow, and when does it run out.

    60 % of the time at the load, 30 % at half of it, 10 % without any: together they tell a leak from a cache.
    """
    from pinchpoint.commands.config import parse_soak  # noqa: PLC0415 - as above

    ask = parse_soak(seconds, rate, share)
    before_s = SOAK_SEARCH_S if rate is None else SOAK_START_S
    config = replace(configure(**options), command=ctx.obj, soak=ask, profile=False, budget_s=ask.seconds + before_s)
    _execute(config, as_json=as_json)


def sweep(  # typer passes each option by its name
    *,
    ctx: typer.Context,
    workers: str | None,
    threads: str | None,
    worker_class: str | None,
    pool_size: str | None,
    pool_env: str | None,
    vary: str | None,
    repeats: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Press the app with each value of one knob, and name the value to choose.

    One option lists several values; those with a single value are settings of every run:

    - `pinchpoint sweep --workers 1,2,4 shop.main:app` worker processes; `--workers 1,2` is the default

    - `pinchpoint sweep --threads 1,4,16 --workers 2 shop.wsgi:app` threads of each worker

    - `pinchpoint sweep --worker-class gthread,gevent shop.wsgi:app`

    - `pinchpoint sweep --pool-size 5,10,20 --pool-env DB_POOL shop.main:app` your app reads DB_POOL

    - `pinchpoint sweep --vary CACHE=off,on shop.main:app` any environment variable of the app

    - `pinchpoint sweep --threads 1,4 -- waitress-serve --port={port} --threads={threads} shop:app` any command

    --budget is for all runs of one value: 90s are three runs of 30 s, in random order among those of the other values.
    """
    from pinchpoint.commands.knobs import read_knobs  # noqa: PLC0415 - as above
    from pinchpoint.commands.sweep import run_sweep  # noqa: PLC0415
    from pinchpoint.report.sweep import render_sweep  # noqa: PLC0415

    texts = {
        "workers": workers,
        "threads": threads,
        "worker-class": worker_class,
        "pool-size": pool_size,
        "vary": vary,
    }
    knob, config = read_knobs(replace(configure(**options), command=ctx.obj), texts, pool_env)
    result = run_sweep(config, knob, repeats, talk, cores())
    if as_json:
        show_json(result.sweep)
    elif result.sweep:
        render_sweep(result.sweep, Result())
        _wrote({name: result.folder / name for name in ("sweep.json", "sweep.md", "sweep.html")})
    _leave(result.exit_code, result.problem)


PRESET = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=LOAD, metavar="NAME", help="A size of load that the scenario knows: light, medium, heavy."
    ),
]
app.command("run")(
    _with_options(run, _option("preset", PRESET, default=None), _option("as_json", AS_JSON, default=False))
)
app.command("soak")(
    _with_options(
        soak,
        _option("seconds", Annotated[str, typer.Option("--for", help="How long, such as 30m or 8h.")], default="30m"),
        _option(
            "rate",
            Annotated[float | None, typer.Option(min=0.1, help="Arrivals per second; default: see --share.")],
            default=None,
        ),
        _option(
            "share",
            Annotated[
                float | None,
                typer.Option(min=0.05, max=0.95, help="Of the rate that a short search finds to hold; default 0.6."),
            ],
            default=None,
        ),
        _option("as_json", AS_JSON, default=False),
        leave_out=frozenset({"budget", "model", "users", "dwell", "profile", "stages"}),
    )
)
app.command("sweep")(
    _with_options(
        sweep,
        _option("workers", _knob("Worker counts, such as 1,2,4; default 1,2. `{workers}` in COMMAND."), default=None),
        _option("threads", _knob("Threads of each worker, such as 1,4,16. `{threads}` in COMMAND."), default=None),
        _option("worker_class", _knob("gunicorn's worker classes, such as gthread,gevent."), default=None),
        _option("pool_size", _knob("Sizes of the connection pool, such as 5,10,20."), default=None),
        _option(
            "pool_env", _knob("Environment variable of the pool size; the reference app has its own."), default=None
        ),
        _option("vary", _knob("NAME=V1,V2: values of an environment variable of the target."), default=None),
        _option(
            "repeats",
            Annotated[
                int | None,
                typer.Option(
                    min=1, rich_help_panel=KNOB, help="Runs of each value; default: as many of 30 s as fit, to 3."
                ),
            ],
            default=None,
        ),
        _option("as_json", AS_JSON, default=False),
        leave_out=frozenset({"workers", "threads", "worker_class", "profile", "stages", "agent", "tls_ca"}),
    )
)


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
    from pinchpoint.commands.k6 import export_k6  # noqa: PLC0415 - as above
    from pinchpoint.commands.rebuild import rebuild  # noqa: PLC0415 - as above
    from pinchpoint.report.terminal import render_summary  # noqa: PLC0415

    rebuilt = rebuild(folder)
    if rebuilt.damaged_rows:
        talk.print(f"{rebuilt.damaged_rows} damaged rows of the recording were left out", highlight=False)
    if k6 is not None:
        _wrote({"k6": export_k6(folder, rebuilt.report, k6)})
    if as_json:
        show_json(rebuilt.report)
        return
    render_summary(rebuilt.report, Result())
    _wrote(rebuilt.paths)


app.command()(compare)
app.command()(scenarios)
app.command()(init)
app.command("checklist")(_with_options(checklist.checklist, *checklist.OPTIONS, leave_out=checklist.LEFT_OUT))


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
    _leave(office.exit_code(checks), None)


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
    outcomes = trial.selftest(case or [], parse_budget(budget), out, talk, postgres)
    if as_json:
        show_json(trial.as_json(outcomes))
    else:
        trial.render(outcomes, Result())
    _leave(trial.exit_code(outcomes), None)


def _wrote(paths: dict[str, Path]) -> None:
    for path in paths.values():
        talk.print(f"Wrote {path}", style="dim", highlight=False, soft_wrap=True)


def _leave(code: ExitCode, problem: str | None) -> None:
    if problem:
        talk.print(f"pinchpoint: {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if code:
        raise typer.Exit(code)


if __name__ == "__main__":
    main()
