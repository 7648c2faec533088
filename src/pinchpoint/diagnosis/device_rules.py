"""io/disk and io/network: what requests wait for below every pool, lock and database.

A thread that waits for a disk stands in a system call that names it; whether the disk is what lacks, and not threads to
wait for it, shows in how much longer each waits than at low load.
"""

from dataclasses import dataclass

from pinchpoint.diagnosis.bounds import above, under
from pinchpoint.diagnosis.facts import FRONT, Candidate, Facts, margin
from pinchpoint.diagnosis.readings import evidence, grown_by, hold_of, per_request_ms
from pinchpoint.diagnosis.saturation import (
    LOOP_SATURATED,
    loop_threads,
    loop_use,
    narrowest,
    running_use,
    same_pool,
    slots_full,
)
from pinchpoint.diagnosis.time_shares import blocked_loops, client_service_ms
from pinchpoint.diagnosis.words import ms, size
from pinchpoint.measures import ServerFigures, Step
from pinchpoint.records import Evidence

DISK_GROWTH = 1.5
"""Time with the disk at the limit over that at low load: above, requests queue for the device (as `DB_GROWTH`)."""

MOSTLY = 0.5
"""Of the threads that are taken, those that stand in a disk call; none of anything else can be more."""

QUEUE = 2.0
"""Threads in disk calls that are a queue for it: one is a thread that works."""

DISK_MAX_RUNNING = 0.75
"""A target that itself runs this much of its cores is not merely waiting for a device."""

DEVICE_FULL = 0.9
"""Busy share of a device that has hardly a moment without a request."""

NO_DISK = 0.02
"""Share of time in which anybody waited for a device (PSI `io`), or the device was busy, below which none was at work:
whoever stands in disk calls half of the time shows in the first, wherever the kernel itself reads or writes."""

CLIENTS = "clients"
"""Peer of a thread that waits for a client to take the response."""

OUTSIDE = 0.5
"""Share of a request's time that passes before the app sees it or after it is done with it."""

OUTSIDE_GROWTH = 2.0
"""That time at the limit over low load, in which bytes queue for the link."""

BIG_ANSWER_BYTES = 20_000.0
"""Bytes sent per request from which the link may be what lacks: a queue of small answers is the app's own."""

SHORT_QUEUE = 1.0
"""Connections in the accept queue, below which the time outside the app is not spent there."""


@dataclass(frozen=True)
class Waiting:
    """Who stands in disk calls, and how much longer than at low load."""

    threads: float
    taken: float
    grown: float
    each_ms: float | None
    what: str


def disk(facts: Facts, step: Step) -> Candidate | None:
    """io/disk: most of what is taken waits for the disk, longer than at low load, and the app hardly runs."""
    server = step.server
    running = running_use(server, facts.cores)
    if running is None or running >= DISK_MAX_RUNNING:
        return None
    waits = _in_threads(facts, server) or _on_the_loop(facts, server) or _in_the_database(facts, server)
    if waits is None or waits.grown < DISK_GROWTH:
        return None
    found = _disk_evidence(server, waits, running, step)
    summary = (
        f"The disk binds: {waits.threads:.2g} of the {waits.taken:.3g} {waits.what} wait for it at any moment, "
        f"{waits.grown:.1f} times as long as at low load{f' ({ms(waits.each_ms)})' if waits.each_ms else ''}, while "
        f"the app runs {running:.0%} of its CPU."
    )
    # A limit that a control group sets never makes the device itself busy: its row says nothing of it then.
    row = "disk" if (server.disk_busy or 0.0) >= DEVICE_FULL else None
    return Candidate(
        "io", "disk", summary, row, ("disk", "db", "db-pool", "threadpool", "loop", "cpu", "lock", *FRONT), found,
        margin(waits.grown, DISK_GROWTH, 3.0), agrees=True, conflicts=_no_device(server),
        deciding=(
            above("the time with the disk over that at low load", waits.grown, DISK_GROWTH, "ratio"),
            above(f"the share of the {waits.what} that wait for the disk", waits.threads / waits.taken, MOSTLY),
            under("the CPU in use", running, DISK_MAX_RUNNING),
        ),
    )  # fmt: skip


def _no_device(server: ServerFigures) -> tuple[str, ...]:
    """Say that no disk of this machine was at work: a network file system, or nothing that is a disk at all."""
    waited, busy = server.psi.get("io_some"), server.disk_busy
    if waited is None or waited >= NO_DISK or (busy is not None and busy >= NO_DISK):
        return ()
    return (f"disks of this machine had hardly anything to do: somebody waited for one {waited:.0%} of the time",)


def _in_threads(facts: Facts, server: ServerFigures) -> Waiting | None:
    """Return the threads that serve: tokens, an executor, worker slots. They need not all be taken, only queue."""
    inside = server.threads_in.get("disk", 0.0)
    for key in ("threadpool", "executor", "slots"):
        name, pool = narrowest(server, key)
        if pool is None or not pool.busy or inside < max(QUEUE, MOSTLY * pool.busy):
            continue
        low = facts.low(lambda figures, key=key, name=name: hold_of(same_pool(figures, key, name)))  # type: ignore[misc]
        grown = grown_by(pool.hold_ms, low)
        if grown is not None:
            return Waiting(min(inside, pool.busy), pool.busy, grown, pool.hold_ms, "busy threads")
    return None


def _on_the_loop(facts: Facts, server: ServerFigures) -> Waiting | None:
    """Return the loops that stand still in disk calls: at low load each of them takes less time."""
    loops = loop_threads(server)
    inside = server.threads_in.get("disk", 0.0)
    if (loop_use(server) or 0.0) < LOOP_SATURATED or server.loop_blocked is None or inside < MOSTLY * loops:
        return None
    low, now = facts.low(_blocked_ms), _blocked_ms(server)
    grown = grown_by(now, low)
    return None if grown is None else Waiting(inside, float(loops), grown, now, "event loops")


