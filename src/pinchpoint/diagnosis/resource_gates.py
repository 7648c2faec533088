"""What the load generator may run out of or lose, and what it shares with the server; one function a gate."""

from collections.abc import Sequence

from pinchpoint.clientstats import OUT_OF_DESCRIPTORS, OUT_OF_PORTS
from pinchpoint.diagnosis.gates import Judged, high_is_bad, missing, softened
from pinchpoint.diagnosis.surroundings import Split, Surroundings
from pinchpoint.diagnosis.words import rps
from pinchpoint.records import Gate

FDS_WARN, FDS_FAIL = 0.8, 0.95
"""Share of the limit on open descriptors: users and their connections come in bursts."""

PORTS_WARN, PORTS_FAIL = 0.5, 0.9
"""Share of the local ports that are still held by closed connections (TIME_WAIT, 60 s)."""

CALIBRATION_WARN, CALIBRATION_FAIL = 0.5, 0.9
"""METHOD §2 rule 5: capacity over what the generator does against a server that does nothing."""

IMBALANCE_WARN = 1.3
"""METHOD §5.5: workers times the largest share of requests that one of them served."""

MIN_SHARED_RPS = 5.0
"""Requests per second and worker below which an uneven split is chance."""


def descriptors_gate(judged: Judged) -> Gate:
    """Hold open descriptors against the limit, and errors that say it was reached."""
    errors = _errors(judged, OUT_OF_DESCRIPTORS)
    value = max((share for step in judged.all if (share := step.client.fds_share) is not None), default=None)
    if errors:
        text = f"{errors} requests failed because a load process had no descriptor left; raise its limit (ulimit -n)"
        return Gate("generator-fds", "fail", 1.0 if value is None else max(1.0, value), FDS_FAIL, "share", text)
    if value is None:
        return missing("generator-fds", "share")
    text = f"the load process with most open descriptors had {value:.0%} of its limit in use"
    return Gate("generator-fds", high_is_bad(value, FDS_WARN, FDS_FAIL), value, FDS_FAIL, "share", text)


def ports_gate(judged: Judged, around: Surroundings) -> Gate:
    """Hold closed connections that keep a local port against the ports there are, and errors that say none was left."""
    errors = _errors(judged, OUT_OF_PORTS)
    value = around.ports_share
    if errors:
        text = f"{errors} requests failed because no local port was left (net.ipv4.ip_local_port_range)"
        return Gate("generator-ports", "fail", 1.0 if value is None else max(1.0, value), PORTS_FAIL, "share", text)
    if value is None:
        return missing("generator-ports", "share")
    text = f"closed connections held {value:.0%} of the local ports at most"
    return Gate("generator-ports", high_is_bad(value, PORTS_WARN, PORTS_FAIL), value, PORTS_FAIL, "share", text)


def calibration_gate(judged: Judged, around: Surroundings) -> Gate:
    """Hold the capacity against what the very Locust file can do when the server does nothing."""
    found, split = around.calibration, around.split
    if found is None:
        return missing("calibration", "share")
    most = found.answered_rps or found.max_rps
    if not most:
        return missing("calibration", "share", found.reason or "not measured")
    scaled = split is not None and split.processes > found.processes and not shared(split)
    if split is not None and scaled:
        most *= split.processes / found.processes  # grown since, or helped by other hosts
    reached = max((step.goodput_rps for step in judged.held), default=judged.limit.goodput_rps)
    value = reached / most
    status = high_is_bad(value, CALIBRATION_WARN, CALIBRATION_FAIL)
    if judged.exonerated:
        status = softened("ok" if status == "warn" else status, exonerated=True)
    text = f"the capacity is {value:.0%} of what this generator does with this load against a server that does nothing"
    told = f"{rps(most)}, scaled to {split.processes} processes" if split is not None and scaled else rps(most)
    return Gate("calibration", status, value, CALIBRATION_FAIL, "share", f"{text} ({told})")


