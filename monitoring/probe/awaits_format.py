"""The file in which one process says what its tasks await: `<pid>.awaits` beside its page, replaced whole each second.

UTF-8 text. First line: `pinchpoint-awaits 1 PID TICKS TASKS WALKED`, then one line `COUNT STACK` for each distinct
stack. All numbers are cumulative since the process started, so a file that is missed loses nothing. A stack is root
first, `;` between frames: the route (`GET /items/{id}`), frames `function (file:line)`, and last, in brackets, what
the innermost frame waits for. `TASKS` is the sum over the ticks of the tasks alive, `WALKED` of the requests whose
await chain was followed. Standard library only; writer and reader share this module.
"""

from __future__ import annotations

HEADER = "pinchpoint-awaits 1 "
MAX_STACKS = 500
"""Distinct stacks kept; whatever comes later is counted as `OTHER_STACK`."""
OTHER_STACK = "(other)"
NOT_BEGUN = "(not begun)"
"""Stands for the route of requests whose task has not run yet."""

READY = "ready"
"""Nothing but the loop: it could go on, and the loop has not come round to it."""
POOL = "connection pool"
DATABASE = "database"
THREAD = "thread"
THREAD_TOKEN = "thread token"  # noqa: S105 - no password
LOCK = "lock"
QUEUE = "queue"
SLEEP = "sleep"
EVENT = "event"
HTTP = "downstream"
HTTP_POOL = "HTTP connection pool"
CLIENT = "client"
NETWORK = "network"
PROCESS = "process"
OTHER = "other"
_LEAVES = {READY: "[ready: waits for the loop]", SLEEP: "[sleep]", OTHER: "[other]"}


def leaf(kind: str) -> str:
    """Return the last frame of the stacks of requests that wait for `kind`."""
    return _LEAVES.get(kind) or "[wait for %s]" % kind


class Awaits:
    """What the file of one process says."""

    __slots__ = ("pid", "stacks", "tasks", "ticks", "walked")

    def __init__(self, pid: int, ticks: int, tasks: int, walked: int, stacks: dict[str, int]) -> None:
        self.pid = pid
        self.ticks = ticks
        self.tasks = tasks
        self.walked = walked
        self.stacks = stacks


def render(awaits: Awaits) -> str:
    """Write the file's text."""
    head = "%s%d %d %d %d\n" % (HEADER, awaits.pid, awaits.ticks, awaits.tasks, awaits.walked)
    return head + "".join(["%d %s\n" % (count, stack) for stack, count in awaits.stacks.items()])


def parse(text: str) -> Awaits | None:
    """Read it; None when it is none of ours. Lines that are no stacks are left out."""
    head, _, rest = text.partition("\n")
    numbers = head[len(HEADER) :].split(" ")
    if not head.startswith(HEADER) or not all(number.isdecimal() for number in numbers):
        return None
    try:
        pid, ticks, tasks, walked = [int(number) for number in numbers]
    except ValueError:
        return None
    stacks: dict[str, int] = {}
    for line in rest.split("\n"):
        count, _, stack = line.partition(" ")
        if stack and count.isdecimal():
            stacks[stack] = stacks.get(stack, 0) + int(count)
    return Awaits(pid, ticks, tasks, walked, stacks)
