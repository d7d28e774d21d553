"""Moving pictures whose action is known by construction, for the demo's clip and for tests.

A scene is one textured object over a textured background. Positions are fractions of the picture's width and height
(0, 0 is the top left), sizes fractions of its height, times seconds. Everything comes from the generator passed in:
same seed, same picture.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture

MOTIONS = ("still", "left", "right", "up", "down", "approach", "recede", "wave")
_DIRECTION = {"left": math.pi, "right": 0.0, "up": -math.pi / 2, "down": math.pi / 2}  # radians, y grows downwards


@dataclass(frozen=True)
class Pose:
    """The position of the object."""

    x: float
    y: float
    size: float
    angle: float = 0.0  # radians


@dataclass(frozen=True)
class Motion:
    """The motion of the object, from a start pose on."""

    label: str
    speed: float = 0.3  # pictures per second: widths (left, right) or heights (up, down)
    tilt: float = 0.0  # radians off the pure direction
    growth: float = 0.5  # change of the natural logarithm of the size, a second (approach, recede)
    swing: float = 0.12  # amplitude in picture widths (wave)
    pitch: float = 0.0  # amplitude of the rotation, radians (wave)
    frequency: float = 1.3  # hertz (wave)

    def at(self, start: Pose, t: float) -> Pose:
        """Return the pose `t` seconds after `start`."""
        if self.label in _DIRECTION:
            direction = _DIRECTION[self.label] + self.tilt
            distance = self.speed * t
            x, y = start.x + distance * math.cos(direction), start.y + distance * math.sin(direction)
            return replace(start, x=x, y=y)
        if self.label in ("approach", "recede"):
            sign = 1 if self.label == "approach" else -1
            return replace(start, size=start.size * math.exp(sign * self.growth * t))
        if self.label == "wave":
            phase = math.sin(2 * math.pi * self.frequency * t)
            return replace(start, x=start.x + self.swing * phase, angle=start.angle + self.pitch * phase)
        return start

    @staticmethod
    def random(label: str, rng: np.random.Generator) -> "Motion":
        """Return a random motion of this kind, within what a camera may see."""
        pitch = rng.choice([0.0, rng.uniform(0.2, 0.8)])
        return Motion(
            label,
            speed=rng.uniform(0.12, 0.7),
            tilt=rng.uniform(-0.35, 0.35),
            growth=rng.uniform(0.25, 0.9),
            swing=rng.uniform(0.05, 0.2),
            pitch=pitch,
            frequency=rng.uniform(0.8, 2.4),
        )


class Scene:
    """A background and an object, drawn at any pose. Frames are uint8 RGB [height, width, 3]."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        self._rng = rng
        self._height, self._width = height, width
        self._background = _texture(rng, height, width, octaves=int(rng.integers(2, 6)))
        side = max(32, int(0.6 * height))
        self._object = _texture(rng, side, side, octaves=int(rng.integers(1, 5)))
        self._shape = _shape(rng, side)
        self._noise = rng.uniform(0.0, 6.0)  # grey levels, standard deviation
        self._flicker = rng.uniform(0.0, 0.02)  # relative brightness, standard deviation

    def draw(self, pose: Pose | None, shake: tuple[float, float] = (0.0, 0.0)) -> Picture:
        """Return the picture with the object at `pose` (None: without it); `shake` moves the camera, in pixels."""
        size = (self._width, self._height)
        camera = np.array([[1, 0, shake[0]], [0, 1, shake[1]]], np.float32)
        flags = cv2.INTER_LINEAR
        picture = cv2.warpAffine(self._background, camera, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        if pose is not None:
            side = self._object.shape[0]
            scale = pose.size * self._height / side
            c, s = scale * math.cos(pose.angle), scale * math.sin(pose.angle)
            x = pose.x * self._width + shake[0] - (c - s) * side / 2
            y = pose.y * self._height + shake[1] - (s + c) * side / 2
            place = np.array([[c, -s, x], [s, c, y]], np.float32)
            drawn = cv2.warpAffine(self._object, place, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
            alpha = cv2.warpAffine(self._shape, place, size, flags=flags)[..., None]
            picture = picture + alpha * (drawn - picture)
        gain = 1 + self._flicker * self._rng.standard_normal()
        noise = self._rng.standard_normal(picture.shape, np.float32) * np.float32(self._noise)
        image: Picture = np.clip(picture * np.float32(gain) + noise, 0, 255).astype(np.uint8)
        return image


def _texture(rng: np.random.Generator, height: int, width: int, octaves: int) -> NDArray[np.float32]:
    """Return coloured noise of several scales, float32 [height, width, 3], 0 to 255."""
    total = np.zeros((height, width, 3), np.float32)
    cells = int(rng.integers(2, 5))
    for octave in range(octaves):
        n = min(cells * 2**octave, height, width)
        coarse = rng.standard_normal((n, n, 3), np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(0.7**octave)
    colour = rng.uniform(40, 215, 3).astype(np.float32)
    contrast = np.float32(rng.uniform(15, 60))
    return np.clip(colour + contrast * total, 0, 255)


def _shape(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Return a star-shaped mask with soft edges that fills most of the square, float32 [side, side], 0 to 1."""
    corners = int(rng.integers(3, 10))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners > 4 else np.arange(corners) * 2 * np.pi / corners
    radii = rng.uniform(0.6, 1.0, corners) * side * 0.48
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + side / 2
    mask = np.zeros((side, side), np.float32)
    if rng.random() < 0.3:
        axes = (int(side * rng.uniform(0.25, 0.48)), int(side * rng.uniform(0.25, 0.48)))
        cv2.ellipse(mask, (side // 2, side // 2), axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    else:
        cv2.fillPoly(mask, [points.astype(np.int32)], 1.0)
    soft: NDArray[np.float32] = cv2.GaussianBlur(mask, (0, 0), max(0.5, side * 0.01)).astype(np.float32)
    return soft
