"""Could the load generator keep up in the steps that set the capacity? METHOD §2, rule 4; one function a gate."""

from collections.abc import Callable, Sequence

from pinchpoint.diagnosis.gates import Judged, high_is_bad, low_is_bad, missing, softened
from pinchpoint.measures import Step
from pinchpoint.records import Gate

CPU_WARN, CPU_FAIL = 0.7, 0.9
"""Of one core, for the busiest load process (METHOD §2 rule 4 warns at 70 %); at 90 % it cannot keep its schedule."""

LOOP_WARN, LOOP_FAIL = 0.8, 0.9
"""Of its event loop's time. Above the CPU's warning, because waiting for a core counts, too; a queue before a loop that
is 90 % busy holds half of all p95 limits."""

STALL_WARN, STALL_FAIL = 0.2, 0.3
"""Of all time, in which the loop had work and its process did not run. Stops come in one piece (a quota's period is
100 ms), so that what piles up in them looks like a server's queue long before the loop is full."""

RUNQ_WARN = 0.1
"""Share of time the load process waited for a core. No failure by itself: its consequence is send lag."""

LAG_WARN_MS = 2.0
LAG_WARN_SHARE = 0.05
"""METHOD §2 rule 4: p99 send lag up to max(2 ms, 5 % of the median service time)."""

LAG_FAIL_SHARE_OF_SLO = 0.1
"""From here on the generator's lateness falsifies the very latency that the threshold judges."""

STARTED_WARN, STARTED_FAIL = 0.99, 0.95
"""Started over scheduled arrivals in a step that held: below, the load claimed was not offered."""

STARTED_EDGE = 3
"""Arrivals that may straddle a window's edge."""

DEFAULT_SLO_P95_MS = 500.0


def lag_limits(step: Step, slo_p95_ms: float | None) -> tuple[float, float]:
    """Return the send lag in ms that warns and the one that fails in a step."""
    warn = max(LAG_WARN_MS, LAG_WARN_SHARE * (step.client.service_ms_p50 or 0.0))
    return warn, max(warn, LAG_FAIL_SHARE_OF_SLO * (slo_p95_ms or DEFAULT_SLO_P95_MS))


def cpu_peak(step: Step) -> float | None:
    """Return the CPU of a load process in its busiest second, in cores; its mean in a recording without that."""
    return step.client.cpu_share if step.client.cpu_peak is None else step.client.cpu_peak


def at_user_cap(step: Step, max_users: int | None) -> bool:
    """Return True when every user that may exist did: arrivals then wait for answers, as in a closed load."""
    users = step.client.users
    return step.model == "rate" and max_users is not None and users is not None and users >= max_users


def started_share(step: Step) -> float | None:
    """Return started over scheduled arrivals; None in the users model."""
    if step.model != "rate" or step.client.scheduled <= 0:
        return None
    return min(1.0, (step.client.started + STARTED_EDGE) / step.client.scheduled)


def cpu_gate(judged: Judged) -> Gate:
    """Hold the busiest second of the busiest process against a core, beside the mean."""
    value = _worst(judged.steps, cpu_peak)
    if value is None:
        return missing("generator-cpu", "cores")
    mean = _worst(judged.steps, lambda step: step.client.cpu_share)
    status = softened(high_is_bad(value, CPU_WARN, CPU_FAIL), exonerated=judged.exonerated)
    message = f"the busiest load process used {value:.2f} of a core in its busiest second"
    message += f" and {mean:.2f} on average where the capacity was set" if mean is not None else ""
    beyond = cpu_peak(judged.limit)
    if judged.exonerated and beyond is not None and beyond >= CPU_FAIL:
        message += f"; it used {beyond:.2f} in the step that broke, where the server was at its own limit"
    return Gate("generator-cpu", status, value, CPU_FAIL, "cores", message)


def loop_gate(judged: Judged) -> Gate:
    """Hold the event loop's busy time against all time: a stopped, throttled or blocked generator uses little CPU."""
    value = _worst(judged.steps, lambda step: step.client.loop_busy)
    if value is None:
        return missing("generator-loop", "share")
    status = softened(high_is_bad(value, LOOP_WARN, LOOP_FAIL), exonerated=judged.exonerated)
    message = f"the busiest load process's event loop had no time to wait {value:.0%} of the time"
    return Gate("generator-loop", status, value, LOOP_FAIL, "share", message)


