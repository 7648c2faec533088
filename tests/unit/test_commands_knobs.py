"""Which knob a sweep turns: one at a time, and only one that changes something."""

import re

import pytest

from pinchpoint.commands.checks import validated
from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.knobs import Knob, read_knobs
from pinchpoint.errors import UsageError

APP = RunConfig(target="shop.main:app")
NONE: dict[str, str | None] = dict.fromkeys(("workers", "threads", "worker-class", "pool-size", "vary"))


def knob(config: RunConfig = APP, pool_env: str | None = None, **texts: str) -> tuple[Knob, RunConfig]:
    """Read options as the command line would hand them over."""
    return read_knobs(config, {**NONE, **{name.replace("_", "-"): text for name, text in texts.items()}}, pool_env)


def test_two_worker_counts_are_compared_by_default() -> None:
    """Also when another knob is set to one value."""
    assert knob()[0] == Knob("workers", (1, 2))
    chosen, config = knob(threads="4")
    assert (chosen.values, config.threads) == ((1, 2), 4)


def test_the_option_with_several_values_is_the_knob_and_the_others_are_settings() -> None:
    """Two workers of 1, 4 or 16 threads."""
    chosen, config = knob(threads="1,4,16", workers="2", worker_class="gthread")

    assert (chosen.name, chosen.values) == ("threads", (1, 4, 16))
    assert (config.workers, config.worker_class) == (2, "gthread")
    assert chosen.turned(config, 16).threads == 16
    assert [chosen.called(value) for value in (1, 4)] == ["1 thread", "4 threads"]


def test_a_single_worker_count_may_be_repeated() -> None:
    """It tells how far runs of the same thing scatter."""
    assert knob(workers="3")[0].values == (3,)


def test_a_value_named_twice_is_run_once() -> None:
    """Repeats are for --repeats."""
    assert knob(workers="2,1,2")[0].values == (2, 1)


def test_a_pool_size_goes_into_the_apps_own_variable() -> None:
    """The reference app has one; others name theirs."""
    own, config = knob(RunConfig(), pool_size="5,10")
    assert own.turned(config, 10).env == {"PINCHPOINT_APP_POOL_SIZE": "10"}
    other, config = knob(pool_env="DB_POOL", pool_size="5,10")
    assert other.turned(config, 5).env == {"DB_POOL": "5"}
    assert other.called(5) == "pool-size 5"


def test_any_environment_variable_can_be_varied() -> None:
    """Numbers are numbers where all of them read back as written."""
    chosen, config = knob(RunConfig(target="a:b", env={"X": "1"}), vary="CACHE=off,on")
    assert (chosen.name, chosen.values, chosen.numeric) == ("CACHE", ("off", "on"), False)
    assert chosen.turned(config, "on").env == {"X": "1", "CACHE": "on"}
    assert knob(vary="TTL=1,2.5,10")[0].values == (1, 2.5, 10)
    assert knob(vary="CODE=007,1")[0].values == ("007", "1")


def test_a_command_gets_workers_and_threads_where_it_wants_them() -> None:
    """As words of the command or in its environment."""
    command = ("sh", "-c", "serve -w {workers} -t {threads}", "--port={port}")
    chosen, config = knob(RunConfig(command=command), threads="2,8", workers="3")

    assert validated(chosen.turned(config, 8)).command[2] == "serve -w 3 -t 8"


@pytest.mark.parametrize(
    ("config", "texts", "words"),
    [
        (APP, {"workers": "1,2", "threads": "1,2"}, "one knob at a time: --workers and --threads"),
        (APP, {"workers": "1,x"}, "--workers '1,x' is not a list of positive whole numbers"),
        (APP, {"threads": "0,1"}, "--threads '0,1' is not a list of positive whole numbers"),
        (APP, {"worker_class": "a,,b"}, "has an empty value"),
        (APP, {"workers": "2", "threads": "4"}, "let one option list several"),
        (APP, {"vary": "CACHE"}, "--vary 'CACHE' is not NAME=V1,V2"),
        (APP, {"vary": "A B=1,2"}, "is not NAME=V1,V2"),
        (APP, {"pool_size": "5,10"}, "--pool-size needs --pool-env NAME"),
        (RunConfig(target="a:b", env={"X": "1"}), {"vary": "X=1,2"}, "--env sets X as well"),
        (RunConfig(command=("sh", "serve.sh")), {}, "{workers}"),
        (RunConfig(command=("sh", "serve.sh", "{workers}")), {"threads": "1,2"}, "{threads}"),
        (RunConfig(command=("sh", "{workers}")), {"worker_class": "a,b"}, "--worker-class goes with MODULE:APP"),
        (RunConfig(), {"threads": "1,2"}, "--threads changes nothing about the reference app"),
        (RunConfig(url="http://127.0.0.1:8000", pid=4242), {}, "leave out --pid"),
    ],
)
def test_a_knob_that_would_change_nothing_is_refused(config: RunConfig, texts: dict[str, str], words: str) -> None:
    """Else every row of the table would measure the same; the message names the way out."""
    with pytest.raises(UsageError, match=re.escape(words)):
        knob(config, **texts)
