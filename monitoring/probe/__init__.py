"""The probe: what a serving process knows about itself, published in a memory-mapped page (`layout.py`).

Standard library only, Python 3.9+, relative imports only: it also runs inside interpreters that have no pinchpoint,
where `inject/sitecustomize.py` loads this folder under the private name `_pinchpoint_probe`.
"""

import sys

_PRIVATE_NAME = "_pinchpoint_probe"


def install() -> None:
    """Hook what is loaded and what will be; without `PINCHPOINT_PROBE_DIR` in the environment, or twice, do nothing.

    Never raises. Nothing is started and nothing written before a server in this process loads its app.
    """
    if sys.modules.setdefault(_PRIVATE_NAME, sys.modules[__name__]) is not sys.modules[__name__]:
        return
    try:
        from . import hooks  # noqa: PLC0415 - only the processes that are probed pay for it

        hooks.install()
    except Exception as error:
        sys.stderr.write(f"pinchpoint probe: not installed: {error!r}\n")
