"""The async wait profile: where requests wait, read from the await chains of a few tasks about ten times a second.

A thread sampler sees only the event loop waiting; what a request waits for stands in its suspended coroutines. A look
is taken in the loop itself, so nothing moves meanwhile, at random times, at a random few of the tasks, so that
ten thousand of them cost no more than a hundred. `awaits_format` says what is published.

A request that waits for a child task counts once, with the child's frames behind its own. A thread's work is outside:
the request waits for the thread. Tasks that serve no request are left out.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import sys
import time
from typing import Any, Iterator

from . import awaits_format as kinds
from .chains import DICE, Chain, follow
from .layout import AWAITS_SUFFIX
from .routes import ROUTES_SEEN, normalised
from .runtime import RUNTIME, Hook
from .templates import SCOPE_KEY, row_of
from .waits import Place, waits_for

INTERVAL_S = 0.1
MAX_WALKED = 64
_MIN_WALKED = 4
MAX_EXAMINED = 256
"""So many tasks are tried, because not every task serves a request."""
COST_SHARE = 0.0025
"""Of the loop's time, at most: fewer tasks are walked, and then fewer looks taken, where one costs more."""
_WALKS_S = 0.00015
"""For the chains of one look; finding the tasks takes the rest."""
_USUAL_S, _SLOWEST_S = 15e-6, 100e-6
"""To follow a chain; the first times cost more, because each place is new."""
PUBLISH_S = 1.0
_LONGEST_PAUSE_S = 2.0
_OK = 200
_ALL_TASKS_IN_C = (3, 14)

_now = time.perf_counter
Key = tuple[Any, ...]


