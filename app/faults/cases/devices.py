"""Cases whose limit is beside the process: a disk, a service it calls, a link."""

from ..case import Case, Companion, Label

_SERVING = "pinchpoint.app.faults.serving"
_DISK = (Label("io", "disk"),)
_DOWNSTREAM = (Label("io", "downstream"),)


def _stub(delay_ms: float, at_once: int) -> tuple[str, ...]:
    return (
        *("{python}", "-m", f"{_SERVING}.stub", "--port", "{port}", "--delay-ms", str(delay_ms)),
        *("--at-once", str(at_once), "--scaled", "--lifted"),
    )


def _gunicorn(address: str, worker_class: str, *words: str) -> tuple[str, ...]:
    bind = ("{python}", "-m", "gunicorn", "--bind", f"{address}:{{port}}", "--keep-alive", "75", "--no-control-socket")
    return (*bind, "--worker-class", worker_class, *words)


_CAGED = ("--", "{python}", "-m", f"{_SERVING}.caged")
_LINK = ("--", "{python}", "-m", f"{_SERVING}.link")
_UVICORN = "uvicorn_worker.UvicornWorker"

# Throttled operations per 4 KiB written over and synced: the data, the flush of the disk's cache, now and then the
# file's time stamps. Counted in blkio.throttle.io_serviced, ext4: 961 for 437.
_OPERATIONS = 2.3
_IOPS = 240
_BYTES_PER_S = 6_000_000
_SNAPSHOT_BYTES = 65_536
_LINK_BYTES_PER_S = 100e6 / 8
_EXPORT_BYTES = 141_312
# Ethernet, IP and TCP with time stamps in front of each 1,448 bytes (tc counts all of them), and the answer's own head.
_FRAMED = 1_514 / 1_448
_HEAD_BYTES = 250

CASES: tuple[Case, ...] = (
    Case(
        name="fsync",
        family="fsync",
        kind="single",
        labels=_DISK,
        binds="the disk, at 240 writes per second: each request syncs a document of one page (times the severity)",
        formula="240 / (2.3 * severity)",
        severities=(1.0, 2.0, 3.0),
        ceiling_rps=lambda severity: _IOPS / (_OPERATIONS * round(severity)),
        second_rps=lambda _severity: 1_500.0,
        second_binds="the CPU of the worker",
        target=(
            *(*_CAGED, "--write-iops", str(_IOPS), "--"),
            *_gunicorn("127.0.0.1", _UVICORN, f"{_SERVING}.devices_uploads:app"),
        ),
        load=("--get", "/documents/7/receipt"),
        needs=("root", "cgroup-blkio"),
        flavour="sync",
    ),
    Case(
        name="fsync-bytes",
        family="fsync",
        kind="single",
        labels=_DISK,
        binds="the disk, at 6 MB/s: each request syncs a snapshot of 64 KiB (times the severity)",
        formula="6 MB/s / (64 KiB * severity)",
        ceiling_rps=lambda severity: _BYTES_PER_S / (_SNAPSHOT_BYTES * severity),
        second_rps=lambda _severity: 1_500.0,
        second_binds="the CPU of the worker",
        target=(
            *(*_CAGED, "--write-bps", str(_BYTES_PER_S), "--"),
            *_gunicorn("127.0.0.1", "gthread", "--threads", "24", f"{_SERVING}.devices_backups:app"),
        ),
        load=("--get", "/customers/1001/snapshot"),
        needs=("root", "cgroup-blkio"),
        flavour="wsgi",
    ),
    Case(
        name="downstream",
        family="downstream",
        kind="single",
        labels=_DOWNSTREAM,
        binds="the carrier's service, which serves 4 at a time, 40 ms each; the client's connections are unlimited",
        formula="4 / (40 ms * severity)",
        ceiling_rps=lambda severity: 4 / (0.040 * severity),
        second_rps=lambda _severity: 1_000.0,
        second_binds="the CPU of the worker",
        target=(f"{_SERVING}.devices_freight:app",),
        load=("--get", "/parcels/4711/freight"),
        companions=(Companion(argv=_stub(40, 4), variable="CARRIER_URL"),),
    ),
    Case(
        name="downstream-requests",
        family="downstream",
        kind="single",
        labels=_DOWNSTREAM,
        binds="the agency's service, which serves 4 at a time, 50 ms each; 40 threads wait for it",
        formula="4 / (50 ms * severity)",
        ceiling_rps=lambda severity: 4 / (0.050 * severity),
        second_rps=lambda severity: min(40 / (0.050 * severity), 250.0),
        second_binds="the CPU of the worker, or its 40 threads",
        target=(f"{_SERVING}.devices_credit:app",),
        load=("--get", "/customers/1001/limit"),
        companions=(Companion(argv=_stub(50, 4), variable="AGENCY_URL"),),
        flavour="sync",
    ),
    Case(
        name="big-answers",
        family="big-answers",
        kind="single",
        labels=(Label("io", "network"),),
        binds="the server's link, at 100 Mbit/s: each answer has 138 KiB (times the severity)",
        formula="12.5 MB/s / (138 KiB * severity * 1,514 / 1,448)",
        ceiling_rps=lambda severity: _LINK_BYTES_PER_S / ((_EXPORT_BYTES * severity + _HEAD_BYTES) * _FRAMED),
        second_rps=lambda severity: 1_500.0 / severity,
        second_binds="the CPU of the worker",
        target=(
            *(*_LINK, "--port", "{port}", "--mbit", "100", "--"),
            *_gunicorn("0.0.0.0", _UVICORN, f"{_SERVING}.devices_exports:app"),  # noqa: S104 - in a network of its own
        ),
        load=("--get", "/shops/3/catalogue.csv"),
        connections=32,
        needs=("root", "netns"),
    ),
)
