"""The shapes that a recording's lines must have, and tests for them that read a million figures in a second or two."""

import functools
import itertools
import math
import types
from collections.abc import Callable, Collection
from typing import Any, NotRequired, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

from pinchpoint.rows import EventRow


class _StepData(TypedDict):
    """`data` of a `step` event; see `EventRow`."""

    index: int
    phase: str
    t_start_s: float
    t_end_s: float
    model: NotRequired[str]
    segment: NotRequired[int]
    offered_rps: float | None
    users: int | None
    settle_s: NotRequired[float]
    passed: NotRequired[bool]
    breaches: NotRequired[list[str]]


class _ProfileData(TypedDict):
    """`data` of a `profile` event, as far as every reader relies on it."""

    phase: str
    path: str


_StageData = TypedDict(  # a keyword is among the names
    "_StageData",
    {"name": str, "kind": NotRequired[str], "start_s": float, "seconds": float, "from": float, "to": float},
)


class _SpikeData(TypedDict):
    """One of its `spikes`."""

    start_s: float
    end_s: float
    base: float
    peak: float


class _StagesData(TypedDict):
    """`data` of a `stages` event: a load profile."""

    text: str
    model: str
    t_start_s: float
    seconds: float
    stages: list[_StageData]
    spikes: list[_SpikeData]


class _StopData(TypedDict):
    """`data` of a `stop` event."""

    criterion: str
    message: str
    second: NotRequired[float]
    at_s: NotRequired[float]
    offered_rps: float | None
    users: float | None
    last_good_s: float | None
    last_good_load: float | None


class _CalibrationData(TypedDict):
    """`data` of a `calibration` event."""

    max_rps: float | None
    answered_rps: NotRequired[float | None]
    cpu_share: NotRequired[float | None]
    processes: int
    reason: NotRequired[str]


class _AuditData(TypedDict):
    """`data` of an `audit` event."""

    module: str
    result: dict[str, Any]


class _GeneratorData(TypedDict):
    """`data` of a `generator` event."""

    processes: int
    load_cpus: list[int] | None
    server_cpus: list[int] | None
    reason: str
    remote: NotRequired[int]


_DATA: dict[str, Any] = {
    "step": _StepData,
    "profile": _ProfileData,
    "stages": _StagesData,
    "stop": _StopData,
    "calibration": _CalibrationData,
    "generator": _GeneratorData,
    "audit": _AuditData,
}
"""What readers rely on in an event's data, by its kind."""


class _Slo(TypedDict, total=False):
    """`slo` of `run.json`."""

    p95_ms: float | None
    max_error_rate: float | None


class _Load(TypedDict, total=False):
    """`load` of `run.json`; the rest of it is only shown."""

    model: str
    processes: int
    max_users: int
    workers: int
    load_cpus: list[int] | None
    server_cpus: list[int] | None


class Run(TypedDict, total=False):
    """`run.json`, as far as readers rely on its shape."""

    id: str
    started_at: str
    argv: list[str]
    budget_s: float | None
    partial: bool
    problem: str | None
    duration_s: float | None
    versions: dict[str, str]
    host: dict[str, Any]
    target: dict[str, Any]
    load: _Load
    slo: _Slo


Test = Callable[[Any], bool]
_MISSING = object()
_DICT = frozenset({dict})


@functools.cache
def checker(hint: Any) -> Test:
    """Return the test whether a JSON value has the shape of a type; it adds keys that are missing and may be None."""
    if is_typeddict(hint):
        return _mapping_checker(hint)
    kinds = _plain(hint)
    if kinds is not None:
        return lambda value: type(value) in kinds and (type(value) is not float or math.isfinite(value))
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return _union_checker([checker(one) for one in arguments])
    if origin is list:
        inside = _values_checker(arguments[0])
        return lambda value: isinstance(value, list) and inside(value)
    if origin is dict:
        inside = _values_checker(arguments[1])
        return lambda value: isinstance(value, dict) and inside(value.values())
    return lambda _: True  # Any


def _plain(hint: Any) -> frozenset[type] | None:
    """Return the types of a plain value; None for what holds others, or may be anything.

    JSON writes 5.0 as 5, and has no infinity: that is for the caller to see.
    """
    if get_origin(hint) in {Union, types.UnionType}:
        parts = [_plain(one) for one in get_args(hint)]
        return frozenset().union(*(part for part in parts if part)) if None not in parts else None
    if hint is float:
        return frozenset({int, float})
    return frozenset({hint}) if hint in {int, str, bool, type(None)} else None


def _values_checker(hint: Any) -> Callable[[Collection[Any]], bool]:
    """Return the test of all values at once: their types as a set, which is ten times as fast as one by one."""
    kinds = _plain(hint)
    if kinds is None and get_origin(hint) is dict:
        # Values of values in one go: a table is a hundred little mappings.
        deeper = _values_checker(get_args(hint)[1])
        return lambda values: _DICT.issuperset(map(type, values)) and deeper(_flat(values))
    if kinds is None:
        test = checker(hint)
        return lambda values: all(map(test, values))
    if float not in kinds:
        return lambda values: kinds.issuperset(map(type, values))
    if kinds <= {int, float}:
        return lambda values: kinds.issuperset(map(type, values)) and all(map(math.isfinite, values))
    each = checker(hint)
    return lambda values: all(map(each, values))


def _flat(mappings: Collection[dict[str, Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable([one.values() for one in mappings]))


def _union_checker(tests: list[Test]) -> Test:
    def fits(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 - `any` with a generator takes three times as long
            if test(value):
                return True
        return False

    return fits


def _mapping_checker(hint: Any) -> Test:
    members = [
        _member(name, annotation, hint) for name, annotation in get_type_hints(hint, include_extras=True).items()
    ]

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        for name, kinds, test, optional, nullable in members:
            found = value.get(name, _MISSING)
            if found is _MISSING:
                if not (nullable or optional):
                    return False
                if nullable:
                    value[name] = None
            elif not (type(found) in kinds and type(found) is not float) and not test(found):
                return False
        return True

    return fits


def _member(name: str, annotation: Any, hint: Any) -> tuple[str, frozenset[type], Test, bool, bool]:
    """Return a key's name, the plain types it may have, its test, and whether it may be missing, and be None."""
    optional = get_origin(annotation) is NotRequired or not hint.__total__
    inner = get_args(annotation)[0] if get_origin(annotation) is NotRequired else annotation
    return name, _plain(inner) or frozenset(), checker(inner), optional, type(None) in get_args(inner)


def event_fits(row: dict[str, Any]) -> bool:
    """Tell whether a row is an event whose data readers can rely on."""
    if not {"kind", "t_s", "data"} <= row.keys() or not checker(EventRow)(row):
        return False
    hint = _DATA.get(row["kind"])
    return hint is None or checker(hint)(row["data"])
