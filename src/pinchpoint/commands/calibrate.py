"""What the load generator can do by itself: the very Locust file in use, against a server that does nothing.

A capacity near that figure is the generator's, not the server's (METHOD §2 rule 5). The processes are started while
the target boots, and let go once the warm-up has shown what the target answers.
"""

import contextlib
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pinchpoint.clientstats import ClientWindow, client_figures
from pinchpoint.commands import scratch
from pinchpoint.commands.session import Session, generator_spec
from pinchpoint.diagnosis.words import rps
from pinchpoint.errors import MeasurementError
from pinchpoint.processes import Child, Command, start
from pinchpoint.rows import DigestRow
from pinchpoint.stress.answers import ANSWERS_VARIABLE, read_answers
from pinchpoint.stress.early import HOLD_VARIABLE
from pinchpoint.stress.generator import Generator
from pinchpoint.stress.load_worker import start_local

LEAST_BUDGET_S = 45.0
"""A shorter run cannot spare the seconds."""
LOAD_S = 2.0
SETTLE_S = 0.6
"""The first users log in, and more of them come."""
OFFERED_RPS = 15_000.0
"""Per process: twice what a Locust process can start on any machine known to us (DESIGN §6)."""
LOGIN_S = 6.0
"""Users get through `on_start` in milliseconds where nothing is slow."""
ROWS_GRACE_S = 1.5
MOST_ERRORS = 0.1
FULL_LOOP = 0.8
"""Busy share of the load process's loop below which something else than the generator was the limit."""
MOST_OF_IT_OURS = 0.5
"""Share of the requests that must have come to the server that does nothing."""
LOOK_S = 0.05
BACKLOG = 1024
ANSWERS_FILE = "answers.json"
NULL_SERVER = "pinchpoint.stress.null_server"


