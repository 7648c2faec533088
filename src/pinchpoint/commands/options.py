"""The options that `run` and `sweep` share: declared once, turned into a `RunConfig` once."""

import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from pinchpoint.commands.config import (
    DEFAULT_USER_STEPS,
    RunConfig,
    check_dwell,
    parse_budget,
    parse_counts,
    parse_cpus,
    parse_env,
)
from pinchpoint.errors import UsageError

SETTINGS_TABLE = "tool.pinchpoint in pyproject.toml"
TRUTH, WHOLE, NUMBER, TEXT = "true or false", "a whole number", "a number", "a text in quotes"
LIST_OF_TEXTS = "a list of texts in quotes"
_WORDS: tuple[tuple[type, str], ...] = (
    (bool, TRUTH),
    (int, WHOLE),
    (float, NUMBER),
    (list, LIST_OF_TEXTS),
    (str, TEXT),
    (Path, TEXT),
)
_PLAIN: dict[str, tuple[type, ...]] = {TEXT: (str,), WHOLE: (int,), NUMBER: (int, float)}
NUMBERS_AS_TEXT = frozenset({"budget", "users", "server_cpus", "load_cpus"})
DEFAULT_BUDGET_S = 180.0
DEFAULT_MODEL = "rate"
LOAD, SERVER, OUTPUT, LIMITS = "Load", "Server", "Output", "Limits"
OTHERS = "Other hosts"
SECRET = "--token"  # noqa: S105 - the option's name


