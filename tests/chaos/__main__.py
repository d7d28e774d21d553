"""`make chaos`: the delivery of events while process, broker, wire or disk fail. One table of figures and goals.

    make chaos                                        everything, a quarter of an hour
    make chaos CHAOS="--only conservation --faults 1000 --seed 7"
    make chaos CHAOS="--only storm disk"

Events are counted at a durable subscriber of a real mosquitto. Every sample is written to chaos.json below --out. The
exit status is 1 if a goal was missed.
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

from tests.chaos.away import away
from tests.chaos.conservation import conservation, forgetful
from tests.chaos.disk import disk
from tests.chaos.flips import flips
from tests.chaos.inference import inference
from tests.chaos.latency import latency
from tests.chaos.limits import limits
from tests.chaos.row import ChaosRow, ChaosRows, Skipped, table
from tests.chaos.storm import storm

FILE_WIDTH = 200  # of a table that is written to a file
Step = Callable[[str], None]
PARTS: dict[str, Callable[[Path, argparse.Namespace, Step], ChaosRows]] = {
    "conservation": lambda folder, options, step: conservation(
        folder, options.faults, options.events, options.seed, step
    ),
    "forgetful": lambda folder, _, step: forgetful(folder, step),
    "away": lambda folder, options, step: away(folder, options.events, step),
    "limits": lambda folder, options, step: limits(folder, options.limit_s, step),
    "disk": lambda folder, _, step: disk(folder, step),
    "flips": lambda folder, options, step: flips(folder, options.events // 10, options.seed, step),
    "latency": lambda folder, _, step: latency(folder, 1000, step),
    "storm": lambda folder, options, step: storm(folder, options.faults, step),
    "inference": lambda folder, options, step: inference(folder, options.rounds, step),
}


def main() -> int:
    options = _options()
    rows: list[ChaosRow | Skipped] = []
    spinner = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*spinner, console=Console(stderr=True)) as bar, tempfile.TemporaryDirectory() as scratch:
        task = bar.add_task("")
        for name in options.only or PARTS:
            start_s = time.monotonic()
            step: Step = lambda what, name=name: bar.update(task, description=f"{name}: {what}")  # type: ignore[misc]  # noqa: E731
            step("")
            rows += PARTS[name](Path(scratch) / name, options, step)
            bar.console.print(f"{name}: {time.monotonic() - start_s:.0f} s")
    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(table(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [{"skipped": isinstance(row, Skipped)} | asdict(row) for row in rows]
    host = {"cores": os.cpu_count(), "load": os.getloadavg()[0]}
    report = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "seed": options.seed, **host, "rows": kinds}
    (options.out / "chaos.json").write_text(json.dumps(report, indent=1) + "\n")
    return int(any(isinstance(row, ChaosRow) and not row.ok for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=f"run these parts: {', '.join(PARTS)}")
    parser.add_argument(
        "--faults", type=int, default=100, help="number of random faults, and of RSTs in a row (default: 100)"
    )
    parser.add_argument(
        "--events", type=int, default=20_000, help="minimum number of events of each part (default: 20000)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, help="number of rounds of `inference`, two or more (default: 10)"
    )
    parser.add_argument(
        "--limit-s", type=float, default=60, help="seconds of events to each broker of `limits` (default: 60)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the random faults (default: 1)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/chaos"), help="folder of chaos.json (default: runs/chaos)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
