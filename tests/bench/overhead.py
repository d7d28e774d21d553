"""The time that the daemon adds to its two inferences: from a clip's last frame to its scores, minus inference.

The real chain plays a camera's H.264 in real time: source, window, scheduler, runtime.
"""

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import Model
from edge_tdn.messages import Scores
from edge_tdn.segments.window import Window
from tests.bench.capture import camera_video
from tests.bench.row import Row

GOAL = 0.08


class TimedRuntime:
    """A runtime that adds up its computing time; see `edge_tdn.inference.runtime.Runtime`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.device, self.precision, self.batch = runtime.device, runtime.precision, runtime.batch
        self.ring, self.close = runtime.ring, runtime.close
        self.ns = 0  # computing time since it was last reset

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        began = time.monotonic_ns()
        self._runtime.encode(segments, rings)
        self.ns += time.monotonic_ns() - began

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        began = time.monotonic_ns()
        logits = self._runtime.classify(rings)
        self.ns += time.monotonic_ns() - began
        return logits


def overhead(model: Model, precision: str, seconds: float = 16.0) -> Row:
    """Measure all hops in a number of seconds."""
    runtime = TimedRuntime(open_runtime(model, precision, "CPU"))
    inference_ms: list[float] = []
    added_ms: list[float] = []

    class Added:
        def scored(self, scores: Scores) -> None:
            inference_ms.append(runtime.ns / 1e6)
            added_ms.append(scores.latency_ms - runtime.ns / 1e6)
            runtime.ns = 0

        def broken(self, reason: object) -> None:
            runtime.ns = 0

    scheduler = Scheduler(_raise)
    sink = Added()
    lane = scheduler.add_lane(Engine(runtime, model.manifest.input), 1, sink)
    window = Window(model.manifest.input, max_gap_s=0.5)
    scheduler.start()
    with tempfile.TemporaryDirectory() as folder:
        camera = CameraConfig(name="bench", source=str(camera_video(Path(folder) / "camera.mp4", seconds)))
        for frame in Source(camera, Path(), lambda state, why: None).frames(threading.Event()):
            for segment in window.push(frame):
                scheduler.submit(lane, segment)
    scheduler.stop(drop=False)
    runtime.close()
    added, inference = added_ms[1:], inference_ms[1:]  # the first clip waited for its whole window
    return Row(
        what=f"the daemon's added cost per hop, {precision}",
        against="the two inferences",
        figure=median(added) / median(inference),
        unit="ratio",
        goal=GOAL,
        samples={"added, ms": added, "inferences, ms": inference},
        note=f"{median(added):.1f} ms beside {median(inference):.0f} ms; {len(added)} hops",
    )


def _raise(error: BaseException) -> None:
    raise error
