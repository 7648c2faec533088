"""Control groups of version 1, version 2 and both at once, from texts as kernels print them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinchpoint.monitoring.cgroup import (
    CgroupReader,
    Place,
    locate,
    parse_cpu_max,
    parse_cpu_quota,
    parse_groups,
    parse_memory_limit,
    parse_memory_use,
    parse_mounts,
    parse_throttling,
)
from pinchpoint.monitoring.procfs import DescriptorBudget

V1_MOUNTS = """31 23 0:28 / {root} rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / {root}/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / {root}/memory rw,relatime - cgroup cgroup rw,memory
"""
HYBRID_MOUNTS = V1_MOUNTS + "41 31 0:38 / {root}/unified rw,relatime - cgroup2 cgroup2 rw\n"
V2_MOUNTS = "30 23 0:26 / {root} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_GROUPS = "9:name=systemd:/\n4:memory:/shop/web\n1:cpu,cpuacct:/shop/web\n0::/\n"
V2_GROUPS = "0::/shop/web\n"


def _machine(tmp_path: Path, mounts: str, groups: str, files: dict[str, str]) -> CgroupReader:
    """Lay out a made-up /proc and cgroup tree, and read process 7 in it."""
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    for folder, name, text in (("self", "mountinfo", mounts.format(root=root)), ("7", "cgroup", groups)):
        (proc / folder).mkdir(parents=True)
        (proc / folder / name).write_text(text)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return CgroupReader(7, DescriptorBudget(), proc=proc)


def test_version_2_reads_the_tightest_limit_on_the_way_up(tmp_path: Path) -> None:
    """The parent's two cores bind, so its throttling counts; memory is limited at the group itself."""
    reader = _machine(
        tmp_path,
        V2_MOUNTS,
        V2_GROUPS,
        {
            "shop/web/cpu.max": "max 100000\n",
            "shop/cpu.max": "200000 100000\n",
            "shop/web/cpu.stat": "usage_usec 5\n",
            "shop/cpu.stat": "usage_usec 9\nnr_periods 40\nnr_throttled 10\nthrottled_usec 1500000\n",
            "shop/web/memory.max": "1000000\n",
            "shop/memory.max": "max\n",
            "shop/web/memory.current": "700000\n",
            "shop/web/memory.stat": "anon 500000\nfile 200000\ninactive_file 150000\n",
            "shop/web/memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n",
        },
    )

    assert reader.read() == {
        "version": 2,
        "cpu_limit_cores": 2.0,
        "periods": 40,
        "throttled_periods": 10,
        "throttled_s": 1.5,
        "memory_limit_bytes": 1000000,
        "memory_bytes": 550000,
        "oom_kills": 1,
        "memory_limit_hits": 3,
        "memory_high_hits": 0,
    }
    reader.close()


@pytest.mark.parametrize("mounts", [V1_MOUNTS, HYBRID_MOUNTS])
def test_version_1_is_read_alone_and_beside_version_2(tmp_path: Path, mounts: str) -> None:
    """A hybrid machine's version 2 tree has no cpu and no memory files."""
    reader = _machine(
        tmp_path,
        mounts,
        V1_GROUPS,
        {
            "cpu,cpuacct/shop/web/cpu.cfs_quota_us": "50000\n",
            "cpu,cpuacct/shop/web/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "cpu,cpuacct/shop/web/cpu.stat": "nr_periods 8\nnr_throttled 2\nthrottled_time 250000000\n",
            "memory/shop/web/memory.limit_in_bytes": "9223372036854771712\n",
            "memory/shop/web/memory.usage_in_bytes": "900\n",
            "memory/shop/web/memory.stat": "inactive_file 1\ntotal_inactive_file 100\n",
            "memory/shop/web/memory.failcnt": "9\n",
            "memory/shop/web/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
        },
    )

    assert reader.read() == {
        "version": 1,
        "cpu_limit_cores": 0.5,
        "periods": 8,
        "throttled_periods": 2,
        "throttled_s": 0.25,
        "memory_limit_bytes": None,
        "memory_bytes": 800,
        "oom_kills": 4,
        "memory_limit_hits": 9,
        "memory_high_hits": None,
    }
    reader.close()


def test_a_root_group_of_version_2_has_no_figures_but_is_seen(tmp_path: Path) -> None:
    """The root has no cpu.max, memory.max or memory.events: not measured, never 0."""
    reader = _machine(tmp_path, V2_MOUNTS, "0::/\n", {"cpu.stat": "usage_usec 5\n"})
    row = reader.read()

    assert row is not None
    assert row["version"] == 2
    assert [value for key, value in row.items() if key != "version"] == [None] * 9
    reader.close()


def test_without_control_groups_there_is_no_row(tmp_path: Path) -> None:
    """A kernel without cgroups, or a process that is gone."""
    assert _machine(tmp_path, "", "", {}).read() is None


def test_a_container_sees_its_own_group_at_the_mount() -> None:
    """The path in /proc/PID/cgroup is the host's, and so is the mount's root: they cancel."""
    mounts = parse_mounts("32 31 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n")

    inside = locate("memory", {"memory": "/docker/abc/web"}, mounts)
    outside = locate("memory", {"memory": "/other"}, mounts)

    here = Path("/sys/fs/cgroup/memory")
    assert inside == Place(1, (here / "web", here))
    assert outside == Place(1, (here,))


def test_a_group_above_the_namespace_is_read_at_the_mount() -> None:
    """Seen from a sibling namespace the path climbs: `/../other`."""
    mounts = parse_mounts("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")

    assert locate("cpu", {"": "/../other"}, mounts) == Place(2, (Path("/sys/fs/cgroup"),))


def test_a_mount_point_may_hold_blanks() -> None:
    """The kernel writes them in octal."""
    (mount,) = parse_mounts("30 23 0:26 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n")

    assert mount.point == "/mnt/my groups"


def test_a_group_path_may_hold_a_colon() -> None:
    """Only the first two colons separate."""
    assert parse_groups("3:cpu,cpuacct:/a:b\n0::/c\n") == {"cpu": "/a:b", "cpuacct": "/a:b", "": "/c"}


@given(quota=st.integers(1000, 10**8), period=st.integers(1000, 10**6))
def test_a_quota_is_the_same_limit_in_both_versions(quota: int, period: int) -> None:
    """Cores are quota over period."""
    assert parse_cpu_max(f"{quota} {period}\n") == quota / period
    assert parse_cpu_quota(f"{quota}\n", f"{period}\n") == quota / period


@given(text=st.text(max_size=30))
def test_any_text_is_a_limit_or_none(text: str) -> None:
    """Parsers do not raise, and no limit is ever zero cores."""
    cores = parse_cpu_max(text)
    assert cores is None or cores >= 0
    limit = parse_memory_limit(text)
    assert limit is None or 0 <= limit < 1 << 60
    parse_groups(text)
    parse_mounts(text)
    parse_throttling(text.encode(), 1)
    parse_memory_use(text.encode(), text.encode(), 2)


def test_no_limit_is_none_in_each_spelling() -> None:
    """`max`, -1 and version 1's huge number."""
    assert parse_cpu_max("max 100000") is None
    assert parse_cpu_quota("-1", "100000") is None
    assert parse_memory_limit("max") is None
    assert parse_memory_limit("9223372036854771712") is None
    assert parse_memory_limit("268435456") == 268435456
