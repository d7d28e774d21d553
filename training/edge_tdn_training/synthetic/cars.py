"""Cars: from the side, from the front, and from above."""

import math

import numpy as np

from edge_tdn_training.synthetic.background_config import PaletteConfig
from edge_tdn_training.synthetic.sprites import Canvas, Sprite, ink, random_shadow, random_surface, shaded
from edge_tdn_training.synthetic.textures import palette
from edge_tdn_training.synthetic.thing_config import ThingConfig


class Car:
    """A car from the side, with wheels that turn; or from the front or behind."""

    pivot = 0.0
    upright = True

    def __init__(
        self, rng: np.random.Generator, side: int, facing: int, config: ThingConfig, colours: PaletteConfig
    ) -> None:
        """`facing`: -1 left, 1 right, 0 to the camera or away from it."""
        own = config.car
        self._side, self._facing = side, facing
        body, trim, tyre = palette(rng, 3, colours)
        self._body, self._trim = ink(body), ink(trim)
        self._tyre = ink(np.array(tyre[:3]) * own.tyre_darkness)
        self._glass = ink(rng.uniform(*own.glass, 3))
        self._cabin, self._van = rng.uniform(*own.cabin), rng.random() < own.van_share
        self._shadow = random_shadow(rng, config.surface)
        self._lamp = ink(own.headlight if rng.random() < own.headlight_share else own.tail_light)
        self._surface = random_surface(rng, side, rng.uniform(*own.texture), config.surface)

    def sprite(self, phase: float) -> Sprite:
        """Draw the car with its wheels turned by `phase` radians."""
        canvas = Canvas(self._side)
        canvas.oval((0.5, 0.76 if self._facing else 0.86), 0.9, 0.06, self._shadow)
        if self._facing:
            self._from_the_side(canvas, phase)
        else:
            self._from_the_front(canvas)
        return shaded(canvas, self._surface)

    def _from_the_side(self, canvas: Canvas, phase: float) -> None:
        f, top = self._facing, 0.62 - self._cabin

        def x(share: float) -> float:  # 0 the rear, 1 the front
            return 0.5 + f * (share - 0.5) * 0.96

        canvas.area([(x(0), 0.5), (x(1), 0.5 + 0.02), (x(1), 0.68), (x(0), 0.68)], self._body)
        rear, front = (0.0, 0.85) if self._van else (0.12, 0.75)
        canvas.area([(x(rear), 0.51), (x(rear + 0.06), top), (x(front - 0.18), top), (x(front), 0.51)], self._body)
        rear_window = [(x(rear + 0.05), 0.5), (x(rear + 0.09), top + 0.03), (x(0.4), top + 0.03), (x(0.4), 0.5)]
        canvas.area(rear_window, self._glass)
        front_window = [(x(0.44), 0.5), (x(0.44), top + 0.03), (x(front - 0.2), top + 0.03), (x(front - 0.04), 0.5)]
        canvas.area(front_window, self._glass)
        canvas.limb([(x(0.02), 0.6), (x(0.98), 0.6)], 0.015, self._trim)
        canvas.oval((x(0.97), 0.56), 0.04, 0.04, self._lamp)
        for share in (0.2, 0.8):
            self._wheel(canvas, x(share), f * phase)

    def _wheel(self, canvas: Canvas, x: float, phase: float) -> None:
        y = 0.68
        canvas.oval((x, y), 0.17, 0.17, self._tyre)
        canvas.oval((x, y), 0.09, 0.09, self._trim)
        for spoke in range(3):
            turn = phase + spoke * math.pi / 3
            way = (0.045 * math.cos(turn), 0.045 * math.sin(turn))
            canvas.limb([(x - way[0], y - way[1]), (x + way[0], y + way[1])], 0.015, self._tyre)

    def _from_the_front(self, canvas: Canvas) -> None:
        top = 0.45 - 0.7 * self._cabin
        for x in (0.18, 0.82):
            canvas.area([(x - 0.06, 0.7), (x + 0.06, 0.7), (x + 0.06, 0.86), (x - 0.06, 0.86)], self._tyre)
        canvas.area([(0.08, 0.5), (0.92, 0.5), (0.94, 0.78), (0.06, 0.78)], self._body)
        canvas.area([(0.12, 0.51), (0.22, top), (0.78, top), (0.88, 0.51)], self._body)
        canvas.area([(0.18, 0.48), (0.26, top + 0.04), (0.74, top + 0.04), (0.82, 0.48)], self._glass)
        canvas.area([(0.3, 0.68), (0.7, 0.68), (0.7, 0.74), (0.3, 0.74)], self._trim)
        for x in (0.16, 0.84):
            canvas.oval((x, 0.6), 0.12, 0.07, self._lamp)


def car_from_above(rng: np.random.Generator, side: int, config: ThingConfig, colours: PaletteConfig) -> Sprite:
    """Draw a car as a camera on a mast or under a ceiling sees it."""
    own = config.car
    canvas, body = Canvas(side), palette(rng, 1, colours)[0]
    w, h = rng.uniform(*own.top_width), own.top_height
    glass = ink(rng.uniform(*own.top_glass, 3))
    lamps = ink(own.top_headlight if rng.random() < own.headlight_share else own.top_tail_light)
    canvas.limb([(0.5, 0.5 - h + w), (0.5, 0.5 + h - w)], 2 * w, ink(body))
    canvas.area([(0.5 - w, 0.15), (0.5 + w, 0.15), (0.5 + w, 0.9), (0.5 - w, 0.9)], ink(body))
    for y, deep in ((0.3, 0.1), (0.78, 0.06)):
        near = 0.8 * w
        canvas.area([(0.5 - w, y), (0.5 + w, y), (0.5 + near, y + deep), (0.5 - near, y + deep)], glass)
    for x in (-0.7, 0.7):
        canvas.oval((0.5 + x * w, 0.07), 0.08, 0.05, lamps)
    return shaded(canvas, random_surface(rng, side, rng.uniform(*own.texture), config.surface))
