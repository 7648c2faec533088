"""Two questions of a stress test: what CPU and memory do beyond the limit, and whether the app comes back."""

from pinchpoint import units
from pinchpoint.answer_records import Figure
from pinchpoint.diagnosis.question_levels import Asked, Found, answered, not_measured
from pinchpoint.diagnosis.steps import load_of
from pinchpoint.measures import ServerFigures, Step

UNCHANGED = 0.05
"""A ratio this close to 1 is none: memory read at two moments differs by more."""

WELL_BEYOND = 1.4
"""Times what is sustained, from which a load is an overload (`commands.plan` asks for 1.5 times)."""

FINEST_S = 0.1
"""A recovery cannot be told finer."""

HIGHER = "a longer --budget goes higher, and"
SPIKE = "--stages 'spike(50,400,10s,5s,15s)'"
UNSEEN = "a server on this machine (MODULE:APP, a command after `--`, or --pid), or `pinchpoint agent` on its own,"


def stress(asked: Asked) -> Found:
    """Answer: CPU and memory at the heaviest load beyond the limit, beside those at the lightest."""
    beyond = [step for level in asked.levels for step in level.steps if step.phase == "overload" or not step.passed]
    if not beyond:
        return not_measured("no load broke the app, so it never was under stress", f"{HIGHER} {SPIKE}")
    # Of trials at the same load the last: memory that grew is in it.
    step = max(beyond, key=lambda one: (load_of(one), one.index))
    if step.server.cpu_cores is None and _memory(step.server) is None:
        return not_measured("the server's processes could not be seen", UNSEEN)
    parts = [_cpu(asked, step), _memory_told(asked, step), _deaths(step)]
    text = f"At {asked.load_text(load_of(step))}{_beyond(asked, step)}: {', '.join(part for part in parts if part)}."
    times = _times(asked, step)
    if times is not None and times < WELL_BEYOND and asked.mode == "search" and not asked.closed:
        text += " No heavier load was tried; a longer --budget presses 1.5 times as hard."
    figures = [
        Figure("CPU", step.server.cpu_cores, "cores"),
        Figure("CPU that it may use", _cores(asked), "cores"),
        Figure("memory", _memory(step.server), "bytes"),
        Figure("memory over that at low load", _ratio(asked, step), "ratio"),
        Figure("workers that died", float(step.server.workers_died), "workers"),
    ]
    return answered(text, step.server.cpu_cores, "cores", figures)


def _times(asked: Asked, step: Step) -> float | None:
    """Return how many times what it sustains that is."""
    capacity = asked.diagnosis.capacity
    base = capacity.sustainable_users if asked.closed else capacity.sustainable_rps
    return load_of(step) / base if base else None


def _beyond(asked: Asked, step: Step) -> str:
    times = _times(asked, step)
    return f" ({times:.1f} times what it sustains)" if times is not None else ""


def _cpu(asked: Asked, step: Step) -> str | None:
    used, cores = step.server.cpu_cores, _cores(asked)
    if used is None:
        return None
    if not cores:
        return f"CPU {units.cores(used)}"
    return f"CPU {units.number(used)} of {units.cores(cores)} ({units.percent(used / cores)})"


def _cores(asked: Asked) -> float | None:
    return next((row.capacity for row in asked.diagnosis.ledger if row.resource == "cpu"), None)


def _memory(server: ServerFigures) -> float | None:
    return server.pss_bytes if server.pss_bytes is not None else server.rss_bytes


def _ratio(asked: Asked, step: Step) -> float | None:
    """Return memory there over that at the lightest load, both of the same kind."""
    lightest = asked.levels[0].steps[0].server
    for now, then in (
        (step.server.pss_bytes, lightest.pss_bytes),
        (step.server.rss_bytes, lightest.rss_bytes),
    ):
        if now is not None and then:
            return now / then
    return None


def _memory_told(asked: Asked, step: Step) -> str | None:
    memory, ratio = _memory(step.server), _ratio(asked, step)
    if memory is None:
        return None
    kind = "PSS" if step.server.pss_bytes is not None else "RSS"
    text = f"memory {units.size(memory)} ({kind})"
    if ratio is None:
        return text
    return f"{text}, {'as' if abs(ratio - 1) <= UNCHANGED else f'{units.number(ratio)} times that'} at low load"


def _deaths(step: Step) -> str | None:
    died, killed = step.server.workers_died, step.server.oom_kills or 0.0
    told = [f"{died} worker{'' if died == 1 else 's'} died"] if died else []
    told += [f"{killed:.0f} killed for want of memory"] if killed else []
    return ", ".join(told) or None


def recovery(asked: Asked) -> Found:
    """Answer: whether it came back after the overload, and how soon; of stages, after each spike."""
    found = asked.diagnosis.recovery
    stages = asked.diagnosis.stages
    if found is None and stages is not None and stages.spikes:
        return _after_spikes(asked)
    if found is None:
        return _why_not(asked)
    figures = [
        Figure("latency over that before", found.latency_ratio, "ratio"),
        Figure("memory over that before", found.memory_ratio, "ratio"),
    ]
    after = [f"latency {_as_before(found.latency_ratio)}", f"memory {_as_before(found.memory_ratio)}"]
    known = [text for text, figure in zip(after, figures, strict=True) if figure.value is not None]
    told = f": {', '.join(known)}" if known else ""
    if not found.recovered:
        return answered(f"No, not while it was watched{told}.", None, "s", figures)
    if found.seconds is None:
        return answered(f"Yes{told}.", None, "s", figures)
    soon = units.seconds(max(found.seconds, FINEST_S))
    return answered(f"Yes, {soon} after the load was taken back{told}.", found.seconds, "s", figures)


def _as_before(ratio: float | None) -> str:
    # Below the baseline's is back to normal too: a warmed-up app often answers faster.
    if ratio is None or ratio <= 1 + UNCHANGED:
        return "as before"
    return f"{units.number(ratio)} times what it was"


def _after_spikes(asked: Asked) -> Found:
    spikes = asked.diagnosis.stages.spikes if asked.diagnosis.stages is not None else []
    known = [one for one in spikes if one.recovered is not None]
    if not known:
        return not_measured("the load ended, or rose again, too soon after each spike", "a longer last part of it")
    back = [one.recovery_s for one in known if one.recovered and one.recovery_s is not None]
    if len(back) < len(known):
        text = f"No: after {len(known) - len(back)} of {len(known)} spikes it was not back to normal"
        return answered(f"{text} while it was watched.", None, "s")
    spiked = "the spike" if len(known) == 1 else f"each of {len(known)} spikes, at the latest"
    return answered(f"Yes, {units.seconds(max(back))} after {spiked}.", max(back), "s")


def _why_not(asked: Asked) -> Found:
    if asked.mode == "soak":
        return not_measured("a soak presses nothing beyond its limit", "`pinchpoint run`")
    if asked.mode == "stages":
        return not_measured("no stage was a spike", SPIKE)
    if not asked.diagnosis.capacity.reached:
        return not_measured("no load broke the app, so there was nothing to recover from", f"{HIGHER} {SPIKE}")
    return not_measured("the run had no time to watch what came after the limit", "a longer --budget")
