"""Sprites: small pictures with an outline, drawn on a canvas and painted into a picture.

A sprite is premultiplied RGBA: a pixel that is half covered has half of its colour.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.textures import fractal
from edge_tdn_training.synthetic.thing_config import SurfaceConfig

Sprite = NDArray[np.uint8]  # [side, side, 4], premultiplied RGBA
Point = tuple[float, float]
Ink = tuple[float, float, float, float]  # premultiplied RGBA
SUBPIXEL_BITS = 4  # fractional bits of the coordinates that OpenCV draws at


def ink(colour: Sequence[float] | NDArray[np.float64], light: float = 1.0) -> Ink:
    """Return an opaque ink of this colour. `light`: factor of its brightness."""
    r, g, b = (min(255.0, max(0.0, v * light)) for v in colour[:3])
    return r, g, b, 255.0


class Canvas:
    """An empty square to draw on. Coordinates are fractions of its side, from the top left corner."""

    def __init__(self, side: int, scale: float = 1.0) -> None:
        """`side`: pixels. `scale`: draw everything smaller, in the middle of the lower edge."""
        self.side = side
        self.pixels: Sprite = np.zeros((side, side, 4), np.uint8)
        self._unit = side * scale
        self._corner = np.array((side * (1 - scale) / 2, side * (1 - scale)))

    def limb(self, points: Sequence[Point], thickness: float, colour: Ink) -> None:
        """Draw a bent line with round ends."""
        width = max(1, round(thickness * self._unit))
        cv2.polylines(self.pixels, [self._exact(points)], False, colour, width, cv2.LINE_AA, SUBPIXEL_BITS)

    def area(self, points: Sequence[Point], colour: Ink) -> None:
        """Fill a polygon."""
        cv2.fillPoly(self.pixels, [self._exact(points)], colour, cv2.LINE_AA, SUBPIXEL_BITS)

    def oval(self, middle: Point, width: float, height: float, colour: Ink) -> None:
        """Fill an ellipse."""
        x, y = np.array(middle) * self._unit + self._corner
        cv2.ellipse(self.pixels, ((x, y), (width * self._unit, height * self._unit), 0.0), colour, -1, cv2.LINE_AA)

    def _exact(self, points: Sequence[Point]) -> NDArray[np.int32]:
        pixels = np.array(points) * self._unit + self._corner
        exact: NDArray[np.int32] = np.round(pixels * 2**SUBPIXEL_BITS).astype(np.int32)
        return exact


def random_surface(rng: np.random.Generator, side: int, strength: float, config: SurfaceConfig) -> Sprite:
    """Return a surface to multiply a sprite with: its texture and light, uint8 [side, side, 4], opaque."""
    texture = fractal(rng, side, side, rng.uniform(*config.texture_slope)) * strength
    if rng.random() < config.pattern_share:
        wave = np.sin(np.arange(side) * rng.uniform(*config.pattern_rate))
        depth = rng.uniform(*config.pattern)
        texture = texture + depth * (wave[:, None] if rng.random() < config.across_share else wave)
    light = np.linspace(-1, 1, side) * rng.normal(0, config.light_std)
    surface = np.full((side, side, 4), 255, np.uint8)
    levels = 255 * np.exp(np.minimum(texture + light - config.darkening, 0))
    surface[..., :3] = np.clip(levels, 0, 255)[..., None]
    return surface


def shaded(canvas: Canvas, surface: Sprite) -> Sprite:
    """Return the drawing with that surface."""
    return cv2.multiply(canvas.pixels, surface, scale=1 / 255).astype(np.uint8)


def random_shadow(rng: np.random.Generator, config: SurfaceConfig) -> Ink:
    """Return the ink of a shadow on the ground: darker or lighter, or invisible."""
    return 0.0, 0.0, 0.0, float(rng.choice(config.shadows))


def paint(picture: Picture, sprite: Sprite, middle: Point, size: float, angle: float = 0.0, pivot: float = 0.0) -> None:
    """Paint a sprite into a picture, in place.

    `middle`, `size`: pixels. `angle`: radians. `pivot`: distance below the middle of the point about which it turns, in
    sizes.
    """
    height, width = picture.shape[:2]
    side = sprite.shape[0]
    scale = size / side
    c, s = math.cos(angle), math.sin(angle)
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
