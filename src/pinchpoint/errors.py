"""Every error a user can cause or meet, each with its exit code. Factored out so that nothing imports in circles.

Anything that is not a `PinchpointError` is a bug of ours and shows a traceback.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented exit codes of the command line (DESIGN §1)."""

    DONE = 0
    THRESHOLD_CROSSED = 1
    USAGE = 2
    INVALID_MEASUREMENT = 3
    TARGET_FAILED = 4
    INTERRUPTED = 130


class PinchpointError(Exception):
    """A failure with one clear sentence for the user: what is wrong, and the way out."""

    exit_code = ExitCode.USAGE


class UsageError(PinchpointError):
    """The command line, a settings file or a run folder does not make sense."""


class TargetError(PinchpointError):
    """The target did not start, or died before anything was measured."""

    exit_code = ExitCode.TARGET_FAILED


class MeasurementError(PinchpointError):
    """The measurement itself failed: the load generator died, the recording cannot be written."""

    exit_code = ExitCode.INVALID_MEASUREMENT


class Interrupted(PinchpointError):  # noqa: N818 - not an error of anybody's
    """The user pressed Ctrl-C or the process got SIGTERM; what was recorded is still reported."""

    exit_code = ExitCode.INTERRUPTED
