"""`make chaos-cameras`: a daemon whose cameras fail. Prints one table, with a goal for each figure.

    make chaos-cameras                                        everything, half an hour
    make chaos-cameras CHAOS="--only cycles --cycles 10 --kinds killed refused"
    make chaos-cameras CHAOS="--only soak --soak-hours 24"    writes soak.csv and soak.png below --out

Cameras are `edge-tdn simulate`, the daemon is `edge-tdn run`, the broker mosquitto: processes of their own. A durable
subscriber records everything. Writes chaos-cameras.json below --out, with every sample. Exit status 1: a goal was
missed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.chaos.row import ChaosRow, ChaosRows, Skipped, table
from tests.chaos_cameras.beside import beside
from tests.chaos_cameras.clock import clock
from tests.chaos_cameras.cycles import KINDS, cycles
from tests.chaos_cameras.soak import soak
from tests.chaos_cameras.start import start
from tests.chaos_cameras.videos import videos

WIDTH = 200  # of a table that goes into a file
Step = Callable[[str], None]
PARTS: dict[str, Callable[[Path, argparse.Namespace, Step], ChaosRows]] = {
    "start": lambda folder, _, step: start(folder, step),
    "cycles": lambda folder, options, step: cycles(folder, options.cycles, options.kinds, options.seed, step),
    "clock": lambda folder, options, step: clock(folder, options.sways, step),
    "beside": lambda folder, options, step: beside(folder, options.rounds, options.seed, step),
    "videos": lambda folder, options, step: videos(folder, options.videos, options.seed, step),
    "soak": lambda folder, options, step: soak(folder, options.out, options.soak_hours, step),
}


def main() -> int:
    options = _options()
    rows: list[ChaosRow | Skipped] = []
    spinner = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*spinner, console=Console(stderr=True)) as bar, tempfile.TemporaryDirectory() as scratch:
        task = bar.add_task("")
        for name in options.only or PARTS:
            began = time.monotonic()
            step: Step = lambda what, name=name: bar.update(task, description=f"{name}: {what}")  # type: ignore[misc]  # noqa: E731
            step("")
            rows += PARTS[name](Path(scratch) / name, options, step)
            bar.console.print(f"{name}: {time.monotonic() - began:.0f} s")
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [{"skipped": isinstance(row, Skipped)} | asdict(row) for row in rows]
    host = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seed": options.seed, **host, "rows": kinds}
    (options.out / "chaos-cameras.json").write_text(json.dumps(report, indent=1) + "\n")
    return int(any(isinstance(row, ChaosRow) and not row.ok for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos-cameras", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--cycles", type=int, default=50, help="of each kind of fault (default: 50)")
    parser.add_argument(
        "--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=f"of {', '.join(KINDS)}"
    )
    parser.add_argument("--sways", type=int, default=12, help="jumps of +-2 s of the clock (default: 12)")
    parser.add_argument("--rounds", type=int, default=10, help="of `beside`, two or more (default: 10)")
    parser.add_argument("--videos", type=int, default=500, help="that are damaged (default: 500)")
    parser.add_argument("--soak-hours", type=float, default=1 / 6, metavar="H", help="(default: 10 minutes)")
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos-cameras"), help="(default: runs/chaos-cameras)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
