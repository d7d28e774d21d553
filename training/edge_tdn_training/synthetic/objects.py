"""What moves, or only stands there: people and animals, cars, hands, lamps, and shapes of any kind.

A thing draws itself into a square (a sprite) for any phase in radians: the gait of what walks, the turn of wheels, the
swing of an arm that waves, the time of a lamp that blinks. Where it stands in the picture is not its business.
Everything that it decides by chance it decides once, when it is made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.backgrounds import backdrop, palette
from edge_tdn_training.synthetic.people import Animal, Person
from edge_tdn_training.synthetic.sprites import Canvas, Sprite, ink, shade, shaded, shadow


class Thing(Protocol):
    @property
    def pivot(self) -> float:
        """How far below its middle it is held, in sides: what turns turns about that point."""

    @property
    def upright(self) -> bool:
        """It stands on the ground, and is not turned about."""

    def sprite(self, phase: float) -> Sprite: ...


class Car:
    """From the side, with wheels that turn; or from the front or behind."""

    pivot = 0.0
    upright = True

    def __init__(self, rng: np.random.Generator, side: int, facing: int) -> None:
        self._side, self._facing = side, facing
        body, trim, tyre = palette(rng, 3)
        self._body, self._trim = ink(body), ink(trim)
        self._tyre = ink(np.array(tyre[:3]) * 0.25)
        self._glass = ink(rng.uniform(20, 160, 3))
        self._tall, self._van = rng.uniform(0.22, 0.34), rng.random() < 0.35
        self._shadow = shadow(rng)
        self._lamp = ink((255, 250, 220) if rng.random() < 0.5 else (220, 30, 30))
        self._shade = shade(rng, side, rng.uniform(0.0, 0.12))

    def sprite(self, phase: float) -> Sprite:
        canvas = Canvas(self._side)
        canvas.oval((0.5, 0.76 if self._facing else 0.86), 0.9, 0.06, self._shadow)
        if self._facing:
            self._from_the_side(canvas, phase)
        else:
            self._from_the_front(canvas)
        return shaded(canvas, self._shade)

    def _from_the_side(self, canvas: Canvas, phase: float) -> None:
        f, top = self._facing, 0.62 - self._tall

        def x(share: float) -> float:  # 0 the rear, 1 the front
            return 0.5 + f * (share - 0.5) * 0.96

        canvas.area([(x(0), 0.5), (x(1), 0.5 + 0.02), (x(1), 0.68), (x(0), 0.68)], self._body)
        rear, front = (0.0, 0.85) if self._van else (0.12, 0.75)
        canvas.area([(x(rear), 0.51), (x(rear + 0.06), top), (x(front - 0.18), top), (x(front), 0.51)], self._body)
        canvas.area([(x(rear + 0.05), 0.5), (x(rear + 0.09), top + 0.03), (x(0.4), top + 0.03), (x(0.4), 0.5)],
                    self._glass)  # fmt: skip
        canvas.area([(x(0.44), 0.5), (x(0.44), top + 0.03), (x(front - 0.2), top + 0.03), (x(front - 0.04), 0.5)],
                    self._glass)  # fmt: skip
        canvas.limb([(x(0.02), 0.6), (x(0.98), 0.6)], 0.015, self._trim)
        canvas.oval((x(0.97), 0.56), 0.04, 0.04, self._lamp)
        for share in (0.2, 0.8):
            wheel = (x(share), 0.68)
            canvas.oval(wheel, 0.17, 0.17, self._tyre)
            canvas.oval(wheel, 0.09, 0.09, self._trim)
            for spoke in range(3):
                turn = f * phase + spoke * math.pi / 3
                way = (0.045 * math.cos(turn), 0.045 * math.sin(turn))
                canvas.limb([(wheel[0] - way[0], wheel[1] - way[1]), (wheel[0] + way[0], wheel[1] + way[1])], 0.015,
                            self._tyre)  # fmt: skip

    def _from_the_front(self, canvas: Canvas) -> None:
        top = 0.45 - 0.7 * self._tall
        for x in (0.18, 0.82):
            canvas.area([(x - 0.06, 0.7), (x + 0.06, 0.7), (x + 0.06, 0.86), (x - 0.06, 0.86)], self._tyre)
        canvas.area([(0.08, 0.5), (0.92, 0.5), (0.94, 0.78), (0.06, 0.78)], self._body)
        canvas.area([(0.12, 0.51), (0.22, top), (0.78, top), (0.88, 0.51)], self._body)
        canvas.area([(0.18, 0.48), (0.26, top + 0.04), (0.74, top + 0.04), (0.82, 0.48)], self._glass)
        canvas.area([(0.3, 0.68), (0.7, 0.68), (0.7, 0.74), (0.3, 0.74)], self._trim)
        for x in (0.16, 0.84):
            canvas.oval((x, 0.6), 0.12, 0.07, self._lamp)


class Rigid:
    """A picture with an outline: cut out of anything."""

    upright = False

    def __init__(self, picture: Picture, outline: NDArray[np.uint8], pivot: float = 0.0) -> None:
        """`outline`: uint8 [side, side], 255 inside."""
        self.pivot = pivot
        self._sprite: Sprite = np.dstack(
            [cv2.multiply(picture, cv2.merge([outline] * 3), scale=1 / 255), outline]
        ).astype(np.uint8)

    def sprite(self, phase: float) -> Sprite:
        return self._sprite


@dataclass(frozen=True, eq=False)
class Blinking:
    """Two looks that alternate: a lamp, an indicator, a clock whose digits change."""

    on: Sprite
    off: Sprite
    pivot: float = 0.0
    upright: bool = True

    def sprite(self, phase: float) -> Sprite:
        return self.on if math.sin(phase) >= 0 else self.off


def shape(rng: np.random.Generator, side: int, photos: Sequence[Picture]) -> Rigid:
    """A polygon, a box, a blob, a ball or a rod, with the surface of any backdrop."""
    canvas = Canvas(side)
    full, kind = ink((255, 255, 255)), rng.random()
    if kind < 0.25:
        canvas.oval((0.5, 0.5), 0.94, 0.94 * (rng.uniform(0.4, 1) if rng.random() < 0.6 else 1.0), full)
    elif kind < 0.5:
        w, h = rng.uniform(0.12, 0.47), 0.47
        w, h = (w, h) if rng.random() < 0.5 else (h, w)
        canvas.area([(0.5 - w, 0.5 - h), (0.5 + w, 0.5 - h), (0.5 + w, 0.5 + h), (0.5 - w, 0.5 + h)], full)
    elif kind < 0.75:
        corners = int(rng.integers(3, 10))
        turns = (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * 2 * np.pi / corners
        canvas.area([*zip(*_around(turns, rng.uniform(0.3, 0.48, corners)), strict=True)], full)
    else:
        turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
        waves = sum(rng.normal(0, 0.3 / k) * np.cos(k * turns + rng.uniform(0, 6.3)) for k in range(1, 7))
        radii = np.exp(np.asarray(waves))
        canvas.area([*zip(*_around(turns, 0.48 * radii / radii.max()), strict=True)], full)
    return Rigid(backdrop(rng, side, side, photos), canvas.pixels[..., 3].copy())


def _around(turns: NDArray[np.float64], radii: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    return (0.5 + radii * np.cos(turns)).tolist(), (0.5 + radii * np.sin(turns)).tolist()


def hand(rng: np.random.Generator, side: int) -> Rigid:
    """A palm, fingers, more or less spread, and an arm that comes from below."""
    canvas = Canvas(side)
    full = ink((255, 255, 255))
    canvas.oval((0.5, 0.5), 0.3, 0.34, full)
    canvas.limb([(0.5, 0.6), (0.5 + rng.normal(0, 0.05), 1.0)], rng.uniform(0.14, 0.24), full)
    spread = rng.uniform(0.05, 0.3)
    for finger in range(4):
        turn = (finger - 1.5) * spread
        length = rng.uniform(0.32, 0.42) if rng.random() < 0.9 else 0.2
        root = (0.5 + 0.33 * (finger - 1.5) * 0.25, 0.42)
        canvas.limb([root, (root[0] + length * math.sin(turn), root[1] - length * math.cos(turn))], 0.068, full)
    thumb = rng.choice([-1, 1])
    canvas.limb([(0.5 + thumb * 0.1, 0.55), (0.5 + thumb * rng.uniform(0.22, 0.32), 0.4)], 0.075, full)
    skin = np.array([232, 190, 160]) * rng.uniform(0.3, 1.05)
    look = (shade(rng, side, 0.15)[..., :3] * (skin / 255)).astype(np.uint8)
    sleeve = int(side * rng.uniform(0.75, 1.0))
    look[sleeve:] = np.array(palette(rng, 1)[0][:3], np.uint8)
    return Rigid(look, canvas.pixels[..., 3].copy(), pivot=0.5)


def car_from_above(rng: np.random.Generator, side: int) -> Rigid:
    """As a camera on a mast or under a ceiling sees it."""
    canvas, body = Canvas(side), palette(rng, 1)[0]
    w, h = rng.uniform(0.18, 0.24), 0.48
    glass, lamps = ink(rng.uniform(15, 110, 3)), ink((230, 225, 200) if rng.random() < 0.5 else (190, 30, 30))
    canvas.limb([(0.5, 0.5 - h + w), (0.5, 0.5 + h - w)], 2 * w, ink(body))
    canvas.area([(0.5 - w, 0.15), (0.5 + w, 0.15), (0.5 + w, 0.9), (0.5 - w, 0.9)], ink(body))
    for y, deep in ((0.3, 0.1), (0.78, 0.06)):
        near = 0.8 * w
        canvas.area([(0.5 - w, y), (0.5 + w, y), (0.5 + near, y + deep), (0.5 - near, y + deep)], glass)
    for x in (-0.7, 0.7):
        canvas.oval((0.5 + x * w, 0.07), 0.08, 0.05, lamps)
    pixels = shaded(canvas, shade(rng, side, rng.uniform(0.0, 0.12)))
    return Rigid(pixels[..., :3].copy(), pixels[..., 3].copy())


def lamp(rng: np.random.Generator, side: int) -> Blinking:
    """A light that goes on and off, or characters that change."""
    on, off = Canvas(side), Canvas(side)
    bright, dark = ink(rng.uniform(130, 255, 3)), ink(rng.uniform(0, 120, 3))
    if rng.random() < 0.5:
        on.oval((0.5, 0.5), 0.9, 0.9, bright)
        off.oval((0.5, 0.5), 0.9, 0.9, dark)
    else:
        for canvas in (on, off):
            canvas.area([(0, 0.25), (1, 0.25), (1, 0.75), (0, 0.75)], dark)
            digits = f"{rng.integers(100):02d}:{rng.integers(100):02d}"
            cv2.putText(canvas.pixels, digits, (2, int(side * 0.65)), cv2.FONT_HERSHEY_SIMPLEX, side / 90, bright, 2)
    return Blinking(on.pixels, off.pixels)


def thing(rng: np.random.Generator, side: int, facing: int, photos: Sequence[Picture]) -> Thing:
    """Anything that may move. `facing`: -1 left, 1 right, 0 to the camera; of what has a front."""
    makers: tuple[Callable[[], Thing], ...] = (
        lambda: Person(rng, side, facing),
        lambda: Animal(rng, side, facing or int(rng.choice([-1, 1]))),
        lambda: Car(rng, side, facing),
        lambda: car_from_above(rng, side),
        lambda: hand(rng, side),
        lambda: shape(rng, side, photos),
    )
    return makers[rng.choice(len(makers), p=(0.36, 0.06, 0.12, 0.05, 0.08, 0.33))]()
