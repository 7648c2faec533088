"""The checklist's lines of the soak and of caches."""

from typing import Any

import pytest

from pinchpoint.diagnosis import diagnose
from pinchpoint.diagnosis.checklist.caches import CacheLook, cache_lines, caches_in
from pinchpoint.diagnosis.checklist.evidence import Run
from pinchpoint.diagnosis.checklist.lines import ChecklistLine
from support.checklist_runs import lines
from support.digest_rows import START_S
from support.synthetic_soak import Steeped

# --- the soak ---------------------------------------------------------------------------------------------------------


def soaked(**truth: Any) -> dict[str, ChecklistLine]:
    """Return the lines of a soak with a known truth."""
    recording = Steeped(**truth).recording()
    diagnosis = diagnose(recording)
    run = Run(recording, diagnosis)
    found = lines(soak=run)
    return {name: line for name, line in found.items() if line.item == 5}


def test_a_leak_fails_with_its_size_and_how_long_memory_lasts() -> None:
    """8 KiB with every request."""
    found = soaked(memory=lambda requests, _seconds, _inflight: 8192.0 * requests)["Memory leak"]

    assert found.status == "failed"
    assert found.value == pytest.approx(8192, rel=0.05)
    assert found.shown.startswith("leak: 8")
    assert "What is free lasts" in found.todo


def test_no_leak_says_which_one_would_have_shown() -> None:
    """And nothing else grows."""
    found = soaked()

    assert [line.status for line in found.values()] == ["ok", "ok", "ok"]
    assert found["Memory leak"].limit_shown.endswith("per request would show")
    assert found["Limits throughout the soak"].shown == "held in all of 50 slices"


def test_growth_of_anything_else_asks_for_attention() -> None:
    """A descriptor is kept with every hundredth request."""
    found = soaked(fds=lambda requests: 20 + requests / 100)["Anything else that grows"]

    assert (found.status, found.value) == ("attention", 1.0)
    assert found.shown.startswith("open descriptors ")


def test_a_target_that_dies_in_the_soak_fails_the_line() -> None:
    """Whatever its memory looked like until then."""
    recording = Steeped().recording()
    exit_event: Any = {"kind": "target-exit", "t_s": 1.0, "data": {"code": -9, "message": "the target was killed"}}
    recording.events.append(exit_event)
    found = lines(soak=Run(recording, diagnose(recording)))["Memory leak"]

    assert (found.status, found.shown) == ("failed", "the target died")


# --- caches -----------------------------------------------------------------------------------------------------------

METRICS = """\
# HELP app_cache_hits_total Hits.
# TYPE app_cache_hits_total counter
app_cache_hits_total{cache="products",pid="1"} 40.0
app_cache_hits_total{cache="products",pid="2"} 50
app_cache_misses_total{cache="products"} 1e1
app_cache_hits_created{cache="products"} 1.7e+09
cache_requests_total{operation="get",result="hit"} 7
cache_requests_total{operation="get",result="miss"} 3
cache_hit_ratio 0.99
memcache_misses 4
pinchpoint_cache_hits_total 5
http_requests_total{status="hit"} 5
"""


def test_hits_and_misses_are_found_by_name_and_by_label() -> None:
    """All workers of one cache together; ratios, times of creation and our own metrics are none."""
    assert caches_in(METRICS) == {"app_cache[products]": (90.0, 10.0), "cache": (7.0, 3.0), "memcache": (0.0, 4.0)}
    assert caches_in("<html>cache_hits_total</html>\n# a comment\ncache_hits_total nonsense\n") == {}


def looks(*counts: tuple[float, float]) -> list[CacheLook]:
    """Return looks two seconds apart, from the first load on."""
    return [CacheLook(START_S + 1.0 + 2.0 * index, {"app": pair}) for index, pair in enumerate(counts)]


@pytest.mark.parametrize(("last", "status", "rate"), [((180.0, 30.0), "ok", 0.8), ((150.0, 60.0), "attention", 0.5)])
def test_a_hit_rate_is_that_of_the_load_and_not_since_the_start(
    last: tuple[float, float], status: str, rate: float
) -> None:
    """A hundred hits from before say nothing."""
    (found,) = cache_lines(looks((100.0, 10.0), (120.0, 12.0), last), START_S, START_S + 60, "")

    assert (found.name, found.status) == ("Cache hit rate: app", status)
    assert found.value == pytest.approx(rate)


def test_counters_that_go_back_give_no_rate() -> None:
    """Workers that answer each for itself look like that."""
    (found,) = cache_lines(looks((100.0, 10.0), (20.0, 2.0), (180.0, 30.0)), START_S, START_S + 60, "")

    assert (found.status, found.value) == ("not measured", None)
    assert found.how.startswith("its counters went back")


def test_few_lookups_or_none_give_no_rate() -> None:
    """And an app without counters says why."""
    (few,) = cache_lines(looks((100.0, 10.0), (109.0, 11.0)), START_S, START_S + 60, "")
    (none,) = cache_lines([], START_S, START_S + 60, "the app answers /metrics with status 404")

    assert few.how == "only 10 lookups under load, and a rate needs 20"
    assert (none.status, none.how) == ("not measured", "the app answers /metrics with status 404")