def configure(  # the one list of options; each is documented where it is declared
    target: Annotated[
        str | None, typer.Argument(metavar="[MODULE:APP]", help="Your ASGI or WSGI app; left out: the reference app.")
    ] = None,
    *,
    budget: Annotated[
        str | None,
        typer.Option(help="All the time the run may take, such as 60s, 1m30s; default 3m, or what --stages need."),
    ] = None,
    fault: Annotated[str | None, typer.Option(help="Switch on a known bottleneck of the reference app.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD,
            help="`rate`: open, arrivals per second; the default but of some scenarios. `users`: closed, Locust users.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(rich_help_panel=LOAD, help="Bundled load pack, see `pinchpoint scenarios`; default `items`."),
    ] = None,
    locustfile: Annotated[
        Path | None, typer.Option("--locustfile", "-f", rich_help_panel=LOAD, help="Any Locust file, unchanged.")
    ] = None,
    get: Annotated[list[str] | None, typer.Option(rich_help_panel=LOAD, help="Press GET PATH; repeatable.")] = None,
    users: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD, help="Populations of the users model, then doubling; default 10,50,100,200."
        ),
    ] = None,
    dwell: Annotated[
        float | None,
        typer.Option(rich_help_panel=LOAD, help="Seconds each load level is held; default from the budget."),
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=LOAD,
            help="Your own load over time instead of a search: `30s:100,1m:400` or `spike(50,400,10s,5s,15s)`.",
        ),
    ] = None,
    arrivals: Annotated[
        str, typer.Option(rich_help_panel=LOAD, help="Gaps between arrivals: `poisson` (bursts) or `even`.")
    ] = "poisson",
    max_users: Annotated[
        int, typer.Option(rich_help_panel=LOAD, min=1, help="Cap on users of the rate model, for the memory's sake.")
    ] = 1000,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            "--load-workers",
            rich_help_panel=LOAD,
            min=0,
            help="Load processes on this machine; default: 1, and more when the load is the limit.",
        ),
    ] = None,
    expect_workers: Annotated[
        int,
        typer.Option(
            rich_help_panel=OTHERS, min=0, help="Load processes to wait for, by `pinchpoint worker` elsewhere."
        ),
    ] = 0,
    listen: Annotated[
        str, typer.Option(rich_help_panel=OTHERS, metavar="HOST:PORT", help="Where load workers of other hosts join.")
    ] = "127.0.0.1:5557",
    worker_wait: Annotated[
        float, typer.Option(rich_help_panel=OTHERS, min=1, help="Seconds to wait for them, before the budget begins.")
    ] = 60.0,
    tls_cert: Annotated[
        Path | None, typer.Option(rich_help_panel=OTHERS, dir_okay=False, help="Certificate for --listen, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(rich_help_panel=OTHERS, dir_okay=False, help="Its key, PEM.")] = None,
    calibrate: Annotated[
        bool, typer.Option(rich_help_panel=LOAD, help="Measure first what the generator can do by itself (4 s).")
    ] = True,
    seed: Annotated[int, typer.Option(rich_help_panel=LOAD, help="Seed of the arrival schedule.")] = 1,
    requests: Annotated[
        bool, typer.Option("--requests", rich_help_panel=LOAD, help="Log every request to requests-K.csv.")
    ] = False,
    p95: Annotated[
        float, typer.Option(rich_help_panel=LIMITS, min=1, help="Limit on the 95th percentile, ms.")
    ] = 500.0,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=LIMITS,
            help="Like k6's: `p(95)<500`, `rate<1%`, `http_reqs:rate>100`; repeatable. docs/load.md",
        ),
    ] = None,
    autostop: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=LIMITS, help="Like Yandex.Tank's: `http(5xx,10%,10s)`, `time(1s,10s)`; repeatable."
        ),
    ] = None,
    max_errors: Annotated[
        float, typer.Option(rich_help_panel=LIMITS, min=0, max=100, help="Limit on failed responses, percent.")
    ] = 1.0,
    workers: Annotated[int, typer.Option(rich_help_panel=SERVER, min=1, help="Workers of MODULE:APP's server.")] = 1,
    worker_class: Annotated[
        str | None,
        typer.Option(rich_help_panel=SERVER, help="gunicorn's; default: uvicorn's for ASGI, sync or gthread for WSGI."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(rich_help_panel=SERVER, min=1, help="Threads of each worker of a WSGI app.")
    ] = None,
    factory: Annotated[
        bool, typer.Option("--factory", rich_help_panel=SERVER, help="APP makes the app: it is called first.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=SERVER,
            min=1,
            max=65535,
            help="Port of the target; default: a free one. `{port}` in COMMAND, --url and --env stands for it.",
        ),
    ] = None,
    ready: Annotated[
        str, typer.Option(rich_help_panel=SERVER, help="Path polled until the target answers; any status below 500.")
    ] = "/",
    python: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=SERVER, help="The app's own interpreter, such as .venv/bin/python; default: pinchpoint's."
        ),
    ] = None,
    cwd: Annotated[
        Path | None,
        typer.Option(rich_help_panel=SERVER, exists=True, file_okay=False, help="Folder the target starts in."),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(rich_help_panel=SERVER, help="NAME=VALUE for the target; repeatable.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(rich_help_panel=SERVER, help="Address of the server that the command after `--` starts."),
    ] = None,
    pid: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=SERVER, min=2, help="Press the server that already runs at --url, and leave it running."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(rich_help_panel=SERVER, help="A host, not this machine, that is yours to press.")
    ] = None,
    server_cpus: Annotated[
        str | None, typer.Option(rich_help_panel=SERVER, help="CPUs of the target, such as 0 or 0-3, or `any`.")
    ] = None,
    load_cpus: Annotated[
        str | None, typer.Option(rich_help_panel=LOAD, help="CPUs of the generator, or `any`.")
    ] = None,
    profile: Annotated[
        bool, typer.Option(rich_help_panel=OUTPUT, help="Flame graphs at low load and near the limit.")
    ] = True,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OUTPUT, min=0, max=65535, help="Serve Prometheus metrics during the run; 0: any free port."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(rich_help_panel=OUTPUT, help="Run folder; default: runs/ID.")] = None,
    force: Annotated[bool, typer.Option(rich_help_panel=OUTPUT, help="Overwrite a non-empty --out.")] = False,
    agent: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OTHERS,
            metavar="HOST:PORT",
            help="`pinchpoint agent` on the host of the server at --url; it sends what the collector sees there.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(rich_help_panel=OTHERS, help="What the other hosts were given; default: PINCHPOINT_TOKEN."),
    ] = None,
    tls_ca: Annotated[
        Path | None,
        typer.Option(rich_help_panel=OTHERS, exists=True, dir_okay=False, help="Certificate the agent's TLS rests on."),
    ] = None,
) -> RunConfig:
    """Turn the options of `run` and `sweep` into a configuration.

    Raises:
        UsageError: an option's value makes no sense.

    """
    if model is None:
        model = DEFAULT_MODEL
    if model not in {"rate", "users"}:
        raise UsageError(f"--model {model!r}: choose `rate` (arrivals per second) or `users` (Locust users)")
    if locustfile is not None and not locustfile.is_file():
        raise UsageError(f"--locustfile {locustfile}: there is no such file")
    asked_s = None if budget is None else parse_budget(budget)
    limits: dict[str, Any] = {"budget_s": asked_s or DEFAULT_BUDGET_S}
    if stages is not None or threshold or autostop or arrivals != "poisson":
        from pinchpoint.commands.limits import read_limits  # noqa: PLC0415 - `--help` should stay quick

        limits |= read_limits(model, stages, threshold or [], autostop or [], arrivals, asked_s)
    if stages is None:
        check_dwell(dwell, limits["budget_s"])
    elif dwell is not None:
        raise UsageError("--dwell is for a search; --stages say themselves how long each load is held")
    return RunConfig(
        target=target,
        url=url,
        pid=pid,
        factory=factory,
        fault=fault,
        python=python,
        cwd=cwd,
        port=port,
        ready_path=ready if ready.startswith("/") else f"/{ready}",
        workers=workers,
        worker_class=worker_class,
        threads=threads,
        env=parse_env(env or []),
        model=model,
        scenario=scenario,
        locustfile=locustfile,
        get_paths=tuple(get or ()),
        users=DEFAULT_USER_STEPS if users is None else parse_counts(users, "--users"),
        dwell_s=dwell,
        max_users=max_users,
        processes=1 if processes is None else processes,
        grow=processes is None,
        **limits,
        p95_ms=p95,
        max_error_rate=max_errors / 100,
        server_cpus=_cpus(server_cpus, "--server-cpus"),
        load_cpus=_cpus(load_cpus, "--load-cpus"),
        pin=server_cpus is None and load_cpus is None,
        profile=profile,
        calibrate=calibrate,
        metrics_port=metrics_port,
        seed=seed,
        requests=requests,
        out=out,
        force=force,
        allow_hosts=tuple(allow_host or ()),
        expect_workers=expect_workers,
        listen=listen,
        worker_wait_s=worker_wait,
        tls_cert=tls_cert,
        tls_key=tls_key,
        argv=argv_shown(sys.argv[1:]),
        agent=agent,
        token=token,
        tls_ca=tls_ca,
    )


