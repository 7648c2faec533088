"""`pinchpoint checklist` as the command line shows it; the work is in `run`.

`measuring` registers it, like the other commands that share `run`'s options.
"""

import inspect
from dataclasses import replace
from typing import Annotated, Any

import typer

from pinchpoint.commands.options import configure
from pinchpoint.commands.printing import AS_JSON, Result, leave, show_json, talk, wrote

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
    _option("as_json", AS_JSON, default=False),
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
    from pinchpoint.commands.checklist.run import run_checklist  # noqa: PLC0415 - `--help` should load little
    from pinchpoint.report.checklist import render_checklist  # noqa: PLC0415

    options["budget"] = options.get("budget") or DEFAULT_BUDGET
    result = run_checklist(replace(configure(**options), command=ctx.obj or ()), peak, talk)
    if as_json:
        show_json(result.checklist)
    else:
        render_checklist(result.checklist, Result())
        wrote(result.paths)
    leave(result.exit_code, result.problem)
