"""The time from the start of a process until it can take a clip: imports, model, runtime, self-test."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from edge_tdn.manifest import Model
from tests.bench.row import Row

GOAL_S = {"cold": 4.0, "warm": 1.5}
READY = """
import sys, time
from pathlib import Path
import edge_tdn.service.daemon, edge_tdn.capture.gst_capture
from edge_tdn.manifest import open_model
from edge_tdn.inference.open_runtime import open_runtime
folder, precision, cache = sys.argv[1:]
runtime = open_runtime(open_model(Path(folder)), precision, "CPU", cache=Path(cache))
print(time.monotonic(), time.process_time())
"""


def start(model: Model, precision: str, repetitions: int = 5) -> list[Row]:
    """Measure new processes, in turn with an empty cache of compiled models and with a filled one."""
    seconds: dict[str, list[float]] = {f"{kind}, {unit}": [] for kind in GOAL_S for unit in ("s", "CPU s")}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as cache:
            for kind in GOAL_S:  # the cold start fills the cache
                wall, processor = _once(model.folder, precision, cache)
                seconds[f"{kind}, s"].append(wall)
                seconds[f"{kind}, CPU s"].append(processor)
    return [
        Row(
            what=f"{kind} start to first clip possible, {precision}",
            against="",
            figure=median(seconds[f"{kind}, s"]),
            unit="s",
            goal=goal,
            samples={name: values for name, values in seconds.items() if name.startswith(kind)},
            note="wall time of a whole process on this host, its files in the page cache; "
            f"{median(seconds[f'{kind}, CPU s']):.2f} CPU s of it",
        )
        for kind, goal in GOAL_S.items()
    ]


def _once(folder: Path, precision: str, cache: str) -> tuple[float, float]:
    """Return the seconds of wall time and of processor time."""
    began = time.monotonic()  # all processes share this clock
    command = [sys.executable, "-c", READY, str(folder), precision, cache]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    ready, processor = map(float, done.stdout.split())
    return ready - began, processor
