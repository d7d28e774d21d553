"""Short videos of one moving thing."""

from pathlib import Path

import numpy as np

from edge_tdn.demo.scene import Motion, Pose, Scene
from edge_tdn.media.video_writer import write_video

RATE = 15  # frames per second


def write_action(path: Path, label: str, frames: int, seed: int = 0, pose: Pose | None = None) -> Path:
    """Write a video of 120x90 pixels in which a thing moves as the shipped model's `label` from the start."""
    start = pose or Pose(0.8, 0.5, 0.4)
    scene, motion = Scene(np.random.default_rng(seed), 90, 120), Motion(label)
    write_video((scene.draw(motion.at(start, n / RATE)) for n in range(frames)), RATE, path)
    return path
