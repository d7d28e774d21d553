"""A camera that looks at a hall: an action to teach, everything else, and a day with both."""

from collections.abc import Callable
from math import pi, sin
from pathlib import Path

import numpy as np

from edge_tdn.demo.scene import Pose, Scene
from edge_tdn.media.video_writer import write_video
from tests.support.rtsp import RtspCamera

RATE = 15
FILM_S = 8


def door(t: float) -> Pose:
    """Swing to the right and back, once a second: the action."""
    return Pose(0.5 + 0.15 * sin(2 * pi * t), 0.5, 0.4)


def usual(t: float) -> Pose:
    """Rise and sink for two seconds, and rest for two: everything else."""
    return Pose(0.5, 0.5 - 0.15 * sin(pi * t) * (t % 4 < 2), 0.4)


def day(t: float) -> Pose:
    """Four seconds of each."""
    return usual(t) if t % 8 < 4 else door(t)


class FilmedHall:
    """A camera whose film can be exchanged; it begins with `usual`."""

    def __init__(self, folder: Path, camera: Callable[..., RtspCamera]) -> None:
        self._film = folder / "hall.mp4"
        self._draw(usual)
        self.camera = camera("", str(self._film))

    def show(self, pose: Callable[[float], Pose]) -> None:
        """Restart the camera with another film, at the same address."""
        self.camera.kill()
        self._draw(pose)
        self.camera.start()

    def _draw(self, pose: Callable[[float], Pose]) -> None:
        scene = Scene(np.random.default_rng(8), 90, 120)
        write_video((scene.draw(pose(n / RATE)) for n in range(FILM_S * RATE)), RATE, self._film)
