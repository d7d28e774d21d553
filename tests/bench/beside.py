"""Another tool's command line in turn with ours: wall time, processor time and peak memory of whole processes."""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import open_model
from tests.bench.row import Row

HOPS = 100


@dataclass(frozen=True)
class Usage:
    """The resources that one process used."""

    wall_s: float
    processor_s: float
    peak_mb: float


def beside(model: Path, precision: str, command: str, repetitions: int = 3) -> Row:
    """Measure our HOPS hops in turn with another command, whatever that does. SystemExit: a command failed."""
    ours = [sys.executable, "-m", "tests.bench.beside", str(model), precision]
    theirs = shlex.split(command)
    pairs = [(_used(ours), _used(theirs)) for _ in range(repetitions)]
    mine, other = ([pair[side] for pair in pairs] for side in (0, 1))
    return Row(
        what=f"{HOPS} hops, {precision}, a whole process",
        against=command,
        figure=median(a.wall_s / b.wall_s for a, b in pairs),
        unit="ratio",
        goal=1.0,
        samples={
            f"{side}, {unit}": [getattr(usage, name) for usage in usages]
            for side, usages in (("ours", mine), ("theirs", other))
            for unit, name in (("s", "wall_s"), ("CPU s", "processor_s"), ("peak MB", "peak_mb"))
        },
        note="; ".join(
            f"{side} {median(u.wall_s for u in usages):.1f} s, {median(u.processor_s for u in usages):.1f} CPU s, "
            f"{median(u.peak_mb for u in usages):.0f} MB"
            for side, usages in (("ours", mine), ("theirs", other))
        ),
    )


def _used(command: list[str]) -> Usage:
    """Run a command and return the resources that it used."""
    began = time.monotonic()
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise SystemExit(f"{shlex.join(command)}: {error.strerror}") from error
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{shlex.join(command)}: exit status {process.returncode}")
    return Usage(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def _job(model: Path, precision: str) -> None:
    """Open the model and compute HOPS hops."""
    opened = open_model(model)
    spec = opened.manifest.input
    runtime = open_runtime(opened, precision, "CPU")
    ring = runtime.ring()
    segment = np.random.default_rng(0).integers(0, 256, (spec.frames, spec.height, spec.width, 3), np.uint8)
    for number in range(HOPS + spec.segments - 1):
        runtime.encode([segment], [ring])
        if number >= spec.segments - 1:
            runtime.classify([ring])


if __name__ == "__main__":
    _job(Path(sys.argv[1]), sys.argv[2])
