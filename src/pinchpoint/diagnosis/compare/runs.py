"""What two runs were: whether they can be compared at all, what makes that doubtful, and what was changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pinchpoint.clientstats import SETUP_PREFIX
from pinchpoint.diagnosis.compare.levels import levels
from pinchpoint.measures import Step
from pinchpoint.records import Diagnosis

HOST_FACTS = {
    "cpu_model": "processor",
    "cpus": "number of CPUs",
    "affinity": "CPUs it may use",
    "machine": "architecture",
    "memory_total_bytes": "memory",
    "cgroup": "limits of the control group",
    "kernel": "kernel",
    "container": "container",
}
"""Facts of `run.json`'s `host` that bear on capacity; a load average or a capability does not."""

SAME_MEMORY = 0.02
"""A virtual machine's memory differs by a few pages from boot to boot."""

TARGET = {
    "command": "target",
    "server": "server",
    "server_version": "server's version",
    "workers": "workers",
    "worker_class": "worker class",
    "python_version": "the app's Python",
    "implementation": "the app's interpreter",
}
LOAD = {
    "scenario": "scenario",
    "locustfile": "locustfile",
    "get_paths": "paths pressed",
    "stages": "stages",
    "arrivals": "gaps between arrivals",
    "max_users": "cap on users",
    "processes": "load processes",
    "remote_workers": "load processes elsewhere",
}
PRESSED = ("scenario", "locustfile", "get_paths", "stages", "arrivals")
"""What of the load makes another load of it."""

LIMITS = {"p95_ms": "limit on p95, ms", "max_error_rate": "limit on errors"}


@dataclass(frozen=True)
class Side:
    """One of the two runs."""

    name: str
    """As the user calls it."""
    run: Mapping[str, Any]
    """`run.json`."""
    diagnosis: Diagnosis

    def part(self, name: str) -> Mapping[str, Any]:
        """Return a section of `run.json`; empty where there is none."""
        return self.run.get(name) or {}

    @property
    def model(self) -> str | None:
        """`rate` or `users`."""
        return next((step.model for step in self.diagnosis.steps), self.part("load").get("model"))

    @property
    def requests(self) -> frozenset[str]:
        """Names of the requests that were made under load."""
        names = {one.name for step in self.diagnosis.steps for one in step.client.endpoints if one.ok + one.failed}
        return frozenset(name for name in names if not name.startswith(SETUP_PREFIX))


@dataclass(frozen=True, slots=True)
class Changed:
    """Something that is not the same in both runs."""

    what: str
    before: str | None
    after: str | None
    """None: not there, or not known."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why two runs cannot be compared."""

    text: str
    invalid: bool = False
    """The measurement is at fault, not the question."""


def refusal(before: Side, after: Side) -> Refusal | None:
    """Return why a comparison would be nonsense; None where it makes sense."""
    for side in (before, after):
        if not levels(side.diagnosis.steps):
            return Refusal(f"{side.name} has no finished load step, so there is nothing to compare")
    if before.model != after.model:
        told = {"rate": "arrivals per second (open model)", "users": "users (closed model)"}
        one, two = (f"{side.name} was pressed with {told.get(str(side.model), side.model)}" for side in (before, after))
        return Refusal(f"{one}, {two}: the figures of one say nothing about those of the other")
    modes = [side.run.get("mode") or "search" for side in (before, after)]
    if modes[0] != modes[1]:
        return Refusal(
            f"{before.name} is a {_MODES.get(modes[0], modes[0])} and {after.name} a {_MODES.get(modes[1], modes[1])}: "
            "compare runs of the same kind"
        )
    if before.requests and after.requests and not before.requests & after.requests:
        one, two = (f"{side.name} made {_listed(sorted(side.requests))}" for side in (before, after))
        return Refusal(f"{one}, {two}: they have no request in common")
    for side in (before, after):
        if side.diagnosis.validity.status == "invalid":
            failed = [gate.message for gate in side.diagnosis.validity.gates if gate.status == "fail"]
            return Refusal(f"the measurement of {side.name} is invalid: {(failed or ['a gate failed'])[0]}", True)
    return None


_MODES = {"search": "search for the limit", "stages": "run with stages", "soak": "soak"}
_SHOWN = 3


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def changes(before: Side, after: Side) -> list[Changed]:
    """Return what was changed: target, pools, limits, load, host, versions, in this order."""
    found = _differing(before.part("target"), after.part("target"), TARGET)
    found += _pools(before.diagnosis.steps, after.diagnosis.steps)
    found += _differing(before.part("target"), after.part("target"), {"server_cpus": "CPUs of the server"})
    found += _differing(before.part("load"), after.part("load"), {**LOAD, "load_cpus": "CPUs of the load"})
    found += _differing(before.part("slo"), after.part("slo"), LIMITS)
    found += _differing(before.run, after.run, {"budget_s": "budget, s"})
    found += _host(before, after)
    packages = {**before.part("versions"), **after.part("versions")}
    # The app's Python is among them too, and told already.
    names = {name: f"version of {name}" for name in sorted(packages) if name != "python"}
    found += _differing(before.part("versions"), after.part("versions"), names)
    return found + _differing(before.run, after.run, {"argv": "command line"})


