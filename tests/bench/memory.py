"""The resident memory of a daemon with one camera, and of each further camera."""

import tempfile
import time
from pathlib import Path

from edge_tdn.manifest import Model
from tests.bench.capture import camera_video
from tests.bench.row import Row
from tests.bench.serving import serving

GOAL_MB, GOAL_MORE_MB = 350.0, 60.0
CAMERAS = (1, 3)
WARM_S = 8.0  # time in which a daemon fills the cache
CAMERA = """
[[camera]]
name = "camera-{number}"
source = "{source}"
loop = true
hop = {hop}
"""


def memory(model: Model, precision: str, seconds: float = 20.0) -> list[Row]:
    """Measure the resident memory of whole processes after a number of seconds."""
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "camera.mp4", 10)
        resident = {count: _resident(model, precision, count, video, seconds) for count in CAMERAS}
    one, more = resident[CAMERAS[0]], resident[CAMERAS[-1]]
    each = (more[-1] - one[-1]) / (CAMERAS[-1] - CAMERAS[0])
    samples = {f"{count} cameras, MB each second": values for count, values in resident.items()}
    return [
        Row(
            what=f"memory of a process with one camera, {precision}",
            against="",
            figure=one[-1],
            unit="MB",
            goal=GOAL_MB,
            samples=samples,
            note="resident; compiled models from the cache",
        ),
        Row(
            what=f"memory of each further camera, {precision}",
            against="",
            figure=each,
            unit="MB",
            goal=GOAL_MORE_MB,
            samples=samples,
            note=f"of {CAMERAS[-1]} cameras",
        ),
    ]


def _resident(model: Model, precision: str, cameras: int, video: Path, seconds: float) -> list[float]:
    """Return the MB, once a second, of a daemon whose cache was filled before."""
    cache, config = video.parent / "cache", video.parent / f"{cameras}.toml"
    each = "".join(CAMERA.format(number=n, source=video, hop=cameras) for n in range(cameras))
    rest = f'cache = "{cache}"\n{each}'
    if not cache.exists():
        cache.mkdir(mode=0o700)
        with serving(model, precision, rest, config):
            time.sleep(WARM_S)
    values = []
    with serving(model, precision, rest, config) as process:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(1)
            values.append(process.memory_info().rss / 1e6)
    return values
