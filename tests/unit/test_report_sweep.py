"""A sweep's words, tables and page: what a reader is told, and that names from outside stay text."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from pinchpoint.commands.config import RunConfig
from pinchpoint.commands.cooldown import Rest
from pinchpoint.commands.knobs import Knob
from pinchpoint.commands.sweep_table import sweep_table, trial
from pinchpoint.errors import ExitCode
from pinchpoint.report.sweep import lines, render_sweep, sweep_markdown
from pinchpoint.report.sweep_page import sweep_html
from support.sweep_runs import failed, ran, report

HOSTILE = "</script><img src=x onerror=alert(1)>|y"
QUIET = Rest(1.25, 0.02, quiet=True)


def sweep(folder: Path, knob: Knob, rates: Mapping[Any, tuple[float | None, ...]], **config: Any) -> dict[str, Any]:
    """Return the table of a made-up sweep; None is a run that failed."""
    trials: list[dict[str, Any]] = []
    for value, some in rates.items():
        for repeat, rate in enumerate(some, start=1):
            out = folder / f"{knob.name}-{len(trials) + 1}"
            result = failed(out, ExitCode.TARGET_FAILED, f"no {HOSTILE}") if rate is None else ran(out, report(rate))
            trials.append(trial(value, repeat, len(trials) + 1, result, QUIET))
    repeats = max(len(some) for some in rates.values())
    return sweep_table(RunConfig(budget_s=30.0, **config), knob, repeats, trials, 2, "20261121-sweep")


def workers(folder: Path) -> dict[str, Any]:
    """Return a sweep that flattens out at three workers."""
    rates = {1: (80.0, 81.0, 79.0), 2: (160.0, 158.0, 161.0), 3: (236.0, 238.0, 235.0), 4: (238.0, 240.0, 236.0)}
    return sweep(folder, Knob("workers", (1, 2, 3, 4)), rates)


def printed(shown: dict[str, Any], width: int = 80) -> str:
    """Return what a terminal shows."""
    out = io.StringIO()
    render_sweep(shown, Console(file=out, width=width))
    return out.getvalue()


def test_the_value_the_gain_and_the_price_come_first(tmp_path: Path) -> None:
    """On the terminal and in markdown, with the rule of thumb beside what was measured."""
    shown = workers(tmp_path)

    assert printed(shown, 200).splitlines()[0].startswith("3 workers: +48 % [4")
    assert sweep_markdown(shown).startswith("# 3 workers: +48 % \\[4")
    assert lines(shown)[0].startswith("3 workers: 236/s [23")
    price = "at the price of 1.18 cores and 60 MiB of memory (PSS) (2 workers: 0.8 cores and 60 MiB of memory (PSS))."
    assert lines(shown)[0].endswith(price)
    assert lines(shown)[1] == "The rule of thumb, 2 * 2 cores + 1, says 5, which was not measured."
    assert lines(shown)[2].startswith("Each worker brings 79.9/s, up to a ceiling of 237/s.")
    assert lines(shown)[3].startswith("12 runs of 30 s, in random order. Open model: ")
    assert lines(shown)[4] == "Server and load shared all CPUs in every run; nothing was pinned."


def test_the_table_fits_80_columns(tmp_path: Path) -> None:
    """It is read on a terminal."""
    text = printed(workers(tmp_path))

    assert max(len(line) for line in text.splitlines()) <= 80
    assert "pool/tokens" in text
    assert re.search(r"3 +236/s +\[23\d, 246\]", text)


def test_runs_that_do_not_count_are_listed_with_their_reason(tmp_path: Path) -> None:
    """And the reader sees how many are left."""
    shown = sweep(tmp_path, Knob("workers", (1, 2)), {1: (80.0, None), 2: (160.0, 161.0)})

    assert "1 worker, repeat 2, does not count: no </script>" in printed(shown)
    assert "4 runs of 30 s, in random order, 3 of them valid." in " ".join(lines(shown))
    assert next(row for row in shown["rows"] if row["value"] == 1)["counted"] == 1


def test_nothing_is_recommended_where_nothing_was_valid(tmp_path: Path) -> None:
    """Abstaining is an answer."""
    shown = sweep(tmp_path, Knob("threads", (1, 2)), {1: (None,), 2: (None,)})

    assert sweep_markdown(shown).startswith("# No value of threads can be recommended: no run gave a valid")
    assert shown["scaling"]["model"] is None
    assert "Choose" not in sweep_html(shown)


def test_an_unfinished_sweep_says_how_far_it_came(tmp_path: Path) -> None:
    """Ctrl-C after two of three values."""
    shown = sweep(tmp_path, Knob("workers", (1, 2, 3)), {1: (80.0,), 2: (160.0,)})

    assert "2 of 3 runs of 30 s" in " ".join(lines(shown))
    assert [row["value"] for row in shown["rows"]] == [1, 2]


def test_the_page_carries_its_figures_and_asks_nobody(tmp_path: Path) -> None:
    """Plotly, the data and the law's curve inside the measured range are in the file."""
    page = sweep_html(workers(tmp_path))
    data = json.loads(page.split('<script type="application/json" id="data">')[1].split("</script>")[0])

    assert [row["value"] for row in data["rows"]] == [1, 2, 3, 4]
    assert (data["curve"][0][0], data["curve"][-1][0]) == (1.0, 4.0)
    assert data["ideal"][1] == [4.0, 4 * data["ideal"][0][1]]
    assert "default-src 'none'" in page
    assert [f'id="{name}"' in page for name in ("rate", "p95", "cpu", "pss", "busy", "verdict")] == [True] * 6


def test_hostile_names_land_inert(tmp_path: Path) -> None:
    """A value, a verdict, a reason and a command come from outside."""
    knob = Knob("worker-class", ("sync", HOSTILE))
    shown = sweep(tmp_path, knob, {"sync": (100.0, None), HOSTILE: (200.0, 201.0)}, command=(HOSTILE,))

    assert "<img" not in sweep_html(shown)
    assert "<img" not in sweep_markdown(shown)
    assert printed(shown).splitlines()[0].startswith("</script>")


def test_the_figures_say_whether_the_load_was_open_or_closed(tmp_path: Path) -> None:
    """The two are not comparable."""
    rates = {1: (80.0,), 2: (160.0,)}

    assert "Load: open: arrivals/s." in sweep_html(sweep(tmp_path, Knob("workers", (1, 2)), rates))
    assert "Load: closed: users." in sweep_html(sweep(tmp_path, Knob("workers", (1, 2)), rates, model="users"))


def test_figures_that_nobody_measured_are_left_out(tmp_path: Path) -> None:
    """No probe, no loop and no slots: no empty axes."""
    shown = workers(tmp_path)
    for row in shown["rows"]:
        for one in (row, *row["repeats"]):
            one["loop_busy"] = one["slots_busy"] = one["slots_size"] = None

    assert 'id="busy"' not in sweep_html(shown)