def stall_gate(judged: Judged) -> Gate:
    """Hold the time in which the generator was kept from running against all time; what held in spite of it held."""
    value = _worst(judged.steps, lambda step: step.client.loop_stalled)
    if value is None:
        return missing("generator-stalls", "share")
    excused = judged.exonerated or not judged.broke
    status = softened(high_is_bad(value, STALL_WARN, STALL_FAIL), exonerated=excused)
    message = f"a load process was stopped, throttled, blocked or waiting for a core {value:.0%} of the time"
    return Gate("generator-stalls", status, value, STALL_FAIL, "share", message)


def run_queue_gate(judged: Judged) -> Gate:
    """Hold the wait for a core against the time; pressure stands in where the kernel has no schedstat."""
    value = _worst(judged.steps, lambda step: step.client.runq_share)
    message = "the load process waited for a core"
    if value is None:
        value = _worst(judged.steps, lambda step: step.server.psi.get("cpu_some"))
        message = "somebody on the machine (which process is not known here) waited for a core"
    if value is None:
        return missing("generator-run-queue", "share")
    status = high_is_bad(value, RUNQ_WARN)
    return Gate("generator-run-queue", status, value, RUNQ_WARN, "share", f"{message} {value:.0%} of the time")


def lag_gate(judged: Judged, slo_p95_ms: float | None) -> Gate:
    """Hold the lateness of requests that a user was free for against their service time and the threshold."""
    known = [(step.client.send_lag_ms_p99, step) for step in judged.steps if step.client.send_lag_ms_p99 is not None]
    if not known:
        return missing("send-lag", "ms")
    value, step = max(known, key=lambda one: one[0])
    warn, fail = lag_limits(step, slo_p95_ms)
    status = "ok" if value <= warn else high_is_bad(value, warn, max(fail, warn))
    # A closed load's latency counts from the send: users that wake together leave one after the other, no more.
    status = softened(status, exonerated=step.model == "users")
    message = f"99 % of requests left at most {value:.1f} ms late although a user was free (limit {warn:.1f} ms)"
    return Gate("send-lag", status, value, warn, "ms", message)


def started_gate(judged: Judged, max_users: int | None) -> Gate:
    """Hold what was started against what was due, where the user cap is no excuse."""
    free = [step for step in judged.held if not at_user_cap(step, max_users)]
    value = min((share for step in free if (share := started_share(step)) is not None), default=None)
    if value is None:
        return missing("started-share", "share", "no step with a free user and a schedule set the capacity")
    status = low_is_bad(value, STARTED_WARN, STARTED_FAIL)
    message = f"{value:.1%} of the scheduled arrivals were started at the sustainable load"
    return Gate("started-share", status, value, STARTED_WARN, "share", message)


def user_cap_gate(judged: Judged, max_users: int | None) -> Gate:
    """Say where all users were taken: a capped open load is a closed one, and what it could not send is censored."""
    if max_users is None or judged.limit.model != "rate":
        return missing("user-cap", "share", "no cap on users is known here")
    held = _unstarted([step for step in judged.held if at_user_cap(step, max_users)])
    broke = _unstarted([step for step in judged.steps if step not in judged.held and at_user_cap(step, max_users)])
    status = high_is_bad(held, 1 - STARTED_WARN, 1 - STARTED_FAIL)
    if status == "ok" and broke >= 1 - STARTED_WARN:
        status = "warn"
    value = max(held, broke)
    if status == "ok":
        return Gate(
            "user-cap", status, value, 1 - STARTED_WARN, "share", f"arrivals did not need all {max_users} users"
        )
    where = "at the sustainable load" if held >= broke else "in the step that broke"
    message = f"all {max_users} users were taken, so {value:.0%} of the arrivals {where} were never sent: "
    message += "from there on the load was a closed one; --max-users raises the cap"
    return Gate("user-cap", status, value, 1 - STARTED_WARN, "share", message)


def _unstarted(steps: Sequence[Step]) -> float:
    shares = (share for step in steps if (share := started_share(step)) is not None)
    return max((1.0 - share for share in shares), default=0.0)


def _worst(steps: Sequence[Step], figure: Callable[[Step], float | None]) -> float | None:
    return max((value for step in steps if (value := figure(step)) is not None), default=None)
