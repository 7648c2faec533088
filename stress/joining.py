"""What a remote load worker and the engine tell each other before there is any load: who it is, and what to run. Pure.

On the link, besides: `{"cmd": …}` of `control` to the worker, `{"said": …}` with its answers, `{"rows": […]}` with its
digests (times of its own clock), pings and pongs of `links`, `{"refused": sentence}` either way.
"""

import hashlib
import importlib.metadata
import os
import platform
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pinchpoint.errors import UsageError
from pinchpoint.stress.control import Settings
from pinchpoint.stress.load_spec import GeneratorSpec
from pinchpoint.stress.scenarios import PATHS_FILE, SCENARIOS

ROLE = "load worker"


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself."""

    host: str
    pinchpoint: str
    locust: str
    python: str
    cores: int

    @classmethod
    def ours(cls) -> Self:
        """Describe this machine."""
        return cls(
            host=socket.gethostname(),
            pinchpoint=importlib.metadata.version("pinchpoint"),
            locust=importlib.metadata.version("locust"),
            python=platform.python_version(),
            cores=len(os.sched_getaffinity(0)),
        )

    def message(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"role": ROLE, **asdict(self)}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self | None:
        """Read what `message` wrote; None when it is something else."""
        texts = {name: message.get(name) for name in ("host", "pinchpoint", "locust", "python")}
        cores = message.get("cores")
        if message.get("role") != ROLE or not all(isinstance(text, str) for text in texts.values()):
            return None
        return cls(**{name: str(text) for name, text in texts.items()}, cores=cores if isinstance(cores, int) else 1)

    def misfit(self, other: "Hello") -> str | None:
        """Say why this worker cannot take part in the other's run; None when it can."""
        if self.pinchpoint != other.pinchpoint:
            return (
                f"it has pinchpoint {self.pinchpoint}, and the run {other.pinchpoint}; install the same version on both"
            )
        return None

    def difference(self, other: "Hello") -> str | None:
        """Say what may make its figures differ from the other's; None when nothing is known to."""
        parts = [
            f"{name} {getattr(self, name)} (here {getattr(other, name)})"
            for name in ("locust", "python")
            if getattr(self, name) != getattr(other, name)
        ]
        return f"load worker {self.host} has {' and '.join(parts)}" if parts else None


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker shall run: a Locust file, whole, or the name of a bundled one, with the checksum of its text."""

    settings: dict[str, Any]
    target: str
    name: str
    sha256: str
    text: str | None = None
    get_paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: GeneratorSpec, settings: Settings) -> Self:
        """Make the order for a worker.

        Raises:
            UsageError: the Locust file cannot be read.

        """
        path = spec.check()
        try:
            data = path.read_bytes()
            text = None if path in _bundled().values() else data.decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot send the Locust file {path} to the load workers: {error}") from error
        name = next((name for name, bundled in _bundled().items() if bundled == path), path.name)
        return cls(asdict(settings), spec.host, name, hashlib.sha256(data).hexdigest(), text, spec.get_paths)

    def message(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"order": asdict(self)}

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Self:
        """Read what `message` wrote.

        Raises:
            UsageError: it is no order.

        """
        order = message.get("order")
        try:
            return cls(**{**order, "get_paths": tuple(order["get_paths"])})  # type: ignore[index, dict-item]
        except (TypeError, KeyError) as error:
            raise UsageError("the order of the run cannot be understood") from error

    def unpack(self, folder: Path) -> tuple[GeneratorSpec, Path, Settings]:
        """Put the Locust file into `folder`; return what `start_local` needs.

        Raises:
            UsageError: the file came damaged, the bundled one here is another, or it cannot be written.

        """
        if self.text is None:
            path = _bundled().get(self.name)
            if path is None or _checksum(path.read_bytes()) != self.sha256:
                raise UsageError(
                    f"the bundled load pack '{self.name}' differs here; install the same pinchpoint on both"
                )
        else:
            if _checksum(self.text.encode()) != self.sha256:
                raise UsageError(f"the Locust file {self.name} came damaged")
            path = folder / (Path(self.name).name or "locustfile.py")
            try:
                path.write_text(self.text, encoding="utf-8", newline="")
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}") from error
        settings = Settings(**{**self.settings, "folder": str(folder)})
        spec = GeneratorSpec(host=self.target, folder=folder, locustfile=path, get_paths=self.get_paths)
        return spec, path, settings


def _bundled() -> dict[str, Path]:
    """Return the files that every installation has, by name."""
    return {**{name: scenario.path for name, scenario in SCENARIOS.items()}, "(paths)": PATHS_FILE}


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
