"""The cost of one camera before inference: decoding, colours, resampling, resizing; `python -m tests.bench.capture`.

Each figure is measured in a process of its own that plays an H.264 file, as a camera would send it, in real time.
"""

import math
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.demo.scene import Scene
from edge_tdn.manifest import InputSpec
from edge_tdn.media import gstreamer
from edge_tdn.media.video_writer import write_video
from edge_tdn.messages import Picture
from edge_tdn.process.malloc import tune_for_daemon
from edge_tdn.segments.window import Window
from tests.bench.row import Row

HEIGHT, WIDTH, RATE = 480, 640, 30
SECONDS = 16.0  # length of a measurement
SEED = 4
NOISE = 1.0  # grey levels, standard deviation, before smoothing
SETTLED_S = 1.5  # until pipeline and heaps are in a steady state
CAMERA = "x264enc bitrate=1500 key-int-max=30 bframes=0 speed-preset=veryfast ! video/x-h264,profile=main ! h264parse"
SPECS = {
    "motion": InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15, segment_stride=4),
    "tdn": InputSpec(
        segments=8,
        height=224,
        width=224,
        resize="short_side_centre_crop",
        short_side=256,
        frame_rate=12,
        segment_stride=5,
    ),
}
DECODER = "decoder alone"


def capture(repetitions: int = 3, seconds: float = SECONDS) -> Row:
    """Return the cost for the more expensive of two models; the samples have all parts."""
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "camera.mp4", seconds + SETTLED_S + 1)
        samples: dict[str, list[float]] = {f"{part} (%)": [] for part in (DECODER, *SPECS)}
        for _ in range(repetitions):
            for part in (DECODER, *SPECS):
                samples[f"{part} (%)"].append(_measured(part, video, seconds))
    alone = median(samples[f"{DECODER} (%)"])
    return Row(
        what="capture, resampling, preprocessing, 640x480 at 30 fps",
        against="",
        figure=max(median(samples[f"{part} (%)"]) for part in SPECS),
        unit="% of one core",
        goal=6,
        samples=samples,
        note=f"a whole process without inference; {alone:.1f} % is GStreamer's decoder alone",
    )


def camera_video(path: Path, seconds: float, still: bool = False) -> Path:
    """Write a video of an object that moves or not, in H.264 main profile, 1.5 Mbit/s, with a key frame a second."""
    write_video(_pictures(round(seconds * RATE), still), RATE, path, [CAMERA])
    return path


def _pictures(count: int, still: bool) -> Iterator[Picture]:
    """Yield frames with the smoothed noise of a camera; decoding takes as long as for the project's real clips."""
    rng = np.random.default_rng(SEED)
    ground, thing = (cv2.GaussianBlur(Scene(rng, HEIGHT, WIDTH).draw(None), (0, 0), 2) for _ in range(2))
    noises = [cv2.GaussianBlur(rng.normal(0, NOISE, (HEIGHT, WIDTH, 1)), (0, 0), 1)[..., None] for _ in range(7)]
    for number in range(count):
        picture = ground.astype(float)
        left = round(WIDTH * (0.4 + 0.3 * math.sin(0 if still else 2 * math.pi * number / RATE / 3)))
        picture[120:420, left : left + 160] = thing[120:420, :160]
        yield np.clip(picture + noises[number % len(noises)], 0, 255).astype(np.uint8)


def _measured(part: str, video: Path, seconds: float) -> float:
    """Return the result of `_load` in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.capture", part, str(video), str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _load(part: str, video: Path, seconds: float) -> float:
    """Return the % of one core that this process uses while it plays the file."""
    tune_for_daemon()
    if part == DECODER:
        Gst, _ = gstreamer.load()
        pipeline = Gst.parse_launch(f"filesrc location={video} ! decodebin ! fakesink sync=true")
        pipeline.set_state(Gst.State.PLAYING)
        steps = iter(lambda: time.sleep(0.1), 0)
    else:
        window, camera = Window(SPECS[part], max_gap_s=0.5), CameraConfig(name="bench", source=str(video))
        frames = Source(camera, Path(), lambda state, reason: None).frames(threading.Event())
        steps = (window.push(frame) for frame in frames)
    began = time.monotonic()
    while time.monotonic() - began < SETTLED_S:
        next(steps)
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        next(steps)
    return 100 * (time.process_time() - used) / (time.monotonic() - began)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(_load(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))  # noqa: T201
    else:
        print(capture())  # noqa: T201