class Profile:
    """The await profile of this process's serving loop."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start at zero in a forked child."""
        self.loop: Any = None
        self.ticks = self.tasks = self.walked = 0
        self.counts: dict[Key, int] = {}
        self.spent_s = 0.0
        self._texts: dict[Key, str] = {}
        self._limit = 8
        self._task_s = _USUAL_S
        self._mean_cost_s = 0.0
        self._names: dict[int, str] = {}
        self._published_s = 0.0
        self._published_ticks = 0

    def start(self, loop: Any) -> None:
        """Look at the tasks of `loop` from now on, until it is replaced."""
        self.loop = loop
        loop.call_later(INTERVAL_S * DICE.uniform(0.5, 1.5), self._tick, loop)

    def _tick(self, loop: Any) -> None:
        """Take a look, and set the time of the next. Never raises, for the loop would tell the app's log."""
        if loop is self.loop:
            HOOK.safely(self._take_look, loop)

    def _take_look(self, loop: Any) -> None:
        began = _now()
        self.look(loop)
        cost = _now() - began
        self.spent_s += cost
        self._mean_cost_s += 0.1 * (cost - self._mean_cost_s)
        pause = min(max(INTERVAL_S, self._mean_cost_s / COST_SHARE), _LONGEST_PAUSE_S)
        loop.call_later(pause * DICE.uniform(0.5, 1.5), self._tick, loop)

    def look(self, loop: Any) -> None:
        """Walk the chains of a few tasks."""
        total, tasks = choose(loop, MAX_EXAMINED)
        self.ticks += 1
        self.tasks += total
        walked, spent = 0, 0.0
        for task in tasks:
            began = _now()
            chain = follow(task)
            if chain is not None:
                self._count(chain)
                spent += _now() - began
                walked += 1
                if walked >= self._limit:
                    break
        self.walked += walked
        if walked:
            each = min(spent / walked, _SLOWEST_S)
            self._task_s = 0.8 * self._task_s + 0.2 * each
            # Set for the next look: a look cut short by its own cost would prefer short chains.
            self._limit = int(min(max(_WALKS_S / self._task_s, _MIN_WALKED), MAX_WALKED))

    def _count(self, chain: Chain) -> None:
        route = kinds.NOT_BEGUN if chain.scope is None else self.route(chain.scope)
        key = (route, chain.state, *chain.places)
        known = self.counts.get(key)
        if known is None and len(self.counts) >= kinds.MAX_STACKS:
            key = (kinds.OTHER_STACK,)
            known = self.counts.get(key)
        self.counts[key] = 1 if known is None else known + 1

    def route(self, scope: Any) -> str:
        """Name the request as its row of the page is named, without adding a row before it is done."""
        if not ("route" in scope or SCOPE_KEY in scope or "endpoint" in scope or "path_template" in scope):
            return "%s %s" % (scope.get("method", ""), normalised(scope.get("path", "")))
        row = row_of(scope, _OK)
        name = self._names.get(id(row))
        if name is None:
            self._names = {id(one): " ".join(filter(None, key)) for key, one in list(ROUTES_SEEN.named.items())}
            name = self._names.get(id(row), "")
        return name

    def fill(self, _fields: dict[str, float], at: float) -> None:
        """Publish once a second; called by the publishing thread. Adds no field to the page."""
        if self.loop is not None and at - self._published_s >= PUBLISH_S:
            self._published_s = at
            self.publish()

    def publish(self) -> None:
        """Replace the file, when there is anything new."""
        if not RUNTIME.folder or self.loop is None or self.ticks == self._published_ticks:
            return
        self._published_ticks = self.ticks
        stacks: dict[str, int] = {}
        for key, count in list(self.counts.items()):
            text = self._texts.get(key)
            if text is None:
                text = self._texts[key] = _text(key)
            stacks[text] = stacks.get(text, 0) + count
        whole = kinds.render(kinds.Awaits(os.getpid(), self.ticks, self.tasks, self.walked, stacks))
        path = os.path.join(RUNTIME.folder, "%d%s" % (os.getpid(), AWAITS_SUFFIX))  # noqa: PTH118
        temporary = path + ".tmp"
        with open(temporary, "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            file.write(whole)
        os.replace(temporary, path)  # noqa: PTH105

    def last_words(self) -> None:
        """Publish once more on the way out."""
        with contextlib.suppress(Exception):
            self.publish()


def choose(loop: Any, wanted: int) -> tuple[int, Iterator[Any]]:
    """Return how many tasks there are, and about `wanted` of them, each with the same chance to come first.

    `asyncio.all_tasks` makes weak references strong one by one in Python, 5 ms for 10,000 tasks; here every so many-th
    reference is taken from where they are kept, 0.1 ms. Tasks of other threads' loops count towards the total.
    """
    if sys.version_info >= _ALL_TASKS_IN_C:
        everything: list[Any] = list(asyncio.all_tasks(loop))
        return len(everything), iter(DICE.sample(everything, min(wanted, len(everything))))
    kept = getattr(asyncio.tasks, "_scheduled_tasks", None)
    references = (asyncio.tasks._all_tasks if kept is None else kept).data  # type: ignore[attr-defined]  # noqa: SLF001
    total = len(references)
    stride = max(1, total // max(wanted, 1))
    picked = list(itertools.islice(references, DICE.randrange(stride), None, stride))
    first = DICE.randrange(len(picked)) if picked else 0
    return total, _living(picked[first:] + picked[:first], loop)


def _living(references: list[Any], loop: Any) -> Iterator[Any]:
    for reference in references:
        task = reference()
        if task is not None and not task.done() and task.get_loop() is loop:
            yield task


def _text(key: Key) -> str:
    """Fold a stack."""
    if len(key) == 1:
        return kinds.OTHER_STACK
    route, state = key[:2]
    places: "tuple[Place, ...]" = key[2:]
    kind = kinds.READY if state == kinds.READY else waits_for(places, state)
    clean = route.replace(";", ":").replace("\n", " ").replace("\r", " ")
    return ";".join([clean, *[place.text for place in places], kinds.leaf(kind)])


PROFILE = Profile()
HOOK = Hook("await profile", PROFILE.fill, PROFILE.reset)
RUNTIME.add(HOOK)
atexit.register(PROFILE.last_words)


def start(loop: Any) -> None:
    """Profile the tasks of the loop that serves; called in it."""
    HOOK.safely(PROFILE.start, loop)
