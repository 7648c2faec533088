"""What a bundled scenario adds to a run: a load where the user asked for none, and the database's check after it."""

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from pinchpoint.commands.config import RunConfig, parse_budget
from pinchpoint.commands.options import DEFAULT_BUDGET_S
from pinchpoint.commands.session import Session
from pinchpoint.commands.staged import LEAST_OVERHEAD_S, OVERHEAD_S
from pinchpoint.commands.target import REFERENCE_FOLDER
from pinchpoint.diagnosis.packs import pack_result
from pinchpoint.errors import MeasurementError, UsageError
from pinchpoint.packs import Pack, PackResult, Preset, Target
from pinchpoint.recording import Recording
from pinchpoint.records import Diagnosis
from pinchpoint.stress.grammar import seconds_text
from pinchpoint.stress.scenarios import SCENARIOS, Scenario

SPARE_S = 5.0
"""Kept besides what stages need at least, for a slow boot or logins."""
LEAST_LOAD_S = 10.0
"""A shorter load of a pack has no stages to tell apart."""
OWN_LOAD = ("stages", "users", "dwell")
"""Options that say which load; with one of them a pack's own stays out."""
AUDIT_S = 10.0
DRAIN_S = 3.0
DATABASE_VARIABLES = ("PINCHPOINT_APP_DATABASE_URL", "DATABASE_URL")
"""In the order in which the reference app reads them (app/settings.py)."""


# --- before the run -------------------------------------------------------------------------------------------------


