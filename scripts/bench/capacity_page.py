"""Fill the tables of docs/capacity.md from the last run of `scripts/bench.sh capacity`.

.venv/bin/python scripts/bench/capacity_page.py
"""

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path("docs/capacity.md")
FIGURES, RUNS = Path("runs/bench/capacity.json"), Path("runs/bench/capacity/runs.json")
BEGIN, END = "<!-- figures: written by scripts/bench/capacity_page.py -->", "<!-- end of figures -->"


def figures_table(stored: dict[str, Any]) -> list[str]:
    """Return the figures as a markdown table."""
    lines = ["| figure | value | 95 % interval | target | n | |", "|---|---:|---:|---:|---:|---|"]
    for one in stored["figures"]:
        between = f"{_value(one['ci'][0], one)} to {_value(one['ci'][1], one)}" if one["ci"] else ""
        sign = "≥" if one["better"] == "higher" else "≤"
        target = "" if one["target"] is None else f"{sign} {_value(one['target'], one)}"
        met = "" if one["target"] is None else "met" if one["ok"] else "**missed**"
        lines.append(f"| {one['name']} | {_value(one['value'], one)} | {between} | {target} | {one['n']} | {met} |")
    return lines


def _value(value: float, one: dict[str, Any]) -> str:
    return f"{value:.2%}" if not one["unit"] else f"{value:.1f} {one['unit']}"


def runs_table(runs: list[dict[str, Any]]) -> list[str]:
    """Return every single run, side by side with its ceiling."""
    lines = [
        "| app | run | ceiling | sustainable | off | saturation | off | took | stolen | exit |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in sorted(runs, key=lambda one: (one["side"], one["repeat"])):
        cells = [_rate(one, "sustainable_rps"), _rate(one, "saturation_rps")]
        rest = f"{one['wall_s']:.0f} s | {one['stolen_s']} s | {one['exit_code']}"
        name = f"{one['side']} | {one['repeat'] + 1} | {one['ceiling_rps']:.1f}/s"
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {rest} |")
    return lines


def _rate(one: dict[str, Any], name: str) -> str:
    value = one[name]
    return "n/a | n/a" if value is None else f"{value:.1f}/s | {value / one['ceiling_rps'] - 1:+.1%}"


def main() -> int:
    """Replace what stands between the marks; 1 when there is no run to take it from."""
    try:
        stored, runs = (json.loads(path.read_text(encoding="utf-8")) for path in (FIGURES, RUNS))
    except OSError as error:
        sys.stderr.write(f"{error.filename} is not there: run scripts/bench.sh capacity first\n")
        return 1
    machine = stored["machine"]
    where = (
        f"{machine.get('cpus', '?')} CPUs, {machine.get('cpu_model') or 'unnamed'}, Linux {machine.get('kernel', '?')}"
    )
    head = f"`{stored['command']}`, {stored['started_at']}, {where}."
    body = [head, "", *figures_table(stored), "", "Every run:", "", *runs_table(runs)]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([before + BEGIN, "", *body, "", END + after.rstrip("\n"), ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
