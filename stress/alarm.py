"""Ring in gevent to the microsecond.

gevent's own timers end up to 1 ms late: libev rounds epoll's timeout up to a full millisecond (`ev_epoll.c`), which
would bias every latency that counts from a scheduled arrival.
"""

import ctypes
import os
import time
from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

_TFD_TIMER_ABSTIME = 1  # sys/timerfd.h
_NS_PER_S = 1_000_000_000
_READ = 1  # gevent's watcher event


class _TimeSpec(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Alarm:
    """Calls back in the hub, where nothing may block, on `time.monotonic()`.

    A timerfd where there are any: waking up costs no switch to a greenlet of its own. gevent's timers elsewhere.
    """

    def __init__(self, callback: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Open the timer; it is not set. Only the default clock can use the kernel's timer."""
        self._callback = callback
        self._clock = clock
        self._is_set = False
        self._timer: Any = None
        self._fd = _timer_fd() if clock is time.monotonic else -1
        self._watcher: Any = None
        if self._fd >= 0:
            self._spec = _TimerSpec()
            self._value = self._spec.value
            self._pointer = ctypes.byref(self._spec)
            self._watcher = get_hub().loop.io(self._fd, _READ)
            self._watcher.start(self._ring)

    def set(self, due_s: float) -> None:
        """Ring once at `due_s`, or at once when that is past; replaces an earlier setting."""
        self._is_set = True
        if self._watcher is not None:
            self._value.seconds, self._value.nanoseconds = divmod(max(1, int(due_s * _NS_PER_S)), _NS_PER_S)
            _settime(self._fd, _TFD_TIMER_ABSTIME, self._pointer, None)
            return
        self._stop_timer()
        self._timer = get_hub().loop.timer(max(0.0, due_s - self._clock()))
        self._timer.start(self._ring)

    def cancel(self) -> None:
        """Do not ring."""
        self._is_set = False
        if self._watcher is not None:
            self._value.seconds = self._value.nanoseconds = 0
            _settime(self._fd, 0, self._pointer, None)
        self._stop_timer()

    def close(self) -> None:
        """Close the timer."""
        self._stop_timer()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
            os.close(self._fd)

    def _ring(self) -> None:
        self._is_set = False
        self._callback()
        if not self._is_set:
            # Setting a timer takes its expirations back; without that, its descriptor would stay readable.
            self.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None


_libc = ctypes.CDLL(None)
_settime = getattr(_libc, "timerfd_settime", None) or (lambda *_: -1)


def _timer_fd() -> int:
    """Return a new timer descriptor on the monotonic clock; -1 where the system has none."""
    create = getattr(_libc, "timerfd_create", None)
    return -1 if create is None else int(create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
