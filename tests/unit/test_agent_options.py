"""The options of `run --agent`: what fits together, what is written down, and what the diagnosis makes of it."""

from typing import Any

import pytest

from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.options import argv_shown
from pinchpoint.diagnosis.saturation import Machine
from pinchpoint.diagnosis.windows import Samples, machine_of, server_figures
from pinchpoint.errors import UsageError
from pinchpoint.rows import SampleRow
from support.agent_link import sample

AFAR = RunConfig(url="http://127.0.0.1:8000", agent="127.0.0.1:5558", get_paths=("/",))


def test_the_token_is_not_written_down() -> None:
    """In neither way of giving it."""
    words = ["run", "--token", "secret", "--agent", "10.0.0.2", "--token=secret"]
    assert argv_shown(words) == ("run", "--token", "***", "--agent", "10.0.0.2", "--token=***")
    assert "secret" not in repr(RunConfig(token="secret"))


def test_an_agents_server_is_not_ours_to_start_pin_or_profile() -> None:
    """Its cores are its own."""
    config = validated(AFAR)
    assert (config.runs_already, config.profile, config.server_cpus, config.load_cpus) == (True, False, None, None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (RunConfig(agent="10.0.0.2", get_paths=("/",)), "--agent 10.0.0.2 needs the server's address"),
        (RunConfig(agent="10.0.0.2", pid=4, url="http://127.0.0.1:8000"), "give the pid to the agent"),
        (RunConfig(agent="10.0.0.2", target="shop:app", url="http://127.0.0.1:8000"), "leave out MODULE:APP"),
        (RunConfig(agent="10.0.0.2", threads=2, url="http://127.0.0.1:8000"), "--threads changes nothing"),
        (RunConfig(agent="10.0.0.2", fault="gil", url="http://127.0.0.1:8000"), "--fault"),
        (RunConfig(agent="10.0.0.2", url="http://10.0.0.2:8000"), "--allow-host 10.0.0.2"),
    ],
)
def test_what_an_agent_cannot_do_is_refused(config: RunConfig, message: str) -> None:
    """Before anything is called."""
    with pytest.raises(UsageError, match=message):
        validated(config)


def row_at(t_s: float, busy_s: float, cpu_s: float, machine: str | None) -> SampleRow:
    """Return a row of a host with one process."""
    row = sample(t_s)
    row["host"]["cpu_busy_s"], row["processes"][0]["cpu_s"] = busy_s, cpu_s
    if machine is not None:
        row["machine"] = machine
    return row


@pytest.mark.parametrize(
    ("machine", "hosts", "foreign"),
    [(None, [None], 0.25), ("far", [None], 0.5), ("far", [None, "far"], 0.25), (None, [None, "far"], 0.25)],
)
def test_only_load_beside_the_server_is_told_from_its_neighbours(
    machine: str | None, hosts: list[str | None], foreign: float
) -> None:
    """One core busy, half of it the target's; each load process uses a quarter, on whatever host it is."""
    rows = [row_at(0.0, 0.0, 0.0, machine), row_at(2.0, 2.0, 1.0, machine)]
    digests: list[Any] = []
    for number, host in enumerate(hosts):
        digests.append({"process": number, "t0_s": 0.0, "t1_s": 2.0, "cpu_s": 0.5, "runq_s": 0.0})
        digests[-1].update({"host": host} if host is not None else {})
    assert server_figures(Samples(rows), digests, 0.0, 2.0).foreign_cpu_cores == pytest.approx(foreign)


def test_a_far_generator_takes_no_core_from_the_server() -> None:
    """Whatever the pins on the two machines say."""
    rows = [row_at(0.0, 0.0, 0.0, "far")]
    assert machine_of({"server_cpus": None, "load_cpus": None}, rows) == Machine(2.0, shared=False, apart=True, cpus=2)
