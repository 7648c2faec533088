"""Which load a run offers: the Locust file, the target and the bounds of the load processes."""

import ast
from dataclasses import dataclass
from pathlib import Path

from pinchpoint.errors import UsageError
from pinchpoint.stress.scenarios import PATHS_FILE, SCENARIOS

DEFAULT_SCENARIO = "items"
DEFAULT_MAX_USERS = 1000
"""A cap for the memory's sake (30 KB each), high enough to be none: arrivals that find no user are a closed loop."""


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """Which load, from how many processes. One of `get_paths`, `locustfile` and `scenario` counts, in that order.

    Attributes:
        host: base URL of the target.
        folder: the run folder; digests go to `client-<process>.jsonl`, output to `generator-<process>.log`.
        scenario: name of a bundled scenario.
        locustfile: any Locust file, run unchanged.
        get_paths: paths to GET in turn.
        processes: load processes on this machine; the load is split exactly over all workers.
        max_users: most users of all workers together in the rate model.
        cpus: CPUs the load processes of this machine may run on.
        timeout_s: of a request, where the Locust file sets none.
        seed: of the arrival times.
        requests: log every request to `requests-<process>.csv`.

    """

    host: str
    folder: Path
    scenario: str | None = None
    locustfile: Path | None = None
    get_paths: tuple[str, ...] = ()
    processes: int = 1
    max_users: int = DEFAULT_MAX_USERS
    cpus: frozenset[int] | None = None
    timeout_s: float = 10.0
    seed: int = 1
    requests: bool = False

    def check(self) -> Path:
        """Return the Locust file to run.

        Raises:
            UsageError: there is no such scenario or file, it is not Python, or a number makes no sense.

        """
        if self.processes < 0 or self.max_users < max(self.processes, 1):
            raise UsageError(
                f"{self.max_users} users cannot be split over {self.processes} load processes; use at least 1 each"
            )
        if self.get_paths:
            wrong = [path for path in self.get_paths if not path.startswith("/")]
            if wrong:
                raise UsageError(f"--get needs a path that starts with /, not '{wrong[0]}'")
            return PATHS_FILE
        if self.locustfile is not None:
            return _checked_file(self.locustfile)
        name = self.scenario or DEFAULT_SCENARIO
        if name not in SCENARIOS:
            raise UsageError(f"there is no scenario '{name}'; choose one of: {', '.join(sorted(SCENARIOS))}")
        return SCENARIOS[name].path


def _checked_file(path: Path) -> Path:
    """Refuse, before anything starts, what Locust would refuse later."""
    if not path.is_file():
        raise UsageError(f"there is no Locust file {path}; give its path with -f")
    try:
        ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"the Locust file {path} is not valid Python: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read the Locust file {path}: {error.strerror}") from error
    return path.resolve()
