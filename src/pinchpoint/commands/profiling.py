"""Profile trials: py-spy on every worker in steps of their own, so that capacity is never measured while profiled."""

from pathlib import Path

from pinchpoint import app as reference
from pinchpoint.commands.session import Session
from pinchpoint.measures import Phase
from pinchpoint.profiles.capture import FOLDER, CaptureKind, ProfileRequest, capture
from pinchpoint.profiles.load import render_all

KINDS: tuple[CaptureKind, ...] = ("cpu", "wall")
WANTED_SAMPLES = 200
"""Wilson interval of a 10 % share from 200 samples: 7 to 15 % (METHOD §6.3); enough to name a hot frame."""
LOWEST_HZ, HIGHEST_HZ = 100, 250
MOST_WORKERS = 4
"""Each py-spy costs CPU of its own; beyond this the profilers would be the load."""


def rate_hz(duration_s: float, cpu_share: float) -> int:
    """Choose a rate at which a worker that runs `cpu_share` of the time yields `WANTED_SAMPLES` on-CPU samples."""
    needed = WANTED_SAMPLES / max(duration_s * cpu_share, 0.1)
    return round(max(LOWEST_HZ, min(needed, HIGHEST_HZ)))


def _project(session: Session) -> Path:
    """Return the folder that paths in the profiles are shown relative to: the app's own."""
    config = session.config
    if config.target is None and not config.command:
        return Path(reference.__file__).resolve().parent.parent
    return (config.cwd or Path.cwd()).resolve()


def profile_step(session: Session, phase: Phase, seconds: float, cpu_share: float) -> list[str]:
    """Take a CPU and a wall profile of every worker for `seconds`, and record what came of it.

    Returns:
        Sentences for the user: what could not be profiled, and what to grant.

    """
    hz = rate_hz(seconds, cpu_share)
    folder = session.folder / FOLDER
    requests = [
        ProfileRequest(phase=phase, pid=pid, kind=kind, duration_s=seconds, folder=folder, rate_hz=hz)
        for pid in session.worker_pids[:MOST_WORKERS]
        for kind in KINDS
    ]
    if not requests:
        return ["no worker process was found to profile"]
    outcome = capture(requests, root=_project(session))
    for rendered in render_all(session.folder, outcome.captured):
        session.event("profile", **rendered.event_data())
    return outcome.notes
