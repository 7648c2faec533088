"""A server on another host, seen through the agent there (`run --agent`)."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.describe import Description
from pinchpoint.credentials import TOKEN_VARIABLE, calling_tls, choose_token, split_address
from pinchpoint.errors import TargetError, UsageError
from pinchpoint.links import LinkError, connect
from pinchpoint.monitoring.agent_words import DEFAULT_PORT
from pinchpoint.monitoring.remote import RemoteSampler
from pinchpoint.rows import AwaitRow, SampleRow

if TYPE_CHECKING:
    from pinchpoint.offsets import Offset

NO_PROFILES = "no flame graphs: they are taken on the server's own host, and not through an agent"
_FACTS = ("server", "server_cpus", "python", "python_version", "implementation", "pids")
"""What run.json says of the target in the agent's words."""


class Afar:
    """The far server, as a `Child` that nobody started here, and its collector. Owned by a session."""

    def __init__(self, config: RunConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Call the agent, and begin to listen to it.

        Raises:
            UsageError: the token is missing.
            TargetError: nobody answers there, or the agent is busy.

        """
        token, made = choose_token(config.token)
        if made:
            raise UsageError(
                f"--agent {config.agent} needs the token that the agent prints: --token TOKEN, or {TOKEN_VARIABLE} "
                "in the environment"
            )
        host, port = split_address(str(config.agent), DEFAULT_PORT)
        tls = calling_tls(config.tls_ca) if config.tls_ca is not None else None
        try:
            link = connect(host, port, token, tls)
            sampler = RemoteSampler(link, clock)
        except LinkError as error:
            raise TargetError(f"no agent: {error}; `pinchpoint agent --help` says how to start one") from error
        self.address = f"{host}:{port}"
        sampler.start()
        self.watch(sampler)

    def watch(self, sampler: RemoteSampler) -> None:
        """Take a collector that listens already."""
        self.sampler = sampler
        self._told: Offset | None = None
        self._lost_told = self._error_told = self._jump_told = False
        self._dropped_told = 0

    # --- as a Child -------------------------------------------------------------------------------------------------

    @property
    def roots(self) -> list[int]:
        """Return none: its pids mean something over there only."""
        return []

    @property
    def returncode(self) -> int | None:
        """Exit code, as far as the agent knows it; None while it runs, -1 when only its end is known."""
        ended = self.sampler.exit
        if ended is None:
            return None
        return -1 if ended["code"] is None else int(ended["code"])

    @property
    def gone(self) -> bool:
        """True when nothing of it runs any more."""
        return bool((self.sampler.exit or {}).get("gone"))

    def alive(self) -> bool:
        """Tell whether it runs; True, too, when the agent is lost: nobody knows better."""
        return self.sampler.exit is None

    @property
    def message(self) -> str:
        """How it ended, in a clause."""
        return str((self.sampler.exit or {}).get("message", "the target has ended"))

    # --- the collector ----------------------------------------------------------------------------------------------

    def begin(
        self, port: int | None, sink: Callable[[SampleRow], None], await_sink: Callable[[AwaitRow], None]
    ) -> None:
        """Have the collector started.

        Raises:
            TargetError: the agent cannot watch its server, or is gone.

        """
        try:
            self.sampler.begin(port, sink, await_sink)
        except LinkError as error:
            raise TargetError(str(error)) from error

    @property
    def attached(self) -> int | None:
        """Pid of a server that the agent did not start; None of one that it did."""
        pid = self.sampler.target.get("attached")
        return pid if isinstance(pid, int) else None

    @property
    def notes(self) -> list[str]:
        """What the agent has to say of its server."""
        return [NO_PROFILES, *map(str, self.sampler.target.get("notes", ()))]

    @property
    def app(self) -> Description | None:
        """The app's interpreter, as far as it was asked over there."""
        target = self.sampler.target
        if not target.get("python"):
            return None
        return Description(
            python=str(target["python_version"]),
            implementation=str(target["implementation"]),
            executable=str(target["python"]),
            versions=dict(target["versions"]),
        )

    def facts(self) -> dict[str, Any]:
        """Return what run.json keeps of the target: its host beside ours, the agent and the clocks."""
        agent = {
            "address": self.address,
            "machine": self.sampler.machine,
            **self._clocks(),
            "rows": self.sampler.rows,
            "rows_dropped": self.sampler.dropped,
            "cpu_s": self.sampler.agent_cpu_s,
            "lost": self.sampler.lost,
        }
        seen = {name: self.sampler.target[name] for name in _FACTS if self.sampler.target.get(name) is not None}
        if self.sampler.target.get("command"):
            seen["command"] = self.sampler.target["command"]
        return {**seen, "attached_pid": self.attached, "host": self.sampler.hello.get("host"), "agent": agent}

    def news(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what happened since the last call, as events."""
        while self.sampler.said:
            yield "note", {"message": self.sampler.said.popleft()}
        if self.sampler.target and self._offset_changed():
            yield "agent", {"name": self.sampler.machine, **self._clocks()}
        if self.sampler.track.jump_s is not None and not self._jump_told:
            self._jump_told = True
            yield "note", {"message": f"the clock of {self.sampler.machine} jumped: rows before and after do not fit"}
        if self.sampler.dropped > self._dropped_told:
            self._dropped_told = self.sampler.dropped
            yield "note", {"message": "the line to the agent is too slow: some of the collector's rows were dropped"}
        if self.sampler.agent_error is not None and not self._error_told:
            self._error_told = True
            yield "note", {"message": f"the collector on {self.sampler.machine} ended: {self.sampler.agent_error}"}
        if self.sampler.lost is not None and not self._lost_told:
            self._lost_told = True
            yield "agent-lost", {"name": self.sampler.machine, "message": self.sampler.lost}
            yield "note", {"message": self._lost_message()}

    def close(self) -> None:
        """Hang up."""
        self.sampler.stop()

    def _lost_message(self) -> str:
        return (
            f"the agent on {self.sampler.machine} is lost ({self.sampler.lost}): from here on nothing is known of the "
            "server but what its clients see"
        )

    def _offset_changed(self) -> bool:
        """Return True for the first offset, and for each that took another's place."""
        now, before = self.sampler.track.offset, self._told
        self._told = now
        return before is None or now.seconds != before.seconds

    def _clocks(self) -> dict[str, Any]:
        track = self.sampler.track
        offset = track.offset
        return {
            "offset_s": offset.seconds,
            "offset_error_s": offset.error_s,
            "drift_s": track.drift_s,
            "jump_s": track.jump_s,
        }
