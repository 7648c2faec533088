"""What the collector costs: `python -m pinchpoint.monitoring.cost PID SECONDS [PORT]` prints its share of a core.

The CPU is that of the sampler thread (`time.thread_time`), writing its rows included, from the second second on.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pinchpoint.monitoring.pages import PageReader
from pinchpoint.monitoring.sampler import Sampler
from pinchpoint.recording import LineWriter

if TYPE_CHECKING:
    from pinchpoint.rows import SampleRow


def measure(pid: int, seconds: float, *, port: int | None = None, pages: Path | None = None) -> dict[str, float]:
    """Sample a running target and return `cores` (share of one core), `ticks`, `processes` and `bytes_per_tick`.

    `pages` is the folder of the target's probe pages. Takes one second more than `seconds`.
    """
    rows: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.jsonl"
        writer = LineWriter(path)

        def sink(row: SampleRow) -> None:
            writer.write(row)
            rows.append((row["t_s"], row["collector_cpu_s"], len(row["processes"])))

        reader = PageReader(pages) if pages is not None else None
        sampler = Sampler(
            root_pid=pid,
            port=port,
            pages=reader.read if reader is not None else None,
            tables=reader.tables if reader is not None else None,
            sink=sink,
        )
        sampler.start()
        threading.Event().wait(seconds + 1.0)
        sampler.stop()
        writer.close()
        size = path.stat().st_size
    steady = [row for row in rows if row[0] >= rows[0][0] + 1.0]
    first, last = steady[0], steady[-1]
    return {
        "cores": (last[1] - first[1]) / (last[0] - first[0]),
        "ticks": float(len(rows)),
        "processes": float(last[2]),
        "bytes_per_tick": size / len(rows),
    }


if __name__ == "__main__":
    _pid, _seconds, *_port = sys.argv[1:]
    print(measure(int(_pid), float(_seconds), port=int(_port[0]) if _port else None))  # noqa: T201 - its result
