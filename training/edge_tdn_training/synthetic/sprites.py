"""Sprites: small pictures with an outline, how they are drawn, and how they are put into a picture.

A sprite is premultiplied RGBA: what is half covered has half of its colour already.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.backgrounds import fractal

Sprite = NDArray[np.uint8]  # [side, side, 4], premultiplied RGBA
Point = tuple[float, float]
Ink = tuple[float, float, float, float]  # premultiplied RGBA
SUBPIXELS = 4  # binary digits after the point, of coordinates that OpenCV draws at


def ink(colour: Sequence[float] | NDArray[np.float64], light: float = 1.0) -> Ink:
    """An opaque one."""
    r, g, b = (min(255.0, max(0.0, v * light)) for v in colour[:3])
    return r, g, b, 255.0


class Canvas:
    """An empty square to draw on, in fractions of its side. `shrunk`: all is smaller, and stands on the ground."""

    def __init__(self, side: int, shrunk: float = 1.0) -> None:
        self.side = side
        self.pixels: Sprite = np.zeros((side, side, 4), np.uint8)
        self._unit = side * shrunk
        self._corner = np.array((side * (1 - shrunk) / 2, side * (1 - shrunk)))

    def limb(self, points: Sequence[Point], thickness: float, colour: Ink) -> None:
        """A bent line with round ends."""
        width = max(1, round(thickness * self._unit))
        cv2.polylines(self.pixels, [self._exact(points)], False, colour, width, cv2.LINE_AA, SUBPIXELS)

    def area(self, points: Sequence[Point], colour: Ink) -> None:
        cv2.fillPoly(self.pixels, [self._exact(points)], colour, cv2.LINE_AA, SUBPIXELS)

    def oval(self, middle: Point, width: float, height: float, colour: Ink) -> None:
        x, y = np.array(middle) * self._unit + self._corner
        cv2.ellipse(self.pixels, ((x, y), (width * self._unit, height * self._unit), 0.0), colour, -1, cv2.LINE_AA)

    def _exact(self, points: Sequence[Point]) -> NDArray[np.int32]:
        pixels = np.array(points) * self._unit + self._corner
        exact: NDArray[np.int32] = np.round(pixels * 2**SUBPIXELS).astype(np.int32)
        return exact


def shade(rng: np.random.Generator, side: int, strength: float) -> Sprite:
    """What to multiply a sprite with: its surface's texture and light, none of it transparent."""
    texture = fractal(rng, side, side, rng.uniform(0.3, 1.3)) * strength
    if rng.random() < 0.3:  # a striped or chequered cloth
        across = np.sin(np.arange(side) * rng.uniform(0.2, 0.9))
        texture = texture + rng.uniform(0.05, 0.2) * (across[:, None] if rng.random() < 0.5 else across)
    light = np.linspace(-1, 1, side) * rng.normal(0, 0.12)
    surface = np.full((side, side, 4), 255, np.uint8)
    surface[..., :3] = np.clip(255 * np.exp(np.minimum(texture + light - 0.1, 0)), 0, 255)[..., None]
    return surface


def shaded(canvas: Canvas, surface: Sprite) -> Sprite:
    """What was drawn, with that surface."""
    return cv2.multiply(canvas.pixels, surface, scale=1 / 255).astype(np.uint8)


def shadow(rng: np.random.Generator) -> Ink:
    """What something upright does to the ground: more or less, or nothing."""
    return 0.0, 0.0, 0.0, float(rng.choice([0, 60, 120]))


def paint(picture: Picture, sprite: Sprite, middle: Point, size: float, angle: float = 0.0, pivot: float = 0.0) -> None:
    """Puts a sprite into a picture, in place. `middle`, `size`: pixels; `angle`: radians; `pivot`: as the thing's."""
    height, width = picture.shape[:2]
    side = sprite.shape[0]
    scale = size / side
    c, s = math.cos(angle), math.sin(angle)
    # what is held below its middle turns about that point
    x = middle[0] + size * pivot * s
    y = middle[1] + size * pivot * (1 - c)
    reach = size * 0.5 * (abs(c) + abs(s)) + 1
    left, top = max(0, int(x - reach)), max(0, int(y - reach))
    right, bottom = min(width, int(x + reach) + 2), min(height, int(y + reach) + 2)
    if right <= left or bottom <= top:
        return
    c, s = c * scale, s * scale
    place = np.array([[c, -s, x - left - (c - s) * side / 2], [s, c, y - top - (s + c) * side / 2]])
    layer = cv2.warpAffine(sprite, place, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
    behind = cv2.bitwise_not(cv2.extractChannel(layer, 3))
    region = picture[top:bottom, left:right]
    cv2.add(
        cv2.multiply(region, cv2.cvtColor(behind, cv2.COLOR_GRAY2RGB), scale=1 / 255),
        cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB),
        dst=region,
    )
