"""The cache of the reference app: exact, bounded, and forgotten by all workers at once."""

import asyncio
import itertools
from collections.abc import Hashable
from pathlib import Path

import pytest

from pinchpoint.app.cache import Cache, Counters, slot_of, uncounted


class Worker:
    """A worker with a cache, and a store that all workers read from."""

    def __init__(self, stamps: Path, store: dict[str, int], **limits: float) -> None:
        self.store = store
        self.now_s = 0.0
        self.counted: list[str] = []
        counters = Counters(hit=lambda: self.counted.append("hit"), miss=lambda: self.counted.append("miss"))
        entries_max = int(limits.get("entries_max", 8))
        self.cache: Cache[int] = Cache(
            stamps, counters, entries_max=entries_max, max_age_s=limits.get("max_age_s", 10.0), clock=lambda: self.now_s
        )

    def read(self, group: str, key: Hashable = 0) -> int:
        """Read through the cache."""

        async def load() -> int:
            return self.store[group]

        return asyncio.run(self.cache.read(group, key, load))

    def write(self, group: str, value: int) -> None:
        """Write past the cache, and say so."""
        self.store[group] = value
        self.cache.written(group)


@pytest.fixture
def store() -> dict[str, int]:
    """What is written and read."""
    return {"ada": 1, "bob": 2}


@pytest.fixture
def worker(tmp_path: Path, store: dict[str, int]) -> Worker:
    """A worker that nothing was asked of yet."""
    return Worker(tmp_path / "stamps", store)


def test_the_second_read_is_a_hit(worker: Worker) -> None:
    """The store is asked once."""
    assert [worker.read("ada"), worker.read("ada")] == [1, 1]
    assert worker.counted == ["miss", "hit"]


def test_each_key_of_a_group_is_kept_apart(worker: Worker) -> None:
    """Pages of one owner do not stand in for each other."""
    for key in ((20, 0), (20, 20), (20, 0)):
        worker.read("ada", key)

    assert worker.counted == ["miss", "miss", "hit"]


def test_a_write_is_seen_by_the_next_read(worker: Worker) -> None:
    """Of all keys of that group."""
    worker.read("ada", 0)
    worker.read("ada", 1)
    worker.write("ada", 7)

    assert [worker.read("ada", 0), worker.read("ada", 1)] == [7, 7]
    assert worker.counted == ["miss"] * 4


def test_a_write_leaves_other_groups_alone(worker: Worker, store: dict[str, int]) -> None:
    """Whose stamp is another one."""
    other = next(name for name in map(str, itertools.count()) if slot_of(name) != slot_of("ada"))
    store[other] = 3
    worker.read(other)
    worker.write("ada", 7)
    worker.read(other)

    assert worker.counted == ["miss", "hit"]


def test_a_write_of_another_worker_is_seen_by_the_next_read(tmp_path: Path, store: dict[str, int]) -> None:
    """They share nothing but the file of stamps and the store."""
    one, two = Worker(tmp_path / "stamps", store), Worker(tmp_path / "stamps", store)
    one.read("ada")
    two.read("ada")
    two.write("ada", 7)

    assert [one.read("ada"), two.read("ada"), one.read("ada")] == [7, 7, 7]
    assert one.counted == ["miss", "miss", "hit"]


def test_what_is_read_while_somebody_writes_is_not_used_again(tmp_path: Path, store: dict[str, int]) -> None:
    """The reader got the old value and keeps it after the writer has said so: it must not stay."""
    one, two = Worker(tmp_path / "stamps", store), Worker(tmp_path / "stamps", store)

    async def load_old() -> int:
        old = store["ada"]
        two.write("ada", 7)
        return old

    assert asyncio.run(one.cache.read("ada", 0, load_old)) == 1
    assert one.read("ada") == 7


def test_a_value_grows_old(tmp_path: Path, store: dict[str, int]) -> None:
    """A writer on another machine cannot change the stamp; it is seen after the longest age."""
    worker = Worker(tmp_path / "stamps", store, max_age_s=10.0)
    worker.read("ada")
    store["ada"] = 7
    worker.now_s = 9.9
    assert worker.read("ada") == 1
    worker.now_s = 10.0

    assert worker.read("ada") == 7
    assert worker.counted == ["miss", "hit", "miss"]


def test_the_least_recently_used_value_goes_first(tmp_path: Path, store: dict[str, int]) -> None:
    """However many keys clients think of, no more are kept."""
    worker = Worker(tmp_path / "stamps", store, entries_max=2)
    for key in (1, 2, 1, 3, 1, 2):
        worker.read("ada", key)

    assert worker.counted == ["miss", "miss", "hit", "miss", "hit", "miss"]
    assert len(worker.cache) == 2


def test_a_failed_load_leaves_nothing(worker: Worker) -> None:
    """The error goes to who asked; the next one asks the store again."""

    async def load() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(worker.cache.read("ada", 0, load))

    assert len(worker.cache) == 0
    assert worker.read("ada") == 1


def test_an_app_without_metrics_counts_nothing(tmp_path: Path, store: dict[str, int]) -> None:
    """And caches all the same."""
    worker = Worker(tmp_path / "stamps", store)
    worker.cache = Cache(tmp_path / "stamps", uncounted("agents"))

    assert [worker.read("ada"), worker.read("ada")] == [1, 1]
    assert worker.counted == []