def _host(before: Side, after: Side) -> list[Changed]:
    one, two = before.part("host"), after.part("host")
    found = _differing(one, two, HOST_FACTS)
    if _same_memory(one.get("memory_total_bytes"), two.get("memory_total_bytes")):
        found = [each for each in found if each.what != HOST_FACTS["memory_total_bytes"]]
    return found


def _same_memory(one: Any, two: Any) -> bool:
    known = isinstance(one, (int, float)) and isinstance(two, (int, float)) and min(one, two) > 0
    return known and max(one, two) <= (1 + SAME_MEMORY) * min(one, two)


def _differing(one: Mapping[str, Any], two: Mapping[str, Any], names: Mapping[str, str]) -> list[Changed]:
    return [
        Changed(told, _text(one.get(key)), _text(two.get(key)))
        for key, told in names.items()
        if _text(one.get(key)) != _text(two.get(key))
    ]


def _text(value: Any) -> str | None:
    if value is None or value == []:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(str(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {one}" for key, one in sorted(value.items()) if one is not None) or None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pools(before: Iterable[Step], after: Iterable[Step]) -> list[Changed]:
    """Return the sizes that changed, over all workers: of each pool as the app made it, else of each kind."""
    old, new = list(before), list(after)
    for key in ("gates", "pools"):
        one, two = (_sizes(steps, key) for steps in (old, new))
        found = [
            Changed(f"size of {name}", f"{one[name]:g}", f"{two[name]:g}")
            for name in sorted(one.keys() & two.keys())
            if one[name] != two[name]
        ]
        if found:
            return found
    return []


def _sizes(steps: Iterable[Step], key: str) -> dict[str, float]:
    """Return pool -> its size; the largest seen, as a pool may open its connections one by one."""
    found: dict[str, float] = {}
    for step in steps:
        pools = step.server.gates if key == "gates" else step.server.pools
        for name, pool in pools.items():
            if pool.size is not None:
                found[name] = max(pool.size, found.get(name, 0.0))
    return found


def warnings(before: Side, after: Side) -> list[str]:
    """Return what makes the comparison doubtful, a sentence each."""
    found = []
    name = before.run.get("id")
    if before is after or (name is not None and name == after.run.get("id")):
        found.append("Both are the same run: nothing can differ.")
    began = [str(side.run.get("started_at") or "") for side in (before, after)]
    if all(began) and began[0] > began[1]:
        found.append(f"{before.name} was measured after {after.name}: is the order right?")
    for side in (before, after):
        if side.run.get("partial"):
            found.append(f"{side.name} is a partial run: {side.run.get('problem') or 'it ended before its plan did'}.")
        if side.diagnosis.validity.status == "suspect":
            doubts = [gate.message for gate in side.diagnosis.validity.gates if gate.status == "warn"]
            found.append(f"The measurement of {side.name} is suspect: {'; '.join(doubts) or 'see its gates'}.")
    if host := _host(before, after):
        what = "; ".join(f"{one.what} {one.before or 'n/a'} -> {one.after or 'n/a'}" for one in host)
        found.append(f"The hosts differ ({what}): a difference may be theirs.")
    found += _load_warnings(before, after)
    one, two = (side.part("versions").get("pinchpoint") for side in (before, after))
    if one != two:
        found.append(f"pinchpoint {one or 'n/a'} measured the one and {two or 'n/a'} the other.")
    return found


def _load_warnings(before: Side, after: Side) -> list[str]:
    found = []
    loads = _differing(before.part("load"), after.part("load"), {key: LOAD[key] for key in PRESSED})
    if loads:
        what = "; ".join(f"{one.what} {one.before or 'none'} -> {one.after or 'none'}" for one in loads)
        found.append(f"The load is not the same ({what}): a difference may be its own.")
    if other := sorted(before.requests ^ after.requests):
        found.append(f"Only one of the runs made these requests: {_listed(other)}.")
    if not same_limits(before, after):
        found.append("The limits differ, so `sustainable` does not mean the same: what rests on them is not judged.")
    cores = _differing(before.part("load"), after.part("load"), {"server_cpus": "server", "load_cpus": "load"})
    if cores:
        what = "; ".join(f"{one.what}: {one.before or 'any'} -> {one.after or 'any'}" for one in cores)
        found.append(f"Server and load had other CPUs ({what}): pin both alike with --server-cpus and --load-cpus.")
    return found


def same_limits(before: Side, after: Side) -> bool:
    """Tell whether `sustainable` means the same in both."""
    texts = [sorted(side.part("load").get("thresholds") or []) for side in (before, after)]
    return not _differing(before.part("slo"), after.part("slo"), LIMITS) and texts[0] == texts[1]
