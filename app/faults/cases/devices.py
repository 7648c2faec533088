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


CASES: tuple[Case, ...] = (
    Case(
        name="downstream",
        family="downstream",
        kind="single",
        labels=_DOWNSTREAM,
        binds="the carrier's service, which serves 4 at a time, 40 ms each; the client's connections are unlimited",
        formula="4 / (40 ms * severity)",
        ceiling_rps=lambda severity: 4 / (0.040 * severity),
        second_rps=lambda _severity: 350.0,
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
        binds="the agency's service, which serves 6 at a time, 50 ms each; 40 threads wait for it",
        formula="6 / (50 ms * severity)",
        ceiling_rps=lambda severity: 6 / (0.050 * severity),
        second_rps=lambda severity: min(40 / (0.050 * severity), 350.0),
        second_binds="the CPU of the worker, or its 40 threads",
        target=(f"{_SERVING}.devices_credit:app",),
        load=("--get", "/customers/1001/limit"),
        companions=(Companion(argv=_stub(50, 6), variable="AGENCY_URL"),),
        flavour="sync",
    ),
)
