"""Memory: what grows with every request, and limits that requests in flight or a working set do not fit into."""

from ..case import Case, Label

_LEAK = Label("memory", "leak")
_LIMIT = Label("memory", "limit")
_SERVING = "pinchpoint.app.faults.serving"
_UNTIL = "until memory runs out, the worker's core"


def _caged(memory_bytes: int, *words: str) -> tuple[str, ...]:
    """Return a target that is gunicorn in a control group with a memory limit; cured, it keeps the limit."""
    server = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--no-control-socket", "--workers", "1")
    cage = ("-m", f"{_SERVING}.caged", "--memory", str(memory_bytes), "--")
    return ("--", "{python}", *cage, "{python}", *server, *words)


CASES: tuple[Case, ...] = (
    Case(
        name="leak-async",
        family="leak",
        kind="single",
        labels=(_LEAK,),
        binds=f"memory: a cache whose key holds the time of day keeps every page; {_UNTIL}",
        formula="free bytes / (36 kB * severity * rate) seconds to the end",
        ceiling_rps=None,
        target=(f"{_SERVING}.memory_search:app",),
        load=("--get", "/search?q=lamp"),
    ),
    Case(
        name="leak-gthread",
        family="leak",
        kind="single",
        labels=(_LEAK,),
        binds=f"memory: a journal keeps every request with its answer; {_UNTIL}",
        formula="free bytes / (40 kB * severity * rate) seconds to the end",
        ceiling_rps=None,
        target=(f"{_SERVING}.memory_orders:app",),
        knobs=("--worker-class", "gthread", "--threads", "8"),
        load=("--get", "/orders/7"),
        flavour="wsgi",
    ),
    Case(
        name="leak-threadpool",
        family="leak",
        kind="single",
        labels=(_LEAK,),
        binds=f"memory: a cached method keeps its object and its table for ever, in each of two workers; {_UNTIL}",
        formula="free bytes / (33 kB * severity * rate) seconds to the end",
        ceiling_rps=None,
        target=(f"{_SERVING}.memory_reports:app",),
        knobs=("--workers", "2"),
        load=("--get", "/shops/7/report"),
        server_cores=2,
        needs=("two-cores",),
        flavour="sync",
    ),
    Case(
        name="memory-limit-async",
        family="memory-limit",
        kind="single",
        labels=(_LIMIT,),
        binds="the control group's memory: each request holds a picture for 0.2 s, and the kernel ends the worker",
        formula="(limit - 70 MB) / (8 MB * severity) requests at once",
        ceiling_rps=None,
        severities=(1.0, 1.5, 2.0),
        target=_caged(
            400_000_000, "--worker-class", "uvicorn_worker.UvicornWorker", f"{_SERVING}.memory_thumbnails:app"
        ),
        load=("--get", "/pictures/7/thumbnail"),
        needs=("root", "cgroup-memory"),
    ),
    Case(
        name="memory-limit-gthread",
        family="memory-limit",
        kind="single",
        labels=(_LIMIT,),
        binds="the control group's memory: each thread holds a sheet for 0.15 s, and the kernel ends the worker",
        formula="(limit - 60 MB) / (7.7 MB * severity) threads at once",
        ceiling_rps=None,
        severities=(1.0, 1.5, 2.0),
        target=_caged(260_000_000, "--worker-class", "gthread", "--threads", "40", f"{_SERVING}.memory_statements:app"),
        load=("--get", "/accounts/7/statement"),
        needs=("root", "cgroup-memory"),
        flavour="wsgi",
    ),
)
"""The cases of this module."""
