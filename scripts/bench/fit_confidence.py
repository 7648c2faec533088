"""`scripts/bench.sh fit-confidence`: how often verdicts of a score were right -> the table in diagnosis/confidence.py.

Isotonic regression (pool adjacent violators; Ayer et al. 1955) over the runs of `runs/bench/zoo/rediagnosed.jsonl`, or
another file of such rows. Only families that rules may be tuned on count: the others check the result.
"""

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "src/pinchpoint/diagnosis/confidence.py"
DEFAULT = ROOT / "runs/bench/zoo/rediagnosed.jsonl"

PRIOR = 2.0
"""Runs that each block starts with, half of them right at its own score: few runs move a block only so far."""

FEWEST = 12
"""Runs in a block, below which it is joined to its neighbour."""

Knots = list[tuple[float, float]]


def pooled(scored: Iterable[tuple[float, bool]], fewest: int = FEWEST, prior: float = PRIOR) -> Knots:
    """Return (mean score, share right) of blocks whose shares rise with the score.

    Args:
        scored: score and whether the verdict was right, of each run.
        fewest: runs that a block holds at least.
        prior: weight of the score itself as a guess of the share.

    """
    blocks: list[list[float]] = []  # sum of scores, right, runs
    for score, alike in groupby(sorted(scored), key=lambda run: run[0]):
        truths = [right for _, right in alike]
        blocks.append([score * len(truths), float(sum(truths)), float(len(truths))])
        while len(blocks) > 1 and (blocks[-1][2] < fewest > blocks[-2][2] or _falls(blocks[-2], blocks[-1], prior)):
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    if len(blocks) > 1 and blocks[-1][2] < fewest:
        last = blocks.pop()
        blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [(block[0] / block[2], _share(block, prior)) for block in blocks]


def _share(block: Sequence[float], prior: float) -> float:
    score, right, runs = block
    return (right + prior * score / runs) / (runs + prior)


def _falls(before: Sequence[float], after: Sequence[float], prior: float) -> bool:
    return _share(before, prior) >= _share(after, prior)


def table(knots: Sequence[tuple[float, float]]) -> str:
    """Return the constant's text: rising, from 0 to 1."""
    inner = [(round(score, 3), round(share, 3)) for score, share in knots if 0.0 < score < 1.0]
    ends = [(0.0, 0.0), *inner, (1.0, max([share for _, share in inner], default=1.0))]
    body = "".join(f"    ({score:g}, {share:g}),\n" for score, share in ends)
    return f"CALIBRATION: tuple[tuple[float, float], ...] = (\n{body})  # fmt: skip\n"


def scored(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[float, bool]]:
    """Yield score and truth of the rows of tuned families that claim something by a rule."""
    for row in rows:
        verdict = row.get("verdict") or {}
        if row.get("half") != "tuned" or verdict.get("score") is None or verdict.get("class") == "undetermined":
            continue
        labels = {tuple(label) if not isinstance(label, dict) else (label["class"], label["cause"])
                  for label in row.get("labels", [])}  # fmt: skip
        yield verdict["score"], (verdict["class"], verdict["cause"]) in labels


def main(words: Sequence[str]) -> int:
    """Print the table; with --write put it into the source."""
    parser = argparse.ArgumentParser(prog="scripts/bench.sh fit-confidence", description=__doc__)
    parser.add_argument("rows", nargs="?", type=Path, default=DEFAULT, help="results, one JSON object a line")
    parser.add_argument("--write", action="store_true", help="replace the table in diagnosis/confidence.py")
    asked = parser.parse_args(words)
    rows = [json.loads(line) for line in asked.rows.read_text().splitlines() if line.strip()]
    found = list(scored(rows))
    if len(found) < FEWEST:
        print(f"{len(found)} verdicts with a score: too few to fit anything")  # noqa: T201 - the result
        return 1
    text = table(pooled(found))
    print(text, end="")  # noqa: T201 - the result
    if asked.write:
        source = TABLE.read_text()
        changed = re.sub(
            r"CALIBRATION: tuple\[tuple\[float, float\], \.\.\.\] = \(.*?\)\)?(?:  # fmt: skip)?\n(?=\"\"\")",
            lambda _match: text, source, count=1, flags=re.DOTALL,
        )  # fmt: skip
        TABLE.write_text(changed)
    return 0
