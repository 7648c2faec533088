"""What the machine is, read once at the start: the `host` section of `run.json`. Unknown facts are None."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from pinchpoint.monitoring.cgroup import CgroupReader
from pinchpoint.monitoring.host import memory_total_bytes
from pinchpoint.monitoring.procfs import DescriptorBudget, read_once


def host_facts(pid: int | None = None) -> dict[str, Any]:
    """Return the facts that bear on a measurement; `pid` is whose control group and affinity count (default: ours)."""
    pid = os.getpid() if pid is None else pid
    loadavg = (read_once("/proc/loadavg") or "").split()
    ptrace = (read_once("/proc/sys/kernel/yama/ptrace_scope") or "").strip()
    return {
        "cpus": os.cpu_count(),
        "affinity": _affinity(pid),
        "cpu_model": parse_cpu_model(read_once("/proc/cpuinfo") or ""),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "memory_total_bytes": memory_total_bytes(),
        "cgroup": _cgroup(pid),
        "psi": bool(read_once("/proc/pressure/cpu")),
        "schedstat": bool((read_once("/proc/self/schedstat") or "0 0 0").strip() != "0 0 0"),
        "ptrace_scope": int(ptrace) if ptrace.isdigit() else None,
        "somaxconn": _whole((read_once("/proc/sys/net/core/somaxconn") or "").strip()),
        "load_average": [float(word) for word in loadavg[:3]] or None,
        "container": Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
    }


def parse_cpu_model(cpuinfo: str) -> str | None:
    """Return the processor's name; ARM kernels give none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip() or None
    return None


def _affinity(pid: int) -> list[int] | None:
    try:
        return sorted(os.sched_getaffinity(pid))
    except OSError:
        return None


def _whole(word: str) -> int | None:
    return int(word) if word.isdigit() else None


def _cgroup(pid: int) -> dict[str, Any] | None:
    reader = CgroupReader(pid, DescriptorBudget())
    try:
        row = reader.read()
    finally:
        reader.close()
    if row is None:
        return None
    return {key: row[key] for key in ("version", "cpu_limit_cores", "memory_limit_bytes")}
