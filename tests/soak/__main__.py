"""`make soak`: a daemon with the page, while viewers look and other clients come and go. Figures beside their goals.

    make soak                             24 hours
    make soak SOAK="--minutes 10"         the length of the slow test

The exit status is 1 if a goal was missed.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.chaos.row import table
from tests.soak.soak import soak

FILE_WIDTH = 200  # of a table that is written to a file


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="length (default: 1440, which is a day)")
    options = parser.parse_args()
    spinner = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*spinner, console=Console(stderr=True)) as bar, tempfile.TemporaryDirectory() as scratch:
        task = bar.add_task("")
        rows = soak(Path(scratch), 60 * options.minutes, lambda what: bar.update(task, description=what))
    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(table(rows))
    return int(not all(row.ok for row in rows))


if __name__ == "__main__":
    sys.exit(main())
