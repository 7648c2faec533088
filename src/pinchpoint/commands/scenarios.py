"""`pinchpoint scenarios`: the bundled Locust files, what each presses, and what it is judged by."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pinchpoint import units
from pinchpoint.commands.printing import AS_JSON, Result, show_json
from pinchpoint.errors import UsageError
from pinchpoint.packs import Pack, Part, Preset, Target
from pinchpoint.records import to_jsonable
from pinchpoint.report.packs import value
from pinchpoint.stress.scenarios import SCENARIOS, Scenario

INDENT = (0, 0, 0, 2)


def scenarios(
    *,
    show: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of them, with its targets and its file.")
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="NAME", help="Print the path of its Locust file, and nothing else.")
    ] = None,
    as_json: AS_JSON = False,
) -> None:
    """List the bundled load scenarios, what each presses, and what it is judged by.

    - `pinchpoint run --scenario inventory` presses the reference app with one of them

    - `pinchpoint run --scenario inventory --preset heavy` in a size that it knows

    - `locust -f "$(pinchpoint scenarios --path inventory)" --host http://127.0.0.1:8000` is Locust alone
    """
    if path is not None:
        typer.echo(str(find(path).path))
        return
    chosen = list(SCENARIOS.values()) if show is None else [find(show)]
    if as_json:
        show_json(described(chosen))
    else:
        render(chosen, Result(), whole=show is not None)


def find(name: str) -> Scenario:
    """Return a bundled scenario.

    Raises:
        UsageError: there is none of that name.

    """
    if name not in SCENARIOS:
        raise UsageError(f"there is no scenario '{name}'; choose one of: {', '.join(sorted(SCENARIOS))}")
    return SCENARIOS[name]


def described(chosen: list[Scenario]) -> list[dict[str, Any]]:
    """Return what `--json` prints; `path` is the Locust file, `pack` null where nothing comes with it."""
    return [
        {
            "name": one.name,
            "path": str(one.path),
            "description": one.description,
            "presses": one.presses,
            "pack": to_jsonable(one.pack),
        }
        for one in chosen
    ]


def render(chosen: list[Scenario], console: Console, *, whole: bool = False) -> None:
    """Print scenarios; with `whole` also what each part presses, the targets, and where the file is."""
    for one in chosen:
        console.print()
        console.print(Text(one.name, "bold"), highlight=False)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for title, text in lines(one, whole=whole):
            grid.add_row(Text(title), Text(text))
        console.print(Padding(grid, INDENT), highlight=False)
    console.print()


def lines(scenario: Scenario, *, whole: bool) -> list[tuple[str, str]]:
    """Return what there is to say as (title, text); an empty title goes on with the one above."""
    said = [("Does", scenario.description), ("Presses", scenario.presses)]
    said += _pack(scenario.pack, whole=whole) if scenario.pack is not None else []
    return [*said, ("File", str(scenario.path))] if whole else said


def _pack(pack: Pack, *, whole: bool) -> list[tuple[str, str]]:
    parts = _titled("Parts", [_part(part, whole=whole) for part in pack.parts])
    presets = _titled("Presets", [_preset(preset) for preset in pack.presets])
    targets = _titled("Targets", [_target(target) for target in pack.targets]) if whole else []
    return [*parts, ("Load", _load(pack)), *presets, *targets]


def _titled(title: str, texts: list[str]) -> list[tuple[str, str]]:
    return [(title if number == 0 else "", text) for number, text in enumerate(texts)]


def _part(part: Part, *, whole: bool) -> str:
    text = f"{part.name} ({part.weight}): {part.presses}"
    limits = [f"p95 at most {units.ms(part.p95_ms)}"] if part.p95_ms is not None else []
    limits += [f"errors at most {units.percent(part.max_error_rate)}"] if part.max_error_rate is not None else []
    return f"{text}; {', '.join(limits)}" if whole and limits else text


def _load(pack: Pack) -> str:
    if pack.model == "rate":
        return "arrivals per second, up to the limit"
    if not pack.staged:
        return "users, more and more of them, up to the limit"
    peak = max(users for _, users in pack.staged)
    return f"stages of up to {units.count(peak)} users, as long as the budget allows"


def _preset(preset: Preset) -> str:
    text = f"{preset.name}: {units.count(preset.users)} users, {units.number(preset.spawn_rate)} more each second, "
    text += f"for {units.seconds(preset.seconds)}"
    return text if preset.at_least_rps is None else f"{text}; at least {units.rps(preset.at_least_rps)}"


def _target(target: Target) -> str:
    text = f"{target.name} {target.op} {value(target.target, target.metric)}"
    if target.acceptable is None:
        return text
    return f"{text}, acceptable {target.op} {value(target.acceptable, target.metric)}"