@dataclass
class Calibration:
    """Load processes that wait for their turn, or the reason why there are none."""

    session: Session
    say: Callable[[str], None]
    reason: str | None = None
    """Why it is left out."""
    sleep: Callable[[float], None] = time.sleep
    _folder: Path | None = None
    _listener: socket.socket | None = None
    _generator: Generator | None = None
    _server: Child | None = field(default=None, init=False)

    def measure(self) -> None:
        """Measure and record it, or the reason why not; everything that belongs to it is gone afterwards.

        Raises:
            TargetError: the target died meanwhile.

        """
        try:
            data = self._measured() if self.reason is None else {"reason": self.reason}
        except MeasurementError as error:
            data = {"reason": str(error).partition("; see ")[0]}
        finally:
            self.close()
        self.session.event("calibration", processes=self.session.config.processes, **{"max_rps": None, **data})
        if "max_rps" in data:
            most = float(data["max_rps"])
            self.say(f"against a server that does nothing, this load generator starts up to {rps(most)} of this load")
        else:
            self.say(f"the generator was not calibrated: {data['reason']}")

    def close(self) -> None:
        """Stop and remove what belongs to it; harmless when that is done."""
        self.session.load_environ.pop(ANSWERS_VARIABLE, None)
        if self._generator is not None:
            self._generator.stop(0.0)  # it may still wait for its turn, and hears nothing then
        if self._server is not None:
            self._server.stop()
        if self._listener is not None:
            self._listener.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _measured(self) -> dict[str, Any]:
        folder, generator, listener = self._folder, self._generator, self._listener
        if folder is None or generator is None or listener is None:
            return {"reason": "it was measured before"}
        if not read_answers(folder / ANSWERS_FILE):
            return {"reason": "no request of the warm-up was answered, so there is nothing to answer with"}
        self._server = start(self._null_server(listener, folder))
        (folder / "go").touch()
        generator.start(LOGIN_S)
        count = self.session.config.processes
        segment, t0_s = generator.segment("rate", LOAD_S, rate_rps=OFFERED_RPS * count)
        rows = self._rows(generator, segment, t0_s)
        window = client_figures(rows, t0_s + SETTLE_S, t0_s + LOAD_S + ROWS_GRACE_S)
        self._server.stop()
        return self._judged(window, rows, _answered(self._server))

    def _null_server(self, listener: socket.socket, folder: Path) -> Command:
        cpus = self.session.config.server_cpus
        count = min(self.session.config.processes, len(cpus if cpus is not None else os.sched_getaffinity(0)))
        argv = (
            *(sys.executable, "-P", "-m", NULL_SERVER, "--fd", str(listener.fileno())),
            *("--answers", str(folder / ANSWERS_FILE), "--processes", str(max(1, count))),
        )
        return Command("null server", argv, folder / "null-server.log", cpus=cpus, pass_fds=(listener.fileno(),))

    def _rows(self, generator: Generator, segment: int, t0_s: float) -> list[DigestRow]:
        """Wait until the load is over, and return what was seen of it."""
        rows: list[DigestRow] = []
        deadline_s = t0_s + LOAD_S + ROWS_GRACE_S
        while self.session.clock() < deadline_s:
            self.session.check()
            rows += [row for row in generator.rows() if row["segment"] == segment]
            ended = {row["process"] for row in rows if row["t1_s"] >= t0_s + LOAD_S - LOOK_S}
            if len(ended) >= generator.parts:
                break
            self.sleep(LOOK_S)
        return rows

    def _judged(self, window: ClientWindow, rows: list[DigestRow], answered: int | None) -> dict[str, Any]:
        figures = window.figures
        done = sum(entry["ok"] + entry["failed"] for row in rows for entry in row["names"].values())
        if not figures.ok + figures.failed:
            return {"reason": "the load processes got no answer from a server that does nothing"}
        if window.error_rate is not None and window.error_rate > MOST_ERRORS:
            kinds = ", ".join(sorted(figures.errors, key=lambda kind: -figures.errors[kind])[:3])
            text = "the Locust file does not work with the answers of the warm-up given again"
            return {"reason": f"{text}: {window.error_rate:.0%} of its requests failed ({kinds})"}
        if answered is not None and answered < MOST_OF_IT_OURS * done:
            return {"reason": "the Locust file sends its requests to another address than --host"}
        if figures.loop_busy is not None and figures.loop_busy < FULL_LOOP:
            text = "its users pause within their tasks, so there were too few of them to keep it busy"
            return {"reason": f"{text} (its loop was busy {figures.loop_busy:.0%} of the time)"}
        return {
            "max_rps": window.started_rps,
            "answered_rps": window.goodput_rps,
            "cpu_share": figures.cpu_share,
            "loop_busy": figures.loop_busy,
            "seconds": window.covered_s,
        }


def prepare(session: Session, say: Callable[[str], None]) -> Calibration:
    """Start the load processes of the calibration, which wait; or say why there will be none.

    Call it before the load generator of the run is started: its processes keep the answers.
    """
    config = session.config
    if not config.calibrate:
        return Calibration(session, say, "--no-calibrate")
    if config.budget_s < LEAST_BUDGET_S:
        return Calibration(session, say, f"a --budget below {LEAST_BUDGET_S:.0f} s leaves no time for it")
    if config.processes == 0:
        return Calibration(session, say, "the load comes from other hosts only")
    folder = scratch.answers_folder()
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    host = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # The processes are added by hand, so that nobody waits for them here.
    spec = replace(generator_spec(config, host, folder), processes=0)
    environ = {**os.environ, HOLD_VARIABLE: str(folder / "go")}
    generator = Generator(spec, spawn=start, environ=environ)
    calibration = Calibration(session, say, None, time.sleep, folder, listener, generator)
    session.at_end(calibration.close)
    session.load_environ[ANSWERS_VARIABLE] = str(folder / ANSWERS_FILE)
    file = spec.check()
    for _ in range(config.processes):
        generator.add(start_local(spec, file, generator.next_settings(), start, environ, config.load_cpus))
    return calibration


def _answered(server: Child) -> int | None:
    """Return how many requests the null server says it answered; None when it does not say."""
    total: int | None = None
    for line in server.log_tail(64).splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            total = (total or 0) + int(json.loads(line)["answered"])
    return total
