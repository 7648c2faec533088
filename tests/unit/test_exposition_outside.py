"""The collector's rows as metrics."""

from typing import Any

from pinchpoint.monitoring.outside import NAMES, Outside
from pinchpoint.monitoring.probe.exposition import Family
from pinchpoint.rows import SampleRow


def process(pid: int, **figures: Any) -> dict[str, Any]:
    """Build a process row."""
    unknown = dict.fromkeys(("runq_s", "threads", "fds", "rss_bytes", "pss_bytes", "ctx_voluntary"))
    unknown |= dict.fromkeys(("ctx_involuntary", "major_faults", "read_bytes", "write_bytes"))
    return {"pid": pid, "role": "worker", "cpu_s": 1.0, **unknown, **figures}


def row(*processes: dict[str, Any], **host: Any) -> SampleRow:
    """Build a sample row with a bare host and no control group."""
    names = ["cpu_iowait_s", "cpu_steal_s", "psi_us", "swap_in_pages", "net_rx_bytes", "net_tx_bytes", "retransmits"]
    names += ["listen_overflows", "listen_drops", "listen_queue", "listen_limit"]
    bare = {"cpu_busy_s": 9.0, "memory_total_bytes": 2, "memory_available_bytes": 1, "per_cpu_busy_s": []}
    whole: Any = {
        "t_s": 50.0,
        "host": {**dict.fromkeys(names), **bare, **host},
        "cgroup": None,
        "processes": list(processes),
        "collector_cpu_s": 0.1,
        "late_s": 0.0,
    }
    result: SampleRow = whole
    return result


def after(outside: Outside, newest: SampleRow) -> list[Family]:
    """Return the metrics after one more row."""
    outside.observe(newest)
    return outside.families()


def values(found: list[Family], name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return the samples of one metric."""
    return next(family.samples for family in found if family.name == name)


def test_what_was_not_measured_has_no_sample() -> None:
    """A row of nothing but CPU gives CPU."""
    found = after(Outside(lambda: 51.0), row(process(7)))

    assert {family.name for family in found if family.samples} == {
        "pinchpoint_process_cpu_seconds_total",
        "pinchpoint_process_info",
        "pinchpoint_host_cpu_seconds_total",
        "pinchpoint_host_memory_total_bytes",
        "pinchpoint_host_memory_available_bytes",
        "pinchpoint_collector_cpu_seconds_total",
        "pinchpoint_collector_late_seconds",
        "pinchpoint_sample_age_seconds",
    }
    assert values(found, "pinchpoint_sample_age_seconds") == {(): 1.0}


def test_nothing_but_known_metrics_is_served() -> None:
    """Every family has a name that the documentation lists."""
    states = {"running": 3, "samples": 3}
    found = after(Outside(), row(process(7, thread_states=states), psi_us={"cpu_some": 5}))

    assert {family.name for family in found} == NAMES


def test_an_ended_process_keeps_its_counters_and_loses_its_gauges() -> None:
    """Sums over processes do not fall."""
    outside = Outside()
    assert outside.families() == []
    after(outside, row(process(7, cpu_s=1.0, threads=4), process(8)))
    outside.observe(row(process(7, cpu_s=3.0, threads=4, gone=True), process(8, threads=1)))

    found = after(outside, row(process(8, threads=2)))

    cpu = values(found, "pinchpoint_process_cpu_seconds_total")
    assert cpu == {(("pid", "7"),): 3.0, (("pid", "8"),): 1.0}
    assert values(found, "pinchpoint_process_threads") == {(("pid", "8"),): 2}
    assert values(found, "pinchpoint_process_info") == {(("pid", "8"), ("role", "worker")): 1}


def test_memory_read_less_often_stands_until_it_is_read_again() -> None:
    """PSS is read once a second, the rest more often; another process with the same pid starts without it."""
    outside = Outside()
    name = "pinchpoint_process_proportional_bytes"
    after(outside, row(process(7, pss_bytes=100)))

    assert values(after(outside, row(process(7, cpu_s=2.0))), name) == {(("pid", "7"),): 100}
    assert values(after(outside, row(process(7, cpu_s=0.1))), name) == {}


def test_pressure_and_thread_looks_are_split_by_label() -> None:
    """Microseconds become seconds; the sum of the looks is left to Prometheus."""
    figures = process(7, thread_states={"running": 3, "lock": 1, "samples": 4})

    found = after(Outside(), row(figures, psi_us={"io_full": 2_500_000}))

    labels = (("resource", "io"), ("share", "full"))
    assert values(found, "pinchpoint_host_pressure_seconds_total") == {labels: 2.5}
    looks = values(found, "pinchpoint_process_thread_looks_total")
    assert looks == {(("pid", "7"), ("state", "running")): 3, (("pid", "7"), ("state", "lock")): 1}
