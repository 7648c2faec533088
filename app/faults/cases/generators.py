"""Runs in which the generator is the limit: its CPU is cut, or the Locust file itself burns or waits."""

from pathlib import Path

from ..case import Case, Label

_SERVING = "pinchpoint.app.faults.serving"
_FOLDER = Path(__file__).resolve().parent.parent / "serving"
_GENERATOR = (Label("generator", "generator-bound"),)


def _cut(name: str, target: str, path: str, keeps: float, **more: object) -> Case:
    return Case(
        name=name,
        family="generator-quota",
        kind="generator",
        labels=_GENERATOR,
        binds=f"the load processes, which get {keeps:.0%} of a core",
        formula="none: what the generator manages, not the app",
        ceiling_rps=None,
        target=(target,),
        load=("--get", path),
        press=(path,),
        keeps=keeps,
        **more,  # type: ignore[arg-type]
    )


def _file(name: str, file: str, binds: str) -> Case:
    return Case(
        name=name,
        family="generator-file",
        kind="generator",
        labels=_GENERATOR,
        binds=binds,
        formula="none: what the generator manages, not the app",
        ceiling_rps=None,
        target=(f"{_SERVING}.generators_catalogue:app",),
        load=("-f", str(_FOLDER / file)),
        press=("/articles/7",),
    )


CASES: tuple[Case, ...] = (
    _cut("generator-quota-30", f"{_SERVING}.generators_catalogue:app", "/articles/7", 0.3),
    _cut("generator-quota-10", f"{_SERVING}.generators_catalogue:app", "/articles/7", 0.1),
    _cut(
        "generator-quota-5-wsgi",
        f"{_SERVING}.generators_library:app",
        "/books/7",
        0.05,
        database="sqlite",
        flavour="wsgi",
    ),
    _file("generator-file-signs", "generators_signed.py", "a task of the Locust file derives a key: 15 ms of a core"),
    _file("generator-file-waits", "generators_scanned.py", "a task of the Locust file blocks its process for 20 ms"),
    _file(
        "generator-file-compares", "generators_checked.py", "a task of the Locust file compares texts: 15 ms or more"
    ),
)
