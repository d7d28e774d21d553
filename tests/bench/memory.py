"""What a daemon holds in memory: with one camera, and what each further one adds."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from edge_tdn.manifest import Model
from tests.bench.capture import camera_video
from tests.bench.row import Row

GOAL_MB, GOAL_MORE_MB = 350.0, 60.0
CAMERAS = (1, 3)
WARM_S = 8.0  # in which a daemon has certainly filled the cache
CONFIG = """
[broker]
url = "mqtt://127.0.0.1:9"

[runtime]
model = "{model}"
device = "CPU"
precision = "{precision}"
cache = "{cache}"
"""
CAMERA = """
[[camera]]
name = "camera-{number}"
source = "{source}"
loop = true
hop = {hop}
"""


def memory(model: Model, precision: str, seconds: float = 20.0) -> list[Row]:
    """Resident memory of whole processes, after so many seconds. The daemon finds no broker, which it bears."""
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "camera.mp4", 10)
        resident = {count: _resident(model, precision, count, video, seconds) for count in CAMERAS}
    one, more = resident[CAMERAS[0]], resident[CAMERAS[-1]]
    each = (more[-1] - one[-1]) / (CAMERAS[-1] - CAMERAS[0])
    samples = {f"{count} cameras, MB each second": values for count, values in resident.items()}
    return [
        Row(f"memory of a process with one camera, {precision}", "", one[-1], "MB", GOAL_MB, samples,
            "resident; compiled models from the cache"),
        Row(f"memory of each further camera, {precision}", "", each, "MB", GOAL_MORE_MB, samples,
            f"of {CAMERAS[-1]} cameras"),
    ]  # fmt: skip


def _resident(model: Model, precision: str, cameras: int, video: Path, seconds: float) -> list[float]:
    """MB, once a second, of a daemon that has warmed its cache once before."""
    folder = video.parent
    config = folder / f"{cameras}.toml"
    config.write_text(
        CONFIG.format(model=model.folder.resolve(), precision=precision, cache=folder / "cache")
        + "".join(CAMERA.format(number=n, source=video, hop=cameras) for n in range(cameras))
    )
    command = [sys.executable, "-m", "edge_tdn", "run", "--config", config]
    if not (folder / "cache").exists():
        (folder / "cache").mkdir(mode=0o700)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
            time.sleep(WARM_S)
            run.terminate()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        process, values = psutil.Process(run.pid), []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(1)
            values.append(process.memory_info().rss / 1e6)
        run.terminate()
        run.wait(10)
    return values
