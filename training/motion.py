"""Clips that teach the shipped `motion` model what moves, and where: generated, unlimited, seeded.

A clip is drawn as a camera would give it (its own picture size, frame rate and shake) and then goes through the same
resampling and resizing as the live path.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.preprocess import Preprocessor
from edge_tdn.scene import LABELS, Motion, Pose, Scene

PICTURES = ((120, 160), (108, 192), (128, 128), (144, 144))  # height, width
CAMERA_RATES = (15.0, 20.0, 24.0, 25.0, 30.0)  # frames a second


@dataclass(frozen=True)
class Lesson:
    frames: NDArray[np.uint8]  # [T, 5, H, W, 3], RGB
    label: int  # index into LABELS


def lesson(seed: int, spec: InputSpec) -> Lesson:
    """Clip number `seed`: the same one every time."""
    rng = np.random.default_rng(seed)
    label = int(rng.integers(len(LABELS)))
    height, width = PICTURES[rng.integers(len(PICTURES))]
    rate = CAMERA_RATES[rng.integers(len(CAMERA_RATES))]
    scene = Scene(rng, height, width)
    resize = Preprocessor(spec)
    ticks = (spec.segments - 1) * spec.segment_stride + FRAMES_PER_SEGMENT
    seconds = np.round(np.arange(ticks) / spec.frame_rate * rate) / rate  # the camera's frame nearest to each tick
    poses = _poses(LABELS[label], seconds, rng)
    shake = rng.uniform(0, 0.6) * rng.standard_normal((ticks, 2)) if rng.random() < 0.5 else np.zeros((ticks, 2))
    pictures = np.stack([resize(scene.draw(p, (float(s[0]), float(s[1])))) for p, s in zip(poses, shake, strict=True)])
    starts = np.arange(spec.segments) * spec.segment_stride
    return Lesson(pictures[starts[:, None] + np.arange(FRAMES_PER_SEGMENT)], label)


def _poses(label: str, seconds: NDArray[np.float64], rng: np.random.Generator) -> list[Pose | None]:
    """Where the thing is at each moment. In a third of the clips it moves only for part of the time."""
    if label == "still" and rng.random() < 0.25:
        return [None] * len(seconds)
    motion = Motion.random(label, rng)
    length = float(seconds[-1])
    begin, end = 0.0, length
    if rng.random() < 0.35:
        share = rng.uniform(0.55, 0.9) * length
        begin = rng.uniform(0, length - share)
        end = begin + share
    middle = Pose(rng.uniform(0.25, 0.75), rng.uniform(0.25, 0.75), rng.uniform(0.18, 0.55), rng.uniform(0, 6.28))
    half = motion.at(middle, (end - begin) / 2) if label != "wave" else middle
    start = Pose(2 * middle.x - half.x, 2 * middle.y - half.y, middle.size**2 / half.size, middle.angle)
    return [motion.at(start, float(np.clip(t - begin, 0, end - begin))) for t in seconds]
