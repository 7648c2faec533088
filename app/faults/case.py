"""What a case of the fault zoo is: a system with a known limit, stated as data, so that a diagnosis can be checked.

A case is run by the public command line alone. Nothing in it reaches the diagnosis: the label is held against the
verdict afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

SEVERITY = "PINCHPOINT_ZOO_SEVERITY"
"""Variable that a serving module multiplies its fault with; default 1."""

CURED = "PINCHPOINT_ZOO_CURED"
"""Variable that, set to 1, takes the fault out of a serving module and leaves everything else as it is."""

SCRATCH = "PINCHPOINT_ZOO_DIR"
"""Variable that names the folder for the files of one run; empty at its start, gone after it."""

Kind = Literal["single", "mixed", "negative", "generator"]
Database = Literal["none", "sqlite", "postgresql"]
Place = Literal["server", "load"]
Rate = Callable[[float], float]


@dataclass(frozen=True)
class Label:
    """The right answer, in the slugs of the verdict."""

    class_: str
    cause: str


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A process beside the target: a service it calls, or a neighbour.

    In `argv`, `{python}` is the interpreter and `{port}` a free port, which must accept connections before the target
    is started (a companion without `{port}` is taken as ready once it runs).
    """

    argv: tuple[str, ...]
    variable: str | None = None
    """Variable of the target's environment that gets `http://127.0.0.1:PORT`."""
    place: Place = "load"
    """Whose CPUs it runs on."""
    when_cured: bool = True
    """Whether it runs beside the cured system too; False where the companion is the fault."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One system under one load, with the limit that arithmetic gives it.

    Rates are requests per second of exactly this load, as functions of the severity.
    """

    name: str
    """Unique slug, also the name of its recording."""
    family: str
    """What it shares its mechanism with; rules are tuned on one half of the families (`catalogue.TUNED`)."""
    kind: Kind
    labels: tuple[Label, ...]
    """single: the one right answer. mixed: all that bind. negative: every answer that accuses nobody falsely."""
    binds: str
    """What binds and why, for a reader."""
    formula: str
    """The ceiling's arithmetic, for a reader."""
    ceiling_rps: Rate | None
    """None where no arithmetic gives one: memory that runs out, load that ends first, a generator that is the limit."""
    second_rps: Rate | None = None
    """The next wall once the fault is gone; None where it was not worked out."""
    second_binds: str = ""
    severities: tuple[float, float, float] = (1.0, 2.0, 4.0)
    """Light, middle, severe."""
    target: tuple[str, ...]
    """What is served, as the words that end `pinchpoint run`'s command line: `MODULE:APP`, or `--` and a command."""
    knobs: tuple[str, ...] = ()
    """Further options of `pinchpoint run` about the server, such as `--workers 2 --worker-class gthread`."""
    cured_target: tuple[str, ...] | None = None
    """Instead of `target` when cured; None: the same, with `CURED` in its environment."""
    cured_knobs: tuple[str, ...] | None = None
    """Instead of `knobs` when cured; None: the same."""
    load: tuple[str, ...]
    """Options of `pinchpoint run` about the load: `--get /orders/7`, `--stages …`."""
    press: tuple[str, ...] = ()
    """Paths for the plain closed loop that checks the label; empty: those of `--get` in `load`."""
    connections: int = 64
    """Connections of that closed loop; 0 where only an open loop meets the limit: the rate at which 5 % are late."""
    database: Database = "none"
    """Which database `DATABASE_URL` names: a file in the scratch folder, or a PostgreSQL server of one's own."""
    env: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[Companion, ...] = ()
    server_cores: int = 1
    """Cores the target is pinned to; with more than the machine can spare, load and server share them."""
    needs: tuple[str, ...] = ()
    """What the machine must allow: `root`, `cgroup-cpu`, `cgroup-memory`, `cgroup-blkio`, `netns`, `two-cores`."""
    keeps: float | None = None
    """Share of the CPU that is left to the load processes (generator faults)."""
    flavour: str = "async"
    """`async`, `sync` (plain `def` endpoints) or `wsgi`: for the tables."""

    @property
    def sustained(self) -> bool:
        """Whether the ceiling is the highest rate without late answers, rather than a plateau that nothing exceeds."""
        return self.connections == 0