def argv_shown(words: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without its secret: run.json and the report are shown to others."""
    shown, hidden = [], False
    for word in words:
        shown.append("***" if hidden else f"{SECRET}=***" if word.startswith(f"{SECRET}=") else word)
        hidden = word == SECRET
    return tuple(shown)


def _cpus(text: str | None, option: str) -> frozenset[int] | None:
    return None if text in {None, "any"} else parse_cpus(str(text), option)


def settings(folder: Path) -> dict[str, Any]:
    """Read `[tool.pinchpoint]` of the user's `pyproject.toml`, as defaults that flags override.

    Raises:
        UsageError: the file is not TOML, a setting is no option's name, or its value is of the wrong type.

    """
    try:
        tool = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("tool", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # not UTF-8, not TOML
        raise UsageError(f"cannot read pyproject.toml in {folder}: {error}") from error
    table = tool.get("pinchpoint", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f'[{SETTINGS_TABLE}] must be a table of options, such as `budget = "60s"`')
    known = _option_types()
    values = {key.replace("-", "_"): value for key, value in table.items()}
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(f"[{SETTINGS_TABLE}] has no setting {unknown[0]!r}; `pinchpoint run --help` lists the options")
    return {name: _setting(name, value, known[name]) for name, value in values.items()}


def _option_types() -> dict[str, str]:
    """Return {option: what its value must be, in TOML's words}."""
    hints = {name: hint for name, hint in get_type_hints(configure).items() if name not in {"return", "target"}}
    return {name: next(word for kind, word in _WORDS if kind in _kinds(hint)) for name, hint in hints.items()}


def _kinds(hint: Any) -> set[Any]:
    return {get_origin(one) or one for one in (get_args(hint) or (hint,))}


def _setting(name: str, value: object, word: str) -> object:
    """Hold one setting against its type; a whole number of seconds is a text too, as on the command line."""
    if word == LIST_OF_TEXTS:
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif isinstance(value, bool):
        fits = word == TRUTH
    elif word == TEXT and name in NUMBERS_AS_TEXT and isinstance(value, int):
        return str(value)
    else:
        fits = isinstance(value, _PLAIN.get(word, ()))
    if not fits:
        raise UsageError(f"[{SETTINGS_TABLE}] {name} = {value!r}: it must be {word}")
    return value


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))
