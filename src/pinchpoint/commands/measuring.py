"""`run`, `soak`, `sweep` and `checklist` on the command line: what presses an app, with the options of `configure`."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pinchpoint.commands.checklist import command as checklist
from pinchpoint.commands.options import LOAD, configure, cores
from pinchpoint.commands.printing import AS_JSON, Result, leave, show_json, talk, wrote

if TYPE_CHECKING:
    from pinchpoint.commands.config import RunConfig

SOAK_SEARCH_S, SOAK_START_S = 75.0, 15.0
"""What a soak needs before it begins, with and without a search for its rate: for the time shown as left."""
KNOB = "What to compare"


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


def _knob(words: str) -> object:
    return Annotated[str | None, typer.Option(rich_help_panel=KNOB, help=words)]


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
            wrote(result.rebuilt.paths)
    leave(result.exit_code, result.problem)


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
    texts = {"workers": workers, "threads": threads, "worker-class": worker_class, "pool-size": pool_size, "vary": vary}
    _compare(replace(configure(**options), command=ctx.obj), texts, pool_env, repeats, as_json=as_json)


def _compare(
    config: "RunConfig", texts: dict[str, str | None], pool_env: str | None, repeats: int | None, *, as_json: bool
) -> None:
    from pinchpoint.commands.knobs import read_knobs  # noqa: PLC0415 - as above
    from pinchpoint.commands.sweep import run_sweep  # noqa: PLC0415
    from pinchpoint.report.sweep import render_sweep  # noqa: PLC0415

    knob, config = read_knobs(config, texts, pool_env)
    result = run_sweep(config, knob, repeats, talk, cores())
    if as_json:
        show_json(result.sweep)
    elif result.sweep:
        render_sweep(result.sweep, Result())
        wrote({name: result.folder / name for name in ("sweep.json", "sweep.md", "sweep.html")})
    leave(result.exit_code, result.problem)


TO_JSON = _option("as_json", AS_JSON, default=False)
PRESET = _option(
    "preset",
    Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD, metavar="NAME", help="A size of load that the scenario knows: light, medium, heavy."
        ),
    ],
    default=None,
)
SOAK_OPTIONS = (
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
    TO_JSON,
)
NOT_OF_A_SOAK = frozenset({"budget", "model", "users", "dwell", "profile", "stages"})
SWEEP_OPTIONS = (
    _option("workers", _knob("Worker counts, such as 1,2,4; default 1,2. `{workers}` in COMMAND."), default=None),
    _option("threads", _knob("Threads of each worker, such as 1,4,16. `{threads}` in COMMAND."), default=None),
    _option("worker_class", _knob("gunicorn's worker classes, such as gthread,gevent."), default=None),
    _option("pool_size", _knob("Sizes of the connection pool, such as 5,10,20."), default=None),
    _option("pool_env", _knob("Environment variable of the pool size; the reference app has its own."), default=None),
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
    TO_JSON,
)
NOT_OF_A_SWEEP = frozenset({"workers", "threads", "worker_class", "profile", "stages", "agent", "tls_ca"})


def register(app: typer.Typer) -> None:
    """Add the commands, in the order in which `--help` lists them."""
    app.command("run")(_with_options(run, PRESET, TO_JSON))
    app.command("soak")(_with_options(soak, *SOAK_OPTIONS, leave_out=NOT_OF_A_SOAK))
    app.command("sweep")(_with_options(sweep, *SWEEP_OPTIONS, leave_out=NOT_OF_A_SWEEP))
    app.command("checklist")(_with_options(checklist.checklist, *checklist.OPTIONS, leave_out=checklist.LEFT_OUT))
