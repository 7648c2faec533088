"""Machine-wide figures: the parsers, and the reader on this machine."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.facts import host_facts, parse_cpu_model
from pinchpoint.monitoring.host import (
    CpuTimes,
    HostReader,
    parse_counter_table,
    parse_cpu_times,
    parse_port_range,
    parse_pressure,
    parse_time_wait,
    parse_traffic,
)
from pinchpoint.monitoring.procfs import TICKS_PER_S, DescriptorBudget

NET_DEV = b"""Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo: 1000       5    0    0    0     0          0         0     1000       5    0    0    0     0       0          0
  eth0:2000       5    0    0    0     0          0         0       30       5    0    0    0     0       0          0
"""


@given(ticks=st.lists(st.integers(0, 10**9), min_size=10, max_size=10))
def test_busy_time_leaves_out_idle_waiting_and_stolen_time(ticks: list[int]) -> None:
    """And counts guest time once: it is part of user time already."""
    line = " ".join(map(str, ticks))
    user, nice, system, _idle, iowait, irq, softirq, steal, _guest, _guest_nice = ticks
    busy_s = (user + nice + system + irq + softirq) / TICKS_PER_S

    actual = parse_cpu_times(f"cpu  {line}\ncpu0 {line}\nintr 1 2 3\n".encode())

    assert actual == CpuTimes(busy_s, iowait / TICKS_PER_S, steal / TICKS_PER_S, [busy_s])


def test_an_old_kernel_has_no_stolen_time() -> None:
    """Missing columns are not measured."""
    assert parse_cpu_times(b"cpu  1 2 3 4\n").steal_s is None


def test_pressure_totals_are_read_by_line() -> None:
    """Averages are left out: totals lose nothing between two reads."""
    text = b"some avg10=0.67 avg60=0.65 avg300=0.26 total=7858275\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"

    assert parse_pressure(text) == {"some": 7858275, "full": 12}
    assert parse_pressure(b"") == {}


def test_traffic_sums_all_interfaces() -> None:
    """Loopback included; a long number may touch the interface's colon."""
    assert parse_traffic(NET_DEV) == (3000, 1030)
    assert parse_traffic(b"") is None


def test_counters_are_found_by_name_in_their_group() -> None:
    """The columns of netstat differ between kernels; a missing one is not measured."""
    text = b"TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 9\nIpExt: ListenOverflows\nIpExt: 1\n"

    assert parse_counter_table(text, b"TcpExt", (b"ListenOverflows", b"ListenDrops")) == [9, None]
    assert parse_counter_table(b"", b"TcpExt", (b"ListenOverflows",)) == [None]


def test_ports_in_use_and_ports_there_are() -> None:
    """Closed connections that keep theirs, and the range they come from; anything else is not measured."""
    text = b"sockets: used 61\nTCP: inuse 34 orphan 0 tw 409 alloc 34 mem 0\nUDP: inuse 0 mem 0\n"
    assert (parse_time_wait(text), parse_time_wait(b""), parse_time_wait(b"TCP: inuse 3\n")) == (409, None, None)
    assert (parse_port_range("32768\t60999\n"), parse_port_range(""), parse_port_range("1 x")) == (28232, None, None)


def test_the_reader_agrees_with_the_machine() -> None:
    """One busy figure per CPU, together the whole; the accept queue is passed on."""
    reader = HostReader(os.getpid(), DescriptorBudget())
    row = reader.read((3, 128))
    reader.close()

    assert len(row["per_cpu_busy_s"]) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert abs(sum(row["per_cpu_busy_s"]) - row["cpu_busy_s"]) < 0.5
    assert 0 < row["memory_available_bytes"] < row["memory_total_bytes"]
    assert (row["listen_queue"], row["listen_limit"]) == (3, 128)


def test_the_facts_of_this_machine_are_known() -> None:
    """What every Linux tells; the rest may be None."""
    facts = host_facts()

    assert facts["cpus"] == os.cpu_count()
    assert facts["affinity"] == sorted(os.sched_getaffinity(0))
    assert facts["kernel"] == os.uname().release
    assert facts["memory_total_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_processor_without_a_name_is_unknown() -> None:
    """ARM kernels print none."""
    assert parse_cpu_model("processor\t: 0\nmodel name\t: Xeon 1\n") == "Xeon 1"
    assert parse_cpu_model("processor\t: 0\nBogoMIPS\t: 50.00\n") is None
