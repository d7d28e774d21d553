"""The processor time and the memory of further zones of one camera, with the shipped model."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from edge_tdn.inference.open_runtime import open_runtime
from edge_tdn.manifest import Model, open_model, shipped_models
from edge_tdn.messages import FRAMES_PER_SEGMENT
from tests.bench.capture import camera_video
from tests.bench.row import Row
from tests.bench.serving import serving

GOAL, GOAL_CAPTURE, GOAL_MB = 1.15, 2.0, 15.0
PRECISION = "fp32"
ZONES = 4
CORNERS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
WARM_S = 12.0  # until windows and heaps have their size
HOPS = 100
CAMERA = """
[outbox]
folder = "off"

[[camera]]
name = "camera"
source = "{source}"
loop = true
motion_gate = false
"""
ZONE = """
[[camera.zone]]
name = "zone-{number}"
region = [{left}, {top}, 0.5, 0.5]
"""


def zones(repetitions: int, seconds: float = 20.0) -> Iterator[Row]:
    """Measure one zone, four zones and inference alone, in turn."""
    model = open_model(shipped_models() / "motion")
    inference: list[float] = []
    processor: dict[int, list[float]] = {1: [], ZONES: []}
    resident: dict[int, list[float]] = {1: [], ZONES: []}
    with tempfile.TemporaryDirectory() as folder:
        video = camera_video(Path(folder) / "camera.mp4", 10)
        for _ in range(repetitions):
            inference.append(_inference(model))
            for count in processor:
                used, megabytes = _served(model, count, video, seconds)
                processor[count].append(used)
                resident[count].append(megabytes)
    samples = {
        "inference of a zone, cores": inference,
        **{f"{count} zones, cores": values for count, values in processor.items()},
        **{f"{count} zones, MB": values for count, values in resident.items()},
    }
    own, one, all_ = median(inference), median(processor[1]), median(processor[ZONES])
    yield Row(
        what=f"processor time of a further zone, motion, {PRECISION}",
        against="its inference",
        figure=(all_ - one) / (ZONES - 1) / own,
        unit="ratio",
        goal=GOAL,
        samples=samples,
        note=f"{100 * (all_ - one) / (ZONES - 1):.1f} % of a core beside {100 * own:.1f} %",
    )
    yield Row(
        what=f"{ZONES} zones without their inference",
        against="a camera with one zone",
        figure=100 * (all_ - ZONES * own - (one - own)),
        unit="% of one core",
        goal=GOAL_CAPTURE,
        samples=samples,
        note=f"{100 * (all_ - ZONES * own):.1f} % of a core beside {100 * (one - own):.1f} %",
    )
    yield Row(
        what="memory of each further zone",
        against="",
        figure=(median(resident[ZONES]) - median(resident[1])) / (ZONES - 1),
        unit="MB",
        goal=GOAL_MB,
        samples=samples,
        note=f"resident; {median(resident[1]):.0f} MB with one zone",
    )


def _inference(model: Model) -> float:
    """Return the cores that the inference of one zone takes: processor time of a hop, over the time between hops."""
    spec = model.manifest.input
    runtime = open_runtime(model, PRECISION, "CPU")
    ring = runtime.ring()
    shape = (FRAMES_PER_SEGMENT, spec.height, spec.width, 3)
    segment = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for _ in range(spec.segments):
        runtime.encode([segment], [ring])
    runtime.classify([ring])
    began = time.process_time()
    for _ in range(HOPS):
        runtime.encode([segment], [ring])
        runtime.classify([ring])
    used = time.process_time() - began
    runtime.close()
    return used / HOPS / spec.segment_s


def _served(model: Model, count: int, video: Path, seconds: float) -> tuple[float, float]:
    """Return the cores that a daemon with so many zones takes, and its MB."""
    each = "".join(ZONE.format(number=n, left=x, top=y) for n, (x, y) in enumerate(CORNERS[:count]))
    with serving(model, PRECISION, CAMERA.format(source=video) + each, video.parent / f"{count}.toml") as process:
        time.sleep(WARM_S)
        before, began = _used_s(process), time.monotonic()
        time.sleep(seconds)
        used, took_s = _used_s(process) - before, time.monotonic() - began
        return used / took_s, process.memory_info().rss / 1e6


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