def with_pack(options: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
    """Return the options of `run` with what their scenario brings along wherever the user said nothing.

    Raises:
        UsageError: the scenario has no such preset, it does not go with another option, or the budget is too short.

    """
    filled = dict(options)
    scenario = _chosen(options)
    pack = scenario.pack if scenario is not None else None
    if preset is not None:
        filled |= _preset_load(options, scenario, preset)
        return filled
    if pack is None or scenario is None:
        return filled
    filled["model"] = options.get("model") or pack.model
    if filled["model"] == "users" and pack.staged and not any(options.get(name) is not None for name in OWN_LOAD):
        filled["stages"] = stages_text(pack.staged, _load_s(options, f"--scenario {scenario.name}"))
    return filled


def _chosen(options: Mapping[str, Any]) -> Scenario | None:
    """Return the bundled scenario that presses; the user's own Locust file and --get come before it."""
    if options.get("locustfile") is not None or options.get("get"):
        return None
    return SCENARIOS.get(options.get("scenario") or "")


def _load_s(options: Mapping[str, Any], what: str) -> float:
    """Return how long a load may last so that a run stays within its budget.

    Raises:
        UsageError: there is no time for any load worth the name.

    """
    if options.get("budget") is None:
        return DEFAULT_BUDGET_S - OVERHEAD_S
    least_s = LEAST_OVERHEAD_S + SPARE_S
    left_s = parse_budget(options["budget"]) - least_s
    if left_s < LEAST_LOAD_S:
        raise UsageError(
            f"--budget {options['budget']} is too short for {what}: its load takes at least {LEAST_LOAD_S:.0f} s, and "
            f"starting, warming up and ending about {least_s:.0f} s; give at least {least_s + LEAST_LOAD_S:.0f}s"
        )
    return left_s


def stages_text(staged: Sequence[tuple[float, int]], load_s: float) -> str:
    """Return `--stages` for (share of the time, users at its end): whole seconds each, at least one.

    A share of 0 is a jump.
    """
    parts, share, ended_s = [], 0.0, 0
    for each, users in staged:
        share += each
        begun_s, ended_s = ended_s, max(ended_s + 1 if each > 0 else ended_s, round(share * load_s))
        parts.append(f"{seconds_text(ended_s - begun_s)}:{users}")
    return ",".join(parts)


def _preset_load(options: Mapping[str, Any], scenario: Scenario | None, name: str) -> dict[str, Any]:
    """Return the options that a preset stands for: users that come at its rate and stay until its time is over."""
    preset = find_preset(scenario, name)
    if options.get("model") == "rate":
        raise UsageError(f"--preset {name} is a number of users; leave out --model rate")
    for option in OWN_LOAD:
        if options.get(option) is not None:
            raise UsageError(f"--preset {name} is a load of its own; leave out --{option}")
    load_s = preset.seconds
    if options.get("budget") is not None:
        load_s = min(load_s, _load_s(options, f"--preset {name}"))
    ramp_s = min(preset.users / preset.spawn_rate, load_s / 2)
    staged = ((ramp_s / load_s, preset.users), (1 - ramp_s / load_s, preset.users))
    return {"model": "users", "stages": stages_text(staged, load_s)}


def find_preset(scenario: Scenario | None, name: str) -> Preset:
    """Return a preset of a scenario.

    Raises:
        UsageError: the scenario has none of that name; the message names those there are.

    """
    known = scenario.pack.presets if scenario is not None and scenario.pack is not None else ()
    if scenario is None or not known:
        having = [one.name for one in SCENARIOS.values() if one.pack is not None and one.pack.presets]
        raise UsageError(f"--preset goes with a --scenario that has presets: {', '.join(having) or 'there is none'}")
    found = next((one for one in known if one.name == name), None)
    if found is None:
        raise UsageError(f"--preset {name}: {scenario.name} has {', '.join(one.name for one in known)}")
    return found


def pack_shown(config: RunConfig) -> dict[str, Any]:
    """Return the part of `run.json`'s `load` that says which pack the run is judged by."""
    options = {"scenario": config.scenario, "locustfile": config.locustfile, "get": config.get_paths}
    scenario = _chosen(options)
    if scenario is None or scenario.pack is None:
        return {}
    return {"pack": scenario.name, "preset": config.preset}


# --- after the load -------------------------------------------------------------------------------------------------


def audit(session: Session) -> None:
    """Have the reference app's own check look at its database, and record what it found; the target still runs.

    A check that fails is a note: nothing is known then, which is no 0.
    """
    config = session.config
    scenario = SCENARIOS.get(str(pack_shown(config).get("pack")))
    module = scenario.pack.audit if scenario is not None and scenario.pack is not None else None
    if module is None or config.target is not None or config.command or config.runs_already:
        return
    if session.generator is not None:
        # Not longer: what is still in flight is a transaction, and in the database as a whole or not at all.
        with contextlib.suppress(MeasurementError):
            session.generator.idle()
            session.generator.wait_drained(DRAIN_S)
    try:
        found = _ask(session, module)
    except _UncheckedError as error:
        session.note(f"the database was not checked after the run: {error}")
        return
    session.event("audit", module=module, result=found)


class _UncheckedError(Exception):
    """Why nothing is known about the database."""


def _ask(session: Session, module: str) -> dict[str, Any]:
    """Run the check on the app's interpreter, in the target's environment.

    Raises:
        _UncheckedError: it cannot be run, or did not say what it found.

    """
    env = dict(session.plan.env)
    database = database_words(env)
    if database is None or session.plan.python is None:
        raise _UncheckedError("it is not known where it is")
    try:
        done = subprocess.run(
            [session.plan.python, "-m", module, *database],
            env=env,
            cwd=session.config.cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=AUDIT_S,
        )
    except subprocess.TimeoutExpired:
        raise _UncheckedError(f"{module} was not done after {AUDIT_S:.0f} s") from None
    except OSError as error:
        raise _UncheckedError(f"{module} cannot be started: {error.strerror}") from error
    return _found(module, done)


def _found(module: str, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON object on the last line of what was printed, whatever its exit code says of it."""
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    try:
        value = json.loads(lines[-1]) if lines else None
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    if done.returncode != 0:
        raise _UncheckedError(f"{module} exited with code {done.returncode}{_last(done.stderr)}")
    raise _UncheckedError(f"{module} printed no JSON object")


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def database_words(env: Mapping[str, str]) -> list[str] | None:
    """Return the words that name the reference app's database (app/settings.py); None when it is not known.

    None are needed where the environment names it: an address on a command line shows its password to everybody.
    """
    if any(env.get(name) for name in DATABASE_VARIABLES):
        return []
    folder = env.get(REFERENCE_FOLDER)
    return [f"sqlite+aiosqlite:///{folder}/items.db"] if folder else None


# --- from the recording ---------------------------------------------------------------------------------------------


def judged_by_pack(diagnosis: Diagnosis, recording: Recording) -> PackResult | None:
    """Judge a recording by the pack that it names; None when it names none that is known here."""
    load = recording.settings["load"]
    scenario = SCENARIOS.get(str(load.get("pack")))
    if scenario is None or scenario.pack is None:
        return None
    return pack_result(
        recording, diagnosis, scenario.name, scenario.pack, _preset_targets(scenario.pack, load.get("preset"))
    )


def _preset_targets(pack: Pack, name: object) -> list[Target]:
    """Return what a preset asks of the throughput."""
    return [
        Target(name=f"Throughput, {one.name} load", metric="rps", op=">=", target=one.at_least_rps)
        for one in pack.presets
        if one.name == name and one.at_least_rps is not None
    ]
