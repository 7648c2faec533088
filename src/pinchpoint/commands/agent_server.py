"""The server that an agent watches: one that runs already, or a command that the agent started and ends."""

import abc
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinchpoint.commands import inside, scratch
from pinchpoint.commands.attach import MISSING, PAGES_FOUND, affinity, attach, working_folder
from pinchpoint.commands.config import HOST, RunConfig
from pinchpoint.commands.exporter import listening_port
from pinchpoint.commands.session import STOP_GRACE_S, ending
from pinchpoint.commands.target import TRACER_VARIABLE, server_of
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.monitoring.agent_words import last_words
from pinchpoint.monitoring.injection import probe_environment
from pinchpoint.monitoring.listeners import find_listener
from pinchpoint.monitoring.processes_tree import find_members
from pinchpoint.processes import Child, Command, start

if TYPE_CHECKING:
    from pinchpoint.commands.describe import Description

SHOWN_LINES = 20
"""Of a server's output, when it ended by itself."""
OUTPUT = "target.log"


class _Seen(abc.ABC):
    """What is the same for both kinds: facts for run.json, read off the processes."""

    def __init__(self, port: int | None, cwd: Path | None) -> None:
        self.port = port
        """As far as it is known before a run says which one it presses."""
        self._cwd = cwd
        self._scratch = scratch.agent_folder()
        self._app: Description | None = None
        self._asked = False

    @property
    @abc.abstractmethod
    def roots(self) -> list[int]:
        """Pids below which all its processes are."""

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def why_no_page(self, pids: list[int]) -> str:
        """Say why none of its processes has a page."""
        own = find_members(self.roots)
        return inside.why_no_page([pid for pid in pids if pid in own], self.roots)

    def _facts(self, pressed: int | None, notes: Sequence[str]) -> dict[str, Any]:
        port, doubt = self._listens(pressed)
        root = next(iter(self.roots), None)
        if not self._asked:
            self._app = inside.ask_interpreter(self.roots, RunConfig(cwd=self._cwd), {}, self._scratch)
            self._asked = self._app is not None
        app = self._app
        cpus = affinity(root) if root is not None else None
        return {
            "port": port,
            "pids": self.roots,
            "server": inside.server_seen(self.roots),
            "server_cpus": sorted(cpus) if cpus is not None else None,
            "python": app.executable if app is not None else None,
            "python_version": app.python if app is not None else None,
            "implementation": app.implementation if app is not None else None,
            "versions": dict(app.versions) if app is not None else {},
            "notes": [*notes, *([doubt] if doubt is not None else [])],
        }

    def _listens(self, pressed: int | None) -> tuple[int | None, str | None]:
        """Return the port to look at, and a sentence when the run presses another one."""
        if pressed is not None and set(find_listener(pressed)) & find_members(self.roots).keys():
            return pressed, None
        own = self.port or next((port for root in self.roots if (port := listening_port(root)) is not None), None)
        if own is None or own == pressed or pressed is None:
            return own, None
        return own, (
            f"the agent's server listens on port {own}, not on {pressed} that the run presses: "
            "unless one hands on to the other, the server's figures are of something else"
        )


class AttachedServer(_Seen):
    """A server that runs already; it is looked at, never signalled, never ended."""

    ours = False

    def __init__(self, pid: int, port: int | None, pages: Path | None) -> None:
        """Find it.

        Raises:
            UsageError: there is no such process, or another one listens on the port.
            TargetError: it listens nowhere.

        """
        if not Path(f"/proc/{pid}").is_dir():
            raise UsageError(f"--pid {pid}: there is no such process")
        own = port or listening_port(pid)
        if own is None:
            raise TargetError(f"PID {pid} listens on no TCP port that can be seen; say which one is its with --port")
        super().__init__(own, working_folder(pid))
        self._found = attach(pid, f"http://{HOST}:{own}", find_listener)
        folder = pages or self._found.page_folder
        self._missing = folder is None
        self.folder = folder or self._scratch
        self.name = f"PID {self._found.root}"

    @property
    def roots(self) -> list[int]:
        """Pids below which all its processes are."""
        return self._found.roots

    def ending(self) -> dict[str, Any] | None:
        """Return how it ended; None while it runs."""
        if self._found.alive():
            return None
        message = f"the server that was attached to (PID {self._found.root}) has exited"
        return {"code": None, "gone": True, "message": message}

    def revive(self) -> None:
        """Make sure that it runs.

        Raises:
            TargetError: it does not.

        """
        if (ended := self.ending()) is not None:
            raise TargetError(f"{ended['message']}; start it and the agent anew")

    def begin(self, port: int | None) -> dict[str, Any]:
        """Return the facts of it."""
        return {"attached": self._found.root, **self._facts(port, [MISSING if self._missing else PAGES_FOUND])}

    def said(self) -> str:
        """Return nothing: its output goes where it always went."""
        return ""


class StartedServer(_Seen):
    """A command of the user's, with the probe inside, below a guard; started anew for a run when it has ended."""

    ours = True

    def __init__(self, argv: tuple[str, ...], port: int | None) -> None:
        """Start it.

        Raises:
            UsageError: there is no such program.
            MeasurementError: it cannot be started.

        """
        super().__init__(port, None)
        self._argv = argv
        self._starts = 0
        self.folder = self._scratch
        self.name = argv[0] if server_of(argv) is None else str(server_of(argv))
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def roots(self) -> list[int]:
        """Pids below which all its processes are."""
        return self._child.roots

    def ending(self) -> dict[str, Any] | None:
        """Return how it ended; None while it runs, or what it left in the background does."""
        code = self._child.returncode
        if code is None or (code == 0 and not self._child.gone):
            return None
        words = f"the target {ending(code)}; {last_words(self._child.log_tail(1))}"
        return {"code": code, "gone": self._child.gone, "message": words}

    def revive(self) -> None:
        """Make sure that it runs.

        Raises:
            PinchpointError: it cannot be started again.

        """
        if self.ending() is not None:
            self._child.stop(STOP_GRACE_S)
            shutil.rmtree(self.folder, ignore_errors=True)
            self._start()

    def begin(self, port: int | None) -> dict[str, Any]:
        """Return the facts of it."""
        notes = [f"the agent has started the server {self._starts} times"] if self._starts > 1 else []
        return {"attached": None, "command": list(self._argv), **self._facts(port, notes)}

    def said(self) -> str:
        """Return the last lines of its output."""
        return self._child.log_tail(SHOWN_LINES)

    def close(self) -> None:
        """End it, and all it started."""
        if self._starts:
            self._child.stop(STOP_GRACE_S)
            shutil.rmtree(self.folder, ignore_errors=True)
        super().close()

    def _start(self) -> None:
        # A folder for each start: pages of the dead would be taken for workers that have stopped.
        self.folder = scratch.probe_folder()
        environment = probe_environment(self.folder, {**os.environ, TRACER_VARIABLE: str(os.getpid())})
        log = self._scratch / OUTPUT
        self._child: Child = start(Command("target", self._argv, log=log, env=environment, lingers=True))
        self._starts += 1
