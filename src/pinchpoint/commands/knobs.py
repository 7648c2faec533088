"""The knob that a sweep turns: which values, how one of them gets into a run, and what cannot be turned at all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pinchpoint.commands.config import RunConfig
from pinchpoint.errors import UsageError

Value = int | float | str
DEFAULT_WORKERS = "1,2"
POOL_VARIABLE = "PINCHPOINT_APP_POOL_SIZE"
"""The reference app's own setting (app/settings.py)."""
WORKERS, THREADS, WORKER_CLASS, POOL_SIZE = "workers", "threads", "worker-class", "pool-size"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Knob:
    """One setting of the target, and the values to compare."""

    name: str
    """`workers`, `threads`, `worker-class`, `pool-size`, or the name of an environment variable."""
    values: tuple[Value, ...]
    variable: str | None = None
    """The target's environment variable that takes the value; None where the server's own option does."""

    def turned(self, config: RunConfig, value: Value) -> RunConfig:
        """Return the configuration of one run with this value."""
        if self.variable is not None:
            return replace(config, env={**config.env, self.variable: str(value)})
        if self.name == WORKER_CLASS:
            return replace(config, worker_class=str(value))
        number = int(value)
        return replace(config, workers=number) if self.name == WORKERS else replace(config, threads=number)

    def called(self, value: Value) -> str:
        """Name a value in a sentence: `3 workers`, `1 thread`, `pool-size 10`, `gthread`."""
        if self.name in {WORKERS, THREADS}:
            return f"{value} {self.name.removesuffix('s') if value == 1 else self.name}"
        if self.name == WORKER_CLASS:
            return str(value)
        return f"{self.name} {value}" if self.name == POOL_SIZE else f"{self.name}={value}"

    @property
    def scales(self) -> bool:
        """Whether twice the value would be twice the rate if nothing were shared: what scaling laws are about."""
        return self.name in {WORKERS, THREADS, POOL_SIZE}

    @property
    def numeric(self) -> bool:
        """Whether the values have an order of their own."""
        return not any(isinstance(value, str) for value in self.values)


def read_knobs(config: RunConfig, texts: Mapping[str, str | None], pool_env: str | None) -> tuple[Knob, RunConfig]:
    """Find the one knob that lists several values; those with one value are settings of every run.

    Args:
        config: what all runs share.
        texts: `workers`, `threads`, `worker-class`, `pool-size` and `vary`, as written; None where not given.
        pool_env: the target's environment variable for its pool size.

    Raises:
        UsageError: several knobs, no values, or one that this target does not have.

    """
    knobs = [_knob(config, name, text, pool_env) for name, text in texts.items() if text is not None]
    turned = [knob for knob in knobs if len(knob.values) > 1]
    if len(turned) > 1:
        names = " and ".join(f"--{knob.name}" if knob.variable is None else knob.name for knob in turned)
        raise UsageError(f"one knob at a time: {names} list several values; give all but one of them a single value")
    if not turned:
        turned = knobs if len(knobs) == 1 and knobs[0].name == WORKERS else [_workers_by_default(knobs)]
    knob = turned[0]
    for one in knobs:
        if one is not knob:
            config = one.turned(config, one.values[0])
    _check(config, knob)
    return knob, config


def _workers_by_default(knobs: Sequence[Knob]) -> Knob:
    if any(knob.name == WORKERS for knob in knobs):
        raise UsageError("a sweep compares values: let one option list several, such as --workers 1,2,4")
    return Knob(WORKERS, tuple(int(part) for part in DEFAULT_WORKERS.split(",")))


def _knob(config: RunConfig, name: str, text: str, pool_env: str | None) -> Knob:
    if name == "vary":
        variable, equals, values = text.partition("=")
        if not equals or not _NAME.fullmatch(variable):
            raise UsageError(f"--vary {text!r} is not NAME=V1,V2: an environment variable of the target and its values")
        return Knob(variable, _values(values, "--vary"), variable)
    if name == POOL_SIZE:
        return Knob(name, _counts(text, "--pool-size"), _pool_variable(config, pool_env))
    if name == WORKER_CLASS:
        return Knob(name, tuple(dict.fromkeys(_parts(text, "--worker-class"))))
    return Knob(name, _counts(text, f"--{name}"))


def _pool_variable(config: RunConfig, pool_env: str | None) -> str:
    if pool_env is not None:
        if not _NAME.fullmatch(pool_env):
            raise UsageError(f"--pool-env {pool_env!r} is no name of an environment variable")
        return pool_env
    if config.target is not None or config.command:
        raise UsageError(
            "--pool-size needs --pool-env NAME: the environment variable your app reads its pool size from"
        )
    return POOL_VARIABLE


def _parts(text: str, option: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise UsageError(f"{option} {text!r} has an empty value; write it like {option} a,b")
    return parts


def _counts(text: str, option: str) -> tuple[int, ...]:
    parts = _parts(text, option)
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(f"{option} {text!r} is not a list of positive whole numbers; write it like 1,2,4")
    return tuple(dict.fromkeys(int(part) for part in parts))


def _values(text: str, option: str) -> tuple[Value, ...]:
    """Take all values as numbers when every one is written as a number reads back, so that 007 stays a name."""
    parts = list(dict.fromkeys(_parts(text, option)))
    numbers = [_number(part) for part in parts]
    return tuple(parts) if any(one is None for one in numbers) else tuple(one for one in numbers if one is not None)


def _number(text: str) -> int | float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text) if "." in text else int(text)
    return value if str(value) == text else None


def _check(config: RunConfig, knob: Knob) -> None:
    """Refuse a knob that would change nothing: every row of the table would measure the same."""
    if config.runs_already:
        raise UsageError("a sweep starts the server anew for each value; leave out --pid and --agent")
    if knob.variable is not None:
        if knob.variable in config.env:
            raise UsageError(f"--env sets {knob.variable} as well; leave it to the sweep")
        return
    if config.command:
        if knob.name == WORKER_CLASS:
            raise UsageError("--worker-class goes with MODULE:APP; a command takes it from --vary NAME=a,b as $NAME")
        word = f"{{{knob.name}}}"
        if not any(word in one for one in (*config.command, *config.env.values())):
            what = "the worker count" if knob.name == WORKERS else "the number of threads"
            raise UsageError(f"the command must take {what}: write {word} where it belongs after `--`")
    elif config.target is None and knob.name == THREADS and config.worker_class is None:
        raise UsageError("--threads changes nothing about the reference app, whose workers are event loops")
