"""Control groups for cases of the zoo: where one is made, what is written into it, and what a bad command ends in."""

import os
from pathlib import Path

import pytest

from pinchpoint.app.faults.case import CURED, SEVERITY
from pinchpoint.app.faults.serving import caged


def proc(tmp_path: Path, groups: str, mounts: str) -> Path:
    """Write what `/proc/self` would say."""
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text(mounts)
    return folder


def test_version_one_makes_the_group_in_our_own(tmp_path: Path) -> None:
    """Below the mount of the controller, which may show a subtree only."""
    mounts = "30 24 0:26 /box /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    here = proc(tmp_path, "4:memory:/box/one\n1:cpu:/\n", mounts)

    assert caged.parent_of("memory", proc=here) == caged.Parent(1, Path("/sys/fs/cgroup/memory/one"))


def test_version_two_looks_for_a_group_that_hands_the_controller_on(tmp_path: Path) -> None:
    """The own group has processes in it and cannot; its parent does."""
    own = tmp_path / "fs" / "user" / "shell"
    own.mkdir(parents=True)
    for folder, controllers in ((own, ""), (own.parent, "cpu memory"), (own.parent.parent, "cpu io memory")):
        (folder / "cgroup.subtree_control").write_text(controllers + "\n")
    here = proc(tmp_path, "0::/user/shell\n", f"30 24 0:26 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n")

    assert caged.parent_of("cpu", proc=here) == caged.Parent(2, own.parent)
    assert caged.parent_of("blkio", proc=here) == caged.Parent(2, own.parent.parent)


def test_version_two_asks_the_top_group_where_nobody_hands_it_on(tmp_path: Path) -> None:
    """What is written there is what the kernel expects."""
    top = tmp_path / "fs"
    top.mkdir()
    (top / "cgroup.subtree_control").write_text("\n")
    here = proc(tmp_path, "0::/\n", f"30 24 0:26 / {top} rw - cgroup2 cgroup2 rw\n")

    assert caged.parent_of("cpu", proc=here) == caged.Parent(2, top)
    assert (top / "cgroup.subtree_control").read_text() == "+cpu"


def test_without_the_hierarchy_there_is_a_reason(tmp_path: Path) -> None:
    """Nothing mounted, nothing made."""
    with pytest.raises(OSError, match="the controller cpu is mounted"):
        caged.parent_of("cpu", proc=proc(tmp_path, "0::/\n", ""))


def test_limits_are_written_as_each_version_wants_them() -> None:
    """Formats of cgroup-v1/*.rst and cgroup-v2.rst."""
    assert caged.cpu_limits(1, 0.25) == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "25000"}
    assert caged.cpu_limits(2, 0.25) == {"cpu.max": "25000 100000"}
    assert caged.memory_limits(1, 4096) == {"memory.limit_in_bytes": "4096"}
    assert caged.memory_limits(2, 4096) == {"memory.max": "4096"}
    limits = {"write_iops": 50, "read_bps": 1000}
    assert caged.disk_limits(2, "8:0", limits) == {"io.max": "8:0 wiops=50 rbps=1000"}
    assert caged.disk_limits(1, "8:0", limits) == {
        "blkio.throttle.write_iops_device": "8:0 50",
        "blkio.throttle.read_bps_device": "8:0 1000",
    }


def test_a_partition_stands_for_its_disk(tmp_path: Path) -> None:
    """A partition cannot be slowed."""
    device = tmp_path.stat().st_dev
    partition = tmp_path / "sda" / "sda1"
    partition.mkdir(parents=True)
    (partition / "partition").write_text("1\n")
    (partition.parent / "dev").write_text("8:0\n")
    (tmp_path / f"{os.major(device)}:{os.minor(device)}").symlink_to(partition)

    assert caged.disk_of(tmp_path, sys_dev=tmp_path) == "8:0"


@pytest.mark.parametrize(("words", "quota"), [([], "50000"), (["--scaled"], "12500"), (["--scaled", "--lifted"], None)])
def test_severity_and_cure_change_the_limits(
    monkeypatch: pytest.MonkeyPatch, words: list[str], quota: str | None
) -> None:
    """Half a core, an eighth of one at severity 4, and no group at all once cured."""
    monkeypatch.setenv(SEVERITY, "4")
    monkeypatch.setenv(CURED, "1")
    wanted = caged._wanted(caged.parse(["--cpu", "0.5", *words, "--", "true"]))

    found = {controller: texts(1) for controller, texts in wanted.items()}

    assert found == ({"cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": quota}} if quota else {})


def test_a_program_that_is_not_there_makes_no_group(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, before anything is made."""
    monkeypatch.setattr(caged, "build", None)

    assert caged.main(["--cpu", "0.5", "--", "no-such-program"]) == 1
    assert capsys.readouterr().err == "caged: there is no program 'no-such-program'\n"
