"""What a still scene costs: a whole daemon with one camera before which nothing moves, with and without motion gate."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from edge_tdn.manifest import Model
from tests.bench.capture import camera_video
from tests.bench.row import Row

GOAL = 8.0
SETTLED_S = 18.0  # noise learnt, a whole clip still, all compiled
SECONDS = 15.0
CONFIG = """
[broker]
url = "mqtt://127.0.0.1:9"

[runtime]
model = "{model}"
device = "CPU"
precision = "{precision}"

[[camera]]
name = "still"
source = "{source}"
motion_gate = {gate}
"""


def gate(model: Model, precision: str) -> Row:
    """Processor time of the process over wall time; the daemon finds no broker, which it bears."""
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "still.mp4", SETTLED_S + SECONDS + 5, still=True)
        shares = {state: _share(model, precision, video, state) for state in ("true", "false")}
    return Row(
        what="still scene with motion gate, 640x480 at 30 fps",
        against="",
        figure=shares["true"],
        unit="% of one core",
        goal=GOAL,
        samples={"with gate, %": [shares["true"]], "without, %": [shares["false"]]},
        note=f"the whole daemon, {precision}; {shares['false']:.0f} % without the gate",
    )


def _share(model: Model, precision: str, video: Path, gate: str) -> float:
    config = video.with_suffix(".toml")
    config.write_text(CONFIG.format(model=model.folder.resolve(), precision=precision, source=video, gate=gate))
    command = [sys.executable, "-m", "edge_tdn", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        process = psutil.Process(run.pid)
        time.sleep(SETTLED_S)
        began, used = time.monotonic(), process.cpu_times()
        time.sleep(SECONDS)
        took, now = time.monotonic() - began, process.cpu_times()
        run.terminate()
        run.wait(10)
    return 100 * (now.user + now.system - used.user - used.system) / took
