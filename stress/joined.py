"""The other end of `remote`: one load process run here for an engine on another machine."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pinchpoint.errors import PinchpointError
from pinchpoint.links import Link, LinkError, answer
from pinchpoint.processes import Command
from pinchpoint.stress.joining import Hello, Order
from pinchpoint.stress.load_worker import Child, LocalWorker, start_local


class Joined:
    """Passes on orders from the link and answers to it. `over` once the run has no more use for it; then `close` it."""

    def __init__(
        self,
        link: Link,
        folder: Path,
        spawn: Callable[[Command], Child],
        *,
        allow: Callable[[str], None],
        environ: Mapping[str, str],
        cpus: frozenset[int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Introduce ourselves.

        Args:
            link: to the engine.
            folder: of this load process alone.
            spawn: starts a process.
            allow: raises a PinchpointError when a target's URL may not be pressed from here.
            environ: of the load process.
            cpus: that it may run on.
            clock: the monotonic one.

        Raises:
            LinkError: the engine has left.

        """
        self._link = link
        self._folder = folder
        self._start = partial(start_local, spawn=spawn, environ=environ, cpus=cpus)
        self._allow = allow
        self._clock = clock
        self._worker: LocalWorker | None = None
        self._stopping = False
        self.over = False
        self.problem = ""
        """Why it did not end as the engine wanted it to; empty when it did."""
        self.pressing = ""
        """URL of the target; empty before the order has come."""
        link.send(Hello.ours().message())

    def filenos(self) -> list[int]:
        """Return the descriptors that tell when `pump` has something to do; rows come besides, once a second."""
        worker = -1 if self._worker is None else self._worker.fileno()
        return [number for number in (self._link.fileno(), worker) if number >= 0]

    def pump(self) -> None:
        """Pass on what has come from either side."""
        try:
            for message in self._link.take():
                self._obey(message)
            if self._worker is not None:
                self._pass_on(self._worker)
        except LinkError as error:
            self._finish(str(error))
        if self._link.closed:
            self._finish(f"the line to {self._link.peer} is gone: {self._link.why}")

    def close(self) -> None:
        """End the load process and the link."""
        if self._worker is not None:
            self._worker.stop()
        self._link.close()

    def _obey(self, message: dict[str, Any]) -> None:
        if answer(message, self._link, self._clock):
            return
        if "order" in message:
            self._begin(message)
        elif "refused" in message:
            self._finish(f"the run at {self._link.peer} refuses this worker: {message['refused']}")
        elif "cmd" in message and self._worker is not None:
            self._stopping = self._stopping or message["cmd"] == "stop"
            self._worker.send(message)
        elif message.get("cmd") == "stop":
            self._finish("")

    def _begin(self, message: dict[str, Any]) -> None:
        """Start the load process, or say why not."""
        try:
            order = Order.from_message(message)
            self._allow(order.target)
            spec, file, settings = order.unpack(self._folder)
            self._worker = self._start(spec, file, settings)
            self.pressing = order.target
        except PinchpointError as error:
            self._link.send({"refused": str(error)})
            self._finish(str(error))

    def _pass_on(self, worker: LocalWorker) -> None:
        alive = worker.alive()  # asked first: what it says last is still passed on
        for said in worker.take():
            self._link.send({"said": said})
        if rows := worker.rows():
            self._link.send({"rows": rows})
        if alive:
            return
        if self._stopping:
            self._finish("")
        else:
            self._link.send({"refused": worker.why()})
            self._finish(f"the load process ended: {worker.why()}")

    def _finish(self, problem: str) -> None:
        if not self.over:
            self.over = True
            self.problem = "" if self._stopping else problem
