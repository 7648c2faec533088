"""What a thread is doing, from its state letter and the kernel function it sleeps in."""

from __future__ import annotations

import pytest

from pinchpoint.monitoring.procfs import DescriptorBudget
from pinchpoint.monitoring.threads import LOOP_STATES, LoopWatch, classify

SEEN_ON_LINUX_6_18 = [
    ("R", "0", "running"),
    ("D", "folio_wait_bit", "disk"),
    ("T", "do_signal_stop", "other"),
    ("S", "do_epoll_wait", "idle"),
    ("S", "inet_csk_accept", "idle"),
    ("S", "futex_do_wait", "futex"),
    ("S", "futex_wait_queue_me", "futex"),
    ("S", "hrtimer_nanosleep", "sleep"),
    ("S", "wait_woken", "socket"),
    ("S", "unix_stream_read_generic", "socket"),
    ("S", "__skb_wait_for_more_packets", "socket"),
    ("S", "anon_pipe_read", "other"),
    ("S", "locks_lock_inode_wait", "other"),
    ("S", "0", "other"),
]


@pytest.mark.parametrize(("state", "wchan", "expected"), SEEN_ON_LINUX_6_18)
def test_each_waiting_place_has_a_name(state: str, wchan: str, expected: str) -> None:
    """Names as a real kernel printed them for Python programs that wait in one known way."""
    assert classify(state, wchan, has_loop=True) == expected


def test_poll_is_idle_in_a_plain_server_and_a_socket_wait_under_an_event_loop() -> None:
    """A loop waits in epoll; if its thread is in poll, a blocking driver put it there."""
    wchan = "poll_schedule_timeout.constprop.0"

    assert classify("S", wchan, has_loop=False) == "idle"
    assert classify("S", wchan, has_loop=True) == "socket"


class _Text:
    """A kept file whose text the test sets."""

    def __init__(self, text: bytes | None) -> None:
        self.text = text

    def read(self) -> bytes | None:
        return self.text

    def close(self) -> None:
        return


def _watch(stat: bytes | None, wchan: bytes | None) -> LoopWatch:
    watch = LoopWatch(1, 1, DescriptorBudget(0))
    vars(watch).update(_stat=_Text(stat), _wchan=_Text(wchan))
    return watch


def test_looks_add_up_and_epoll_marks_a_loop_for_good() -> None:
    """Once seen in epoll, a thread in poll waits for a socket."""
    watch = _watch(b"1 (python) S 1", b"do_epoll_wait")
    watch.look(has_loop=False)
    vars(watch).update(_wchan=_Text(b"poll_schedule_timeout"))
    watch.look(has_loop=False)

    expected = dict.fromkeys(LOOP_STATES, 0) | {"idle": 1, "socket": 1, "samples": 2}
    assert watch.counts() == expected


def test_a_thread_that_is_gone_is_not_counted() -> None:
    """No file, no look; no look, no counts."""
    watch = _watch(None, b"0")
    watch.look(has_loop=True)

    assert watch.counts() is None


def test_a_kernel_that_hides_waiting_places_gives_no_counts() -> None:
    """It shows 0 for every sleeper: after a second of that the counts are unavailable, not "other"."""
    watch = _watch(b"1 (python) S 1", b"0")
    for _ in range(50):
        watch.look(has_loop=True)

    assert watch.counts() is None