def shared(split: Split) -> bool:
    """Tell whether load and server may run on the same cores."""
    if split.remote >= split.processes:
        return False
    if split.load_cpus is None or split.server_cpus is None:
        return True
    return bool({*split.load_cpus} & {*split.server_cpus})


def cores_gate(around: Surroundings) -> Gate:
    """Say who ran where; always told, judged by the other gates."""
    split = around.split
    if split is None:
        return missing("cores", "processes")
    text = split_told(split.processes, split.load_cpus, split.server_cpus, split.remote)
    text += "; they shared cores" if shared(split) else ""
    text += "".join(f"; {reason}" for reason in around.changes)
    return Gate("cores", "ok", float(split.processes), None, "processes", text)


def imbalance_gate(judged: Judged) -> Gate | None:
    """Hold the busiest worker's requests against the mean: a worker that gets none makes the app look smaller.

    No gate for a single worker, which has nobody to differ from.
    """
    step = judged.held[0] if judged.held else judged.limit
    if len(step.server.per_worker) < 2:  # noqa: PLR2004
        return None
    rates = [worker.requests_rps for worker in step.server.per_worker if worker.requests_rps is not None]
    if len(rates) < len(step.server.per_worker):
        return missing("worker-imbalance", "ratio", "the probe did not count the requests of every worker")
    if sum(rates) < MIN_SHARED_RPS * len(rates):
        return missing("worker-imbalance", "ratio", "too few requests to tell chance from imbalance")
    value = len(rates) * max(rates) / sum(rates)
    text = f"the busiest of {len(rates)} workers served {value:.2f} times the mean"
    status = high_is_bad(value, IMBALANCE_WARN)
    if status != "ok":
        text += "; connections stay with the worker that accepted them: redial them (or let clients), and measure again"
    return Gate("worker-imbalance", status, value, IMBALANCE_WARN, "ratio", text)


def lost_workers_gate(around: Surroundings) -> Gate:
    """Say which load workers were lost, and whether what they took with them was measured again."""
    count, uncured = len(around.lost_workers), around.uncured_losses
    text = "no load worker was lost"
    if count:
        told = "; ".join(around.lost_workers)
        text = f"{told}; the step was measured again with those that remained"
        text = f"{told}; nothing was measured after that" if uncured else text
    return Gate("load-workers", "warn" if uncured else "ok", float(uncured), 0.0, "workers", text)


def lost_agent_gate(around: Surroundings) -> Gate | None:
    """Warn when the collector on the server's machine was lost; no gate where there was none to lose."""
    if around.lost_agent is None:
        return None
    text = f"{around.lost_agent}; the server was not observed after that"
    return Gate("agent", "warn", 1.0, 0.0, "agents", text)


def silence_gate(around: Surroundings) -> Gate | None:
    """Fail when the load processes fell silent; no gate otherwise."""
    return None if around.silent is None else Gate("generator-silent", "fail", 1.0, 0.0, "", around.silent)


def cpus_told(cpus: Sequence[int] | None) -> str:
    """Return CPUs in words: `CPU 1`, `CPUs 0,2`, `any CPU`."""
    if cpus is None:
        return "any CPU"
    return f"{'CPU' if len(cpus) == 1 else 'CPUs'} {','.join(str(cpu) for cpu in sorted(cpus))}"


def split_told(
    processes: int, load_cpus: Sequence[int] | None, server_cpus: Sequence[int] | None, remote: int = 0
) -> str:
    """Say who runs where; `remote` of the load processes are on other hosts."""
    server = f"server on {cpus_told(server_cpus)}"
    if remote >= processes:
        return f"{server}, load from {_processes(processes)} on other hosts"
    told = f"{server}, load on {cpus_told(load_cpus)} with {_processes(processes - remote)}"
    return f"{told}, and {remote} on other hosts" if remote else told


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _errors(judged: Judged, kind: str) -> int:
    return sum(step.client.errors.get(kind, 0) for step in judged.all)
