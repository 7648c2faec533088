"""The tables of what happened inside the server."""

from typing import Any

from pinchpoint.report.build import build_report
from pinchpoint.report.inside import inside, unseen
from pinchpoint.report.markdown import render_markdown
from support.sample_run import sample_diagnosis, sample_profiles, sample_run


def report() -> dict[str, Any]:
    """Return the report of the sample run."""
    return build_report(sample_run(), sample_diagnosis("/items/[id]"), sample_profiles())


def test_low_load_stands_beside_the_limit() -> None:
    """The pool: size, then busy and held at low load, then busy, waiting, wait, held at the limit."""
    shown = report()
    tables = {table.title: table for table in inside(shown)}

    (row,) = tables["Pools, slots and locks"].rows
    assert row[:2] == ("db-pool postgresql 127.0.0.1:5432/shop", "4")
    assert row[3] == row[7] == "41 ms"
    threads = tables["What threads were doing, from outside"]
    assert threads.rows == [("waiting on a socket", "75 %", "75 %"), ("running", "25 %", "25 %")]
    assert threads.note == "Sockets waited on: 127.0.0.1:5432 75 %."
    assert "### Pools, slots and locks" in render_markdown(shown)


def test_a_run_without_a_probe_shows_no_empty_tables() -> None:
    """Nothing measured, nothing drawn."""
    shown = report()
    for step in shown["steps"]:
        step["server"] |= {"gates": {}, "routes": [], "calls": [], "thread_states": {}, "socket_peers": {}}

    assert inside(shown) == []
    assert "### " not in render_markdown(shown)


def test_a_signal_that_switched_itself_off_is_told() -> None:
    """Missing figures have a reason."""
    shown = report()
    shown["steps"][-1]["server"]["hooks_off"] = ["database"]

    assert unseen(shown) == [
        "The probe's signal 'database' failed in the app and switched itself off; its figures are missing."
    ]
