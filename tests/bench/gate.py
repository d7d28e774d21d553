"""The cost of a still scene: a daemon with one camera, in turn with and without the motion gate, several times."""

import tempfile
import time
from pathlib import Path
from statistics import median

from edge_tdn.manifest import Model
from tests.bench.capture import camera_video
from tests.bench.row import Row
from tests.bench.serving import serving

GOAL = 8.0
SETTLED_S = 18.0  # until the noise is known, a whole clip is still and everything is compiled
SECONDS = 15.0
CAMERA = """
[[camera]]
name = "still"
source = "{source}"
motion_gate = {gate}
"""


def gate(model: Model, precision: str, repetitions: int = 3) -> Row:
    """Measure the processor time of the process as a share of wall time."""
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "still.mp4", SETTLED_S + SECONDS + 5, still=True)
        pairs = [[_share(model, precision, video, state) for state in ("true", "false")] for _ in range(repetitions)]
    on, off = zip(*pairs, strict=True)
    return Row(
        what="still scene with motion gate, 640x480 at 30 fps",
        against="",
        figure=median(on),
        unit="% of one core",
        goal=GOAL,
        samples={"with gate, %": on, "without, %": off},
        note=f"the whole daemon, {precision}; {median(off):.0f} % without the gate",
    )


def _share(model: Model, precision: str, video: Path, gate: str) -> float:
    camera = CAMERA.format(source=video, gate=gate)
    with serving(model, precision, camera, video.with_suffix(".toml")) as process:
        time.sleep(SETTLED_S)
        began, used = time.monotonic(), process.cpu_times()
        time.sleep(SECONDS)
        took, now = time.monotonic() - began, process.cpu_times()
    return 100 * (now.user + now.system - used.user - used.system) / took
