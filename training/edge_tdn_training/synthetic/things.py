"""Things that move or stand: people and animals, cars, hands, lamps, and shapes of any kind.

A thing draws itself into a square (a sprite) for any phase in radians: of the gait of a person, the turn of wheels, the
swing of an arm that waves, the time of a lamp that blinks. All its random decisions are made when it is created. Its
place in the picture is given by a `Trajectory`, apart from it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from edge_tdn_training.synthetic.background_config import PaletteConfig
from edge_tdn_training.synthetic.backgrounds import backdrop
from edge_tdn_training.synthetic.cars import Car, car_from_above
from edge_tdn_training.synthetic.people import Animal, Person
from edge_tdn_training.synthetic.ranges import ANY_PHASE
from edge_tdn_training.synthetic.scene_config import SceneConfig
from edge_tdn_training.synthetic.sprites import Canvas, Sprite, ink, random_surface
from edge_tdn_training.synthetic.textures import palette
from edge_tdn_training.synthetic.thing_config import LampConfig, ThingConfig

WHITE = ink((255, 255, 255))


class Thing(Protocol):
    """A thing that can be drawn in any phase."""

    @property
    def pivot(self) -> float:
        """Return the distance below its middle of the point about which it turns, in sides of the sprite."""

    @property
    def upright(self) -> bool:
        """Return whether it stands on the ground and is never turned."""

    def sprite(self, phase: float) -> Sprite:
        """Draw it in a phase, in radians."""


class Rigid:
    """A picture with an outline that always looks the same."""

    upright = False

    def __init__(self, picture: Picture, outline: NDArray[np.uint8], pivot: float = 0.0) -> None:
        """`picture`: uint8 RGB [side, side, 3]. `outline`: uint8 [side, side], 255 inside."""
        self.pivot = pivot
        coloured = cv2.multiply(picture, cv2.merge([outline] * 3), scale=1 / 255)
        self._sprite: Sprite = np.dstack([coloured, outline]).astype(np.uint8)

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


def random_shape(rng: np.random.Generator, side: int, config: SceneConfig, photos: Sequence[Picture]) -> Rigid:
    """Return a polygon, a box, a blob, a ball or a rod, with the surface of a random background."""
    c = config.things.shape
    canvas, kind = Canvas(side), rng.random()
    if kind < c.oval_until:
        flatness = rng.uniform(*c.flatness) if rng.random() < c.flat_share else 1.0
        canvas.oval((0.5, 0.5), c.oval, c.oval * flatness, WHITE)
    elif kind < c.box_until:
        w, h = rng.uniform(*c.box_width), c.box_height
        w, h = (w, h) if rng.random() < c.upright_share else (h, w)
        canvas.area([(0.5 - w, 0.5 - h), (0.5 + w, 0.5 - h), (0.5 + w, 0.5 + h), (0.5 - w, 0.5 + h)], WHITE)
    elif kind < c.polygon_until:
        corners = int(rng.integers(*c.corners))
        turns = (np.arange(corners) + rng.uniform(*c.corner_shift, corners)) * 2 * np.pi / corners
        canvas.area([*zip(*_around(turns, rng.uniform(*c.radii, corners)), strict=True)], WHITE)
    else:
        turns = np.linspace(0, 2 * np.pi, c.blob_points, endpoint=False)
        waves = sum(
            rng.normal(0, c.blob_std / k) * np.cos(k * turns + rng.uniform(*ANY_PHASE))
            for k in range(1, c.blob_waves + 1)
        )
        radii = np.exp(np.asarray(waves))
        canvas.area([*zip(*_around(turns, c.blob_radius * radii / radii.max()), strict=True)], WHITE)
    return Rigid(backdrop(rng, side, side, config.background, photos), canvas.pixels[..., 3].copy())


def _around(turns: NDArray[np.float64], radii: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Return x and y of points around the middle."""
    return (0.5 + radii * np.cos(turns)).tolist(), (0.5 + radii * np.sin(turns)).tolist()


def random_hand(rng: np.random.Generator, side: int, config: ThingConfig, colours: PaletteConfig) -> Rigid:
    """Return a palm with fingers, more or less spread, and an arm that comes from below."""
    c, canvas = config.hand, Canvas(side)
    canvas.oval((0.5, 0.5), 0.3, 0.34, WHITE)
    canvas.limb([(0.5, 0.6), (0.5 + rng.normal(0, c.arm_shift_std), 1.0)], rng.uniform(*c.arm_width), WHITE)
    spread = rng.uniform(*c.spread)
    for finger in range(4):
        turn = (finger - 1.5) * spread
        length = rng.uniform(*c.finger) if rng.random() < c.stretched_share else c.bent_finger
        root = (0.5 + 0.33 * (finger - 1.5) * 0.25, 0.42)
        canvas.limb([root, (root[0] + length * math.sin(turn), root[1] - length * math.cos(turn))], 0.068, WHITE)
    thumb = rng.choice([-1, 1])
    canvas.limb([(0.5 + thumb * 0.1, 0.55), (0.5 + thumb * rng.uniform(*c.thumb), 0.4)], 0.075, WHITE)
    skin = np.array(config.person.skin) * rng.uniform(*config.person.skin_brightness)
    look = (random_surface(rng, side, c.texture, config.surface)[..., :3] * (skin / 255)).astype(np.uint8)
    sleeve = int(side * rng.uniform(*c.sleeve))
    look[sleeve:] = np.array(palette(rng, 1, colours)[0][:3], np.uint8)
    return Rigid(look, canvas.pixels[..., 3].copy(), pivot=0.5)


def random_lamp(rng: np.random.Generator, side: int, config: LampConfig) -> Blinking:
    """Return a light that blinks, or a clock whose digits change."""
    on, off = Canvas(side), Canvas(side)
    bright, dark = ink(rng.uniform(*config.bright, 3)), ink(rng.uniform(*config.dark, 3))
    if rng.random() < config.light_share:
        on.oval((0.5, 0.5), config.size, config.size, bright)
        off.oval((0.5, 0.5), config.size, config.size, dark)
    else:
        for canvas in (on, off):
            canvas.area([(0, 0.25), (1, 0.25), (1, 0.75), (0, 0.75)], dark)
            digits = f"{rng.integers(100):02d}:{rng.integers(100):02d}"
            cv2.putText(canvas.pixels, digits, (2, int(side * 0.65)), cv2.FONT_HERSHEY_SIMPLEX, side / 90, bright, 2)
    return Blinking(on.pixels, off.pixels)


def _rigid(drawing: Sprite) -> Rigid:
    return Rigid(drawing[..., :3].copy(), drawing[..., 3].copy())


def random_thing(
    rng: np.random.Generator, side: int, facing: int, config: SceneConfig, photos: Sequence[Picture]
) -> Thing:
    """Return a random thing. `facing`, of a thing that has a front: -1 left, 1 right, 0 to the camera."""
    things, colours = config.things, config.background.palette
    makers: tuple[Callable[[], Thing], ...] = (
        lambda: Person(rng, side, facing, things, colours),
        lambda: Animal(rng, side, facing or int(rng.choice([-1, 1])), things, colours),
        lambda: Car(rng, side, facing, things, colours),
        lambda: _rigid(car_from_above(rng, side, things, colours)),
        lambda: random_hand(rng, side, things, colours),
        lambda: random_shape(rng, side, config, photos),
    )
    return makers[rng.choice(len(makers), p=things.shares)]()
