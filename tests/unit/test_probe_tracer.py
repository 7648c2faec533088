"""Who may trace a worker: pinchpoint, and only where Yama restricts tracing to ancestors."""

from pathlib import Path

import pytest

from pinchpoint.monitoring.probe.tracer import PR_SET_PTRACER, TRACER_VARIABLE, allow_tracer


@pytest.mark.parametrize(
    ("scope", "pid", "called"),
    [
        ("1\n", "4242", [(PR_SET_PTRACER, 4242)]),
        ("0\n", "4242", []),
        ("2\n", "4242", []),
        ("3\n", "4242", []),
        (None, "4242", []),
        ("1\n", "", []),
        ("1\n", "-1", []),
        ("1\n", "all", []),
    ],
)
def test_only_scope_1_needs_the_tracer_to_be_named(
    tmp_path: Path, scope: str | None, pid: str, called: list[tuple[int, int]]
) -> None:
    """Without Yama, without a pid, or with another scope nothing is called."""
    file = tmp_path / "ptrace_scope"
    if scope is not None:
        file.write_text(scope)
    calls: list[tuple[int, int]] = []

    def prctl(option: int, value: int) -> int:
        calls.append((option, value))
        return 0

    assert allow_tracer({TRACER_VARIABLE: pid}, str(file), prctl) is bool(called)
    assert calls == called


def test_a_refusal_of_the_kernel_is_no_error(tmp_path: Path) -> None:
    """Profiles are then missing, requests are not."""
    file = tmp_path / "ptrace_scope"
    file.write_text("1")

    def refuse(*_: int) -> int:
        raise OSError

    assert allow_tracer({TRACER_VARIABLE: "1"}, str(file), lambda *_: -1) is False
    assert allow_tracer({TRACER_VARIABLE: "1"}, str(file), refuse) is False
