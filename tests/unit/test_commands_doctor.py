"""`pinchpoint doctor`: each finding from a made-up machine; nothing is read from this one but where said."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pinchpoint.commands.doctor import as_json, examine, exit_code, probe, py_spy, render
from pinchpoint.errors import ExitCode, UsageError
from pinchpoint.monitoring import doctor
from pinchpoint.monitoring.doctor import LIMITED, MISSING, OK, UNKNOWN, Check, Machine, run_checks
from pinchpoint.monitoring.doctor_trials import Neighbours, clock, disk, loopback

FACTS: dict[str, Any] = {"cpus": 4, "affinity": [0, 1, 2, 3], "cgroup": None, "container": False}
CAPABLE, PLAIN = "\nCapEff:\t000001ffffffffff\n", "\nCapEff:\t0000000000000000\n"
MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
CLOCKS = "/sys/devices/system/clocksource/clocksource0"


def machine(files: dict[str, str] | None = None, **readers: Any) -> Machine:
    """Return a machine that has these files and no others."""
    plain: dict[str, Any] = {
        "pid": 7,
        "read": (files or {}).get,
        "writable": lambda _: False,
        "which": lambda _: None,
        "free_bytes": lambda _: 1 << 40,
        "facts": lambda _: FACTS,
        "limits": lambda _: (1 << 20, 1 << 20),
    }
    return Machine(**(plain | readers))


@pytest.mark.parametrize(
    ("scope", "capabilities", "status"),
    [
        (None, PLAIN, OK),
        ("0", PLAIN, OK),
        ("1", PLAIN, LIMITED),
        ("1", CAPABLE, OK),
        ("2", PLAIN, MISSING),
        ("2", CAPABLE, OK),
        ("3", CAPABLE, MISSING),
    ],
)
def test_ptrace_depends_on_yama_and_on_a_capability(scope: str | None, capabilities: str, status: str) -> None:
    """Level 3 cannot be lifted by anything."""
    files = {"/proc/self/status": capabilities} | (
        {"/proc/sys/kernel/yama/ptrace_scope": f"{scope}\n"} if scope is not None else {}
    )
    check = doctor.ptrace(machine(files))
    assert check.status == status
    assert (check.remedy is None) == (status == OK)


def test_a_process_that_cannot_be_seen_is_missing() -> None:
    """Without even its stat nothing is measured from outside."""
    check = doctor.proc_files(machine())
    assert check.status == MISSING
    assert exit_code([check]) == ExitCode.INVALID_MEASUREMENT


def test_a_kernel_file_that_cannot_be_read_costs_what_it_shows() -> None:
    """Zeros in schedstat are a kernel without statistics."""
    pid = os.getpid()  # its fd folder is looked at for real
    files = {f"/proc/{pid}/{name}": "1" for name in ("stat", "syscall", "wchan", "smaps_rollup")}
    check = doctor.proc_files(machine({**files, f"/proc/{pid}/schedstat": "0 0 0\n"}, pid=pid))
    assert (check.status, check.value) == (LIMITED, "not readable: schedstat, io")
    assert "run-queue wait" in check.consequence
    assert exit_code([check]) == ExitCode.DONE


def test_hidden_processes_are_named_by_the_mount_option() -> None:
    """Only what others use is lost."""
    files = {"/proc/self/mountinfo": "22 27 0:21 / /proc rw,relatime - proc proc rw,hidepid=invisible\n"}
    check = doctor.hidepid(machine(files))
    assert (check.status, check.value) == (LIMITED, "hidepid=invisible")
    assert doctor.hidepid(machine({"/proc/1/stat": "1"})).status == OK


def test_pressure_is_there_or_not() -> None:
    """Some kernels have it switched off."""
    assert doctor.psi(machine()).status == MISSING
    assert doctor.psi(machine({"/proc/pressure/cpu": "some"})).value == "cpu"


@pytest.mark.parametrize(
    ("writable", "status", "fixed"),
    [
        ({"cpu.max", "memory.max"}, OK, ""),
        ({"cpu.max"}, LIMITED, "memory.max cannot be changed"),
        (set[str](), LIMITED, "cpu.max and memory.max cannot be changed"),
    ],
)
def test_limits_can_be_tried_where_both_files_are_writable(writable: set[str], status: str, fixed: str) -> None:
    """A group that is not ours can be read at least."""
    files = {"/proc/7/cgroup": "0::/shop\n", "/proc/self/mountinfo": MOUNTS}
    check = doctor.cgroup(machine(files, writable=lambda path: Path(path).name in writable))
    assert check.status == status
    assert check.value.startswith("version 2, /sys/fs/cgroup/shop")
    assert fixed in check.consequence


def test_without_a_control_group_nothing_is_said_about_limits() -> None:
    """None is mounted."""
    assert doctor.cgroup(machine()).status == MISSING


def test_little_memory_is_a_limit() -> None:
    """Swap in use is told as well."""
    kib = {"MemAvailable": 500 * 1024, "SwapTotal": 2048 * 1024, "SwapFree": 1024 * 1024}
    check = doctor.memory(machine({"/proc/meminfo": "".join(f"{name}: {size} kB\n" for name, size in kib.items())}))
    assert (check.status, check.value) == (LIMITED, "500 MiB available, swap used 1.0 GiB")
    assert doctor.memory(machine({"/proc/meminfo": "MemAvailable: 4194304 kB\n"})).status == OK
    assert doctor.memory(machine()).status == UNKNOWN


@pytest.mark.parametrize(
    ("limits", "status", "remedy"),
    [((1024, 1 << 20), LIMITED, "ulimit -n 65536"), ((1024, 1024), LIMITED, "raise nofile"), ((4096, 4096), OK, None)],
)
def test_descriptors_are_held_against_users(limits: tuple[int, int], status: str, remedy: str | None) -> None:
    """The remedy is one that works with the hard limit there is."""
    check = doctor.descriptors(machine(limits=lambda _: limits))
    assert (check.status, check.remedy) == (status, remedy)


@pytest.mark.parametrize(
    ("span", "waiting", "status"),
    [("32768 60999", 10, OK), ("32768 60999", 20_000, LIMITED), ("60000 60999", 0, LIMITED), (None, 0, UNKNOWN)],
)
def test_ports_are_few_or_taken(span: str | None, waiting: int, status: str) -> None:
    """A quarter in TIME_WAIT counts as taken."""
    files = {"/proc/net/sockstat": f"sockets: used 16\nTCP: inuse 1 orphan 0 tw {waiting} alloc 1 mem 78\n"}
    files |= {"/proc/sys/net/ipv4/ip_local_port_range": span} if span else {}
    assert doctor.ports(machine(files)).status == status


@pytest.mark.parametrize(("limit", "status"), [("4096\n", OK), ("128\n", LIMITED), ("?", UNKNOWN)])
def test_a_short_accept_queue_is_a_limit(limit: str, status: str) -> None:
    """Linux before 5.4 had 128."""
    assert doctor.backlog(machine({"/proc/sys/net/core/somaxconn": limit})).status == status


@pytest.mark.parametrize(("name", "status"), [("tsc", OK), ("hpet", LIMITED), ("", UNKNOWN)])
def test_a_dear_clock_source_has_a_better_one(name: str, status: str) -> None:
    """The remedy names one that is available."""
    files = {f"{CLOCKS}/current_clocksource": name, f"{CLOCKS}/available_clocksource": "hpet acpi_pm tsc"}
    check = doctor.clock_source(machine(files))
    assert check.status == status
    assert (check.remedy or "").startswith("echo tsc") == (status == LIMITED)


@pytest.mark.parametrize(
    ("affinity", "quota", "status", "text"),
    [
        ([0, 1, 2, 3], None, OK, "cores of their own"),
        ([0], None, LIMITED, "share one core"),
        ([0, 1, 2, 3], 1.5, LIMITED, "only 1.5 of 4 cores"),
        ([0, 1], 4.0, OK, "cores of their own"),
    ],
)
def test_cores_are_counted_by_affinity_and_quota(
    affinity: list[int], quota: float | None, status: str, text: str
) -> None:
    """What the machine has is not what may be used."""
    facts = {**FACTS, "affinity": affinity, "cgroup": {"cpu_limit_cores": quota}}
    check = doctor.cpus(machine(facts=lambda _: facts))
    assert check.status == status
    assert text in check.consequence


def test_small_things_have_their_own_words() -> None:
    """Governor, shared memory, tools and container."""
    path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    assert doctor.governor(machine({path: "powersave\n"})).status == LIMITED
    assert doctor.governor(machine({path: "performance\n"})).status == OK
    assert doctor.governor(machine()).status == OK
    assert doctor.rooms(machine()).status == LIMITED
    assert doctor.rooms(machine(writable=lambda _: True)).status == OK
    assert doctor.rooms(machine(writable=lambda _: True, free_bytes=lambda _: 1 << 20)).status == LIMITED
    assert doctor.tools(machine(which=lambda name: f"/bin/{name}")).status == OK
    assert "prometheus" in (doctor.tools(machine()).remedy or "")
    assert doctor.container(machine(facts=lambda _: {**FACTS, "container": True})).status == LIMITED
    assert "3.9, 3.10" in doctor.pythons(machine(which=lambda name: name)).value


def test_a_check_that_fails_takes_no_other_down() -> None:
    """It says so, and progress goes on."""

    def broken(_: Machine) -> Check:
        raise ZeroDivisionError("by zero")

    seen: list[str] = []
    found = run_checks([("a", broken), ("b", doctor.governor)], machine(), seen.append)
    assert [(check.name, check.status) for check in found] == [("a", UNKNOWN), ("CPU frequency", OK)]
    assert found[0].value == "ZeroDivisionError: by zero"
    assert seen == ["a", "b"]


def test_the_trials_measure_this_machine(tmp_path: Path) -> None:
    """Whatever they find, they find something, quickly."""
    here = Machine()
    checks = [clock(here), loopback(here), disk(here, tmp_path)]
    checks += [check(here) for _, check in Neighbours(sample_s=0.1).checks]
    names = ["clock", "loopback", "disk", "waits for a CPU", "noisy neighbours", "throttling now", "clock drift"]
    assert [check.name for check in checks] == names
    assert [check for check in checks[:3] if check.status not in {OK, LIMITED}] == []


def test_a_disk_that_cannot_be_written_is_not_tried(tmp_path: Path) -> None:
    """The remedy is another folder."""
    assert disk(machine(), tmp_path).remedy == "choose --out DIR"


def test_a_process_without_the_probe_is_told_how_to_get_it(tmp_path: Path) -> None:
    """This very process was started without it."""
    check = probe(machine(), wanted=os.getpid())
    assert check.status == MISSING
    assert "probe-env" in (check.remedy or "")


def test_py_spy_is_run_for_real() -> None:
    """It reads a child, or its refusal is passed on."""
    check = py_spy(Machine())
    assert check.status in {OK, MISSING}
    assert (check.value == "read the stack of a child") == (check.status == OK)


def test_a_process_that_is_not_there_is_a_usage_error() -> None:
    """Said before anything is looked at."""
    with pytest.raises(UsageError, match="there is no such process"):
        examine(2**22 + 1, lambda _: None)


FINDINGS = [
    Check("one", OK, "[red]2 cores", "fine"),
    Check("two", LIMITED, "no", "less is seen", "sudo do-it"),
]


def test_piped_output_is_one_plain_line_per_check() -> None:
    """Brackets are no markup, and nothing is cut."""
    out = io.StringIO()
    render([*FINDINGS, replace(FINDINGS[0], value="x" * 200)], Console(file=out, width=40))
    assert out.getvalue().splitlines() == [
        "ok       one: [red]2 cores - fine",
        "limited  two: no - less is seen; to change it: sudo do-it",
        f"ok       one: {'x' * 200} - fine",
    ]


def test_a_terminal_gets_a_table() -> None:
    """Every name, value and remedy is in it."""
    out = io.StringIO()
    render(FINDINGS, Console(file=out, width=120, force_terminal=True, color_system=None))
    assert all(text in out.getvalue() for text in ("what follows", "[red]2 cores", "sudo do-it"))


def test_json_says_whether_the_machine_is_usable() -> None:
    """With every finding as data."""
    value = as_json(FINDINGS)
    assert (value["schema"], value["usable"]) == ("pinchpoint.doctor/1", True)
    assert value["checks"][1] == {
        "name": "two",
        "status": "limited",
        "value": "no",
        "consequence": "less is seen",
        "remedy": "sudo do-it",
    }
