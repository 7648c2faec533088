"""Sleep in gevent to the microsecond.

gevent's own timers end up to 1 ms late: libev rounds epoll's timeout up to a full millisecond (`ev_epoll.c`), which
would bias every latency that counts from a scheduled arrival.
"""

import ctypes
import os
import time
from collections.abc import Callable

import gevent
from gevent.hub import get_hub

_TFD_TIMER_ABSTIME = 1  # sys/timerfd.h
_NS_PER_S = 1_000_000_000
_READ = 1  # gevent's watcher event
_SHORTEST_S = 1e-6


class _TimeSpec(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Alarm:
    """One greenlet's alarm clock, on `time.monotonic()`; a timerfd where there are any, gevent's timers elsewhere."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the timer. Only the default clock can use the kernel's timer."""
        self._clock = clock
        self._fd = _timer_fd() if clock is time.monotonic else -1
        self._spec = _TimerSpec()
        self._watcher = get_hub().loop.io(self._fd, _READ) if self._fd >= 0 else None

    def sleep_until(self, due_s: float) -> None:
        """Return at `due_s`, or at once (after a turn of the loop) when that is past."""
        if self._watcher is None or due_s - self._clock() < _SHORTEST_S:
            gevent.sleep(max(0.0, due_s - self._clock()))
            return
        nanoseconds = int(due_s * _NS_PER_S)
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(nanoseconds, _NS_PER_S)
        _settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)
        get_hub().wait(self._watcher)
        # The kernel adds up expirations until somebody reads them; unread, the descriptor stays readable.
        os.read(self._fd, 8)

    def close(self) -> None:
        """Close the timer."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
            os.close(self._fd)


_libc = ctypes.CDLL(None)
_settime = getattr(_libc, "timerfd_settime", None) or (lambda *_: -1)


def _timer_fd() -> int:
    """Return a new timer descriptor on the monotonic clock; -1 where the system has none."""
    create = getattr(_libc, "timerfd_create", None)
    return -1 if create is None else int(create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
