"""`pinchpoint checklist` as the command line shows it; the work is in `checklist_run`.

Registered like the other commands that share `run`'s options:

    app.command("checklist")(_with_options(checklist, *OPTIONS, leave_out=LEFT_OUT))
"""

import inspect
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from pinchpoint.commands.options import configure
from pinchpoint.commands.printing import Result, show_json
from pinchpoint.errors import ExitCode

DEFAULT_BUDGET = "5m"
LEFT_OUT = frozenset(
    {"model", "users", "dwell", "stages", "threshold", "autostop", "profile", "requests", "expect_workers", "listen",
     "worker_wait", "tls_cert", "tls_key"}
)  # fmt: skip
"""Options of `run` that have no meaning here: the loads are the checklist's, and its runs follow each other."""


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


OPTIONS = (
    _option(
        "peak",
        Annotated[
            float | None,
            typer.Option(min=0.5, help="The load to expect, arrivals per second; default: 0.6 of the limit it finds."),
        ],
        default=None,
    ),
    _option(
        "as_json",
        Annotated[bool, typer.Option("--json", help="Print the JSON to stdout, and nothing else there.")],
        default=False,
    ),
)
"""What it has beside `configure`'s."""


def checklist(*, ctx: typer.Context, peak: float | None, as_json: bool, **options: Any) -> None:
    """Before deploying: measure every line of the checklist, at the expected peak and 50 % beyond it.

    Endpoint latencies against their requirements, load at the peak, CPU, memory and connections, leaks in a soak, error
    rates, N+1 and slow queries, cache hit rates. Each line is ok, for attention, failed, or not measured, with its
    figure, its limit, how it was measured and what to do. --budget (default 5m) is for all of it.

    - `pinchpoint checklist` the reference app; finds its limit first, and takes 0.6 of it for the peak

    - `pinchpoint checklist --peak 120 -f locustfile.py --python .venv/bin/python app.main:app` your app and your load

    - `pinchpoint checklist --peak 120 --json app.main:app` for a pipeline

    Exit code 0: no line failed. 1: one did. 3: the measurement does not count. 4: the target did not start or died.
    docs/checklist.md lists the lines and their limits.
    """
    from pinchpoint.commands.checklist_run import run_checklist  # noqa: PLC0415 - `--help` should load little
    from pinchpoint.report.checklist import render_checklist  # noqa: PLC0415

    talk = Console(stderr=True)
    options["budget"] = options.get("budget") or DEFAULT_BUDGET
    result = run_checklist(replace(configure(**options), command=ctx.obj or ()), peak, talk)
    if as_json:
        show_json(result.checklist)
    else:
        render_checklist(result.checklist, Result())
        for path in result.paths.values():
            talk.print(f"Wrote {path}", style="dim", highlight=False, soft_wrap=True)
    if result.problem:
        talk.print(f"pinchpoint: {result.problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    if result.exit_code != ExitCode.DONE:
        raise typer.Exit(result.exit_code)