def _blocked_ms(server: ServerFigures) -> float | None:
    return per_request_ms(blocked_loops(server), server)


def _in_the_database(facts: Facts, server: ServerFigures) -> Waiting | None:
    """Return the calls into an embedded database that do not wait for its lock."""
    low, now = facts.low(_working_ms), _working_ms(server)
    if not server.db_embedded or now is None or server.db_active is None:
        return None
    working = server.db_active - (server.sqlite_busy or 0.0)
    inside = server.threads_in.get("disk", 0.0)
    grown = grown_by(now, low)
    if grown is None or working < MOSTLY or inside < MOSTLY * working:
        return None
    return Waiting(min(inside, working), working, grown, now, "database calls")


def _working_ms(server: ServerFigures) -> float | None:
    """Database time per request without the time for which SQLite's lock held it up."""
    if server.db_active is None:
        return None
    return per_request_ms(max(0.0, server.db_active - (server.sqlite_busy or 0.0)), server)


def _disk_evidence(server: ServerFigures, waits: Waiting, running: float, step: Step) -> list[Evidence]:
    found = [
        evidence(
            f"{waits.threads:.2g} threads stood in disk calls on average",
            "threads.disk",
            waits.threads,
            "threads",
            step,
        ),
        evidence(f"each waits {waits.grown:.1f} times as long as at low load", "disk.wait", waits.grown, "ratio", step),
        evidence(f"the app ran {running:.0%} of its CPU", "cpu.running", running, "share", step),
    ]
    some = server.psi.get("io_some")
    if some is not None:
        text = f"somebody on the machine waited for a disk {some:.0%} of the time"
        found.append(evidence(text, "psi.io_some", some, "share", step))
    if server.disk_busy is not None:
        ios = f", with {server.disk_ios_per_s:.0f} operations/s" if server.disk_ios_per_s is not None else ""
        text = f"the device had a request in progress {server.disk_busy:.0%} of the time{ios}"
        found.append(evidence(text, "disk.busy", server.disk_busy, "share", step))
    return found


def network(facts: Facts, step: Step) -> Candidate | None:
    """io/network: answers queue for the link: clients take them late, and the app has time to spare."""
    server, sent = step.server, _sent_bytes(step)
    running = running_use(server, facts.cores)
    if running is None or running >= DISK_MAX_RUNNING or sent is None or sent < BIG_ANSWER_BYTES:
        return None
    share = _sending(facts, server) or _outside(facts, step)
    if share is None:
        return None
    rate = server.net_tx_bytes_per_s
    found = [
        evidence(share[1], share[2], share[0], "share", step),
        evidence(f"{size(rate)}/s were sent, {size(sent)} per request", "net.tx", rate, "bytes/s", step),
        evidence(f"the app ran {running:.0%} of its CPU", "cpu.running", running, "share", step),
    ]
    if server.retransmits_per_s:
        text = f"{server.retransmits_per_s:.1f} segments/s were sent again"
        found.append(evidence(text, "tcp.retransmits", server.retransmits_per_s, "segments/s", step))
    summary = (
        f"The network binds: {size(rate)}/s are sent, {size(sent)} per request, and {share[1]}; the app runs "
        f"{running:.0%} of its CPU."
    )
    return Candidate(
        "io", "network", summary, "network", ("threadpool", "loop", "cpu", *FRONT), found,
        margin(share[0], MOSTLY, 1.0), agrees=True,
        deciding=(
            above("the share of requests that wait for the network", share[0], MOSTLY),
            under("the CPU in use", running, DISK_MAX_RUNNING),
        ),
    )  # fmt: skip


def _sent_bytes(step: Step) -> float | None:
    rate, done = step.server.net_tx_bytes_per_s, step.goodput_rps
    return None if rate is None or done <= 0 else rate / done


def _sending(facts: Facts, server: ServerFigures) -> tuple[float, str, str] | None:
    """Return the share of threads, or of awaiting requests, that wait until a client takes more of its answer."""
    peers = server.socket_peers.get(CLIENTS, 0.0)
    if slots_full(server) and peers >= MOSTLY:
        return peers, f"{peers:.0%} of the threads that are up to something wait for a client to take its answer", \
            "threads.clients"  # fmt: skip
    awaited = facts.awaits.overall().get("client", 0.0) if facts.awaits is not None else 0.0
    if awaited >= MOSTLY and (loop_use(server) or 0.0) < LOOP_SATURATED:
        return awaited, f"{awaited:.0%} of the requests that wait inside the app wait for their client", "probe.awaits"
    return None


def _outside(facts: Facts, step: Step) -> tuple[float, str, str] | None:
    """Return the share of a request's time outside the app, where it grew and nobody waits to be accepted."""
    server, client = step.server, client_service_ms(step)
    if server.service_ms is None or not client or (loop_use(server) or 0.0) >= LOOP_SATURATED:
        return None
    held = facts.ladder.low
    before = client_service_ms(held) if held is not None else None
    if held is None or held.server.service_ms is None or before is None or held is step:
        return None
    now, then = client - server.service_ms - (server.queue_ms or 0.0), max(0.1, before - held.server.service_ms)
    if now / client < OUTSIDE or now < OUTSIDE_GROWTH * then or (server.listen_queue or 0.0) >= SHORT_QUEUE:
        return None
    if server.listen_queue is None and loop_use(server) is None:
        return None  # where nobody looked at the accept queue, the time may well be spent there
    return now / client, f"{now / client:.0%} of a request's time passes outside the app", "client.outside"
