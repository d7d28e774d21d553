"""People and animals, whose limbs swing. See things.py for what a thing is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_tdn_training.synthetic.background_config import PaletteConfig
from edge_tdn_training.synthetic.sprites import (
    Canvas,
    Ink,
    Point,
    Sprite,
    ink,
    random_shadow,
    random_surface,
    shaded,
)
from edge_tdn_training.synthetic.textures import palette
from edge_tdn_training.synthetic.thing_config import AnimalConfig, PersonConfig, SurfaceConfig, ThingConfig


def _bend(start: Point, angles: Sequence[float], lengths: Sequence[float]) -> list[Point]:
    """Return the joints of a limb. Angles are radians from straight down, positive to the right."""
    points = [start]
    for angle, length in zip(angles, lengths, strict=True):
        x, y = points[-1]
        points.append((x + length * math.sin(angle), y + length * math.cos(angle)))
    return points


@dataclass(frozen=True)
class _Look:
    """The colours and clothes of a person."""

    skin: Ink
    shirt: Ink
    trousers: Ink
    shoes: Ink
    hair: Ink
    bare_arms: bool
    coat: float  # its length below the hip
    bag: bool

    @property
    def sleeve(self) -> Ink:
        return self.skin if self.bare_arms else self.shirt


@dataclass(frozen=True)
class _Gait:
    """The build and the movements of a person; angles in radians."""

    bulk: float
    stride: float
    arm: float
    lean: float
    wave_height: float
    wave_swing: float
    standing_pose: float


def _random_person(
    rng: np.random.Generator, facing: int, config: PersonConfig, colours: PaletteConfig
) -> tuple[_Look, _Gait]:
    skin = ink(np.array(config.skin) * rng.uniform(*config.skin_brightness))
    shirt, trousers, shoes, hair = (ink(c) for c in palette(rng, 4, colours))
    bulk = rng.uniform(*config.bulk)
    stride = rng.uniform(*config.stride)
    arm = rng.uniform(*config.arm_swing) * stride * (rng.random() < config.arm_swing_share)
    bare = rng.random() < config.bare_arms_share
    coat = rng.uniform(*config.coat) if rng.random() < config.coat_share else 0.0
    bag = rng.random() < config.bag_share
    lean = rng.normal(0, config.lean_std) + config.walking_lean * abs(facing)
    look = _Look(skin, shirt, trousers, shoes, hair, bare, coat, bag)
    movements = (rng.uniform(*range_) for range_ in (config.wave_height, config.wave_swing, config.standing_pose))
    return look, _Gait(bulk, stride, arm, lean, *movements)


class Person:
    """A person who walks, seen from the side or from the front (or behind); if `waves`, the phase moves an arm only."""

    pivot = 0.0
    upright = True

    def __init__(
        self,
        rng: np.random.Generator,
        side: int,
        facing: int,
        config: ThingConfig,
        colours: PaletteConfig,
        waves: bool = False,
    ) -> None:
        """`facing`: -1 left, 1 right, 0 to the camera or away from it."""
        self._side, self._facing, self._waves, self._config = side, facing, waves, config.person
        self._look, self._gait = _random_person(rng, facing, config.person, colours)
        self._shadow = random_shadow(rng, config.surface)
        self._surface = random_surface(rng, side, rng.uniform(*config.person.texture), config.surface)

    def sprite(self, phase: float) -> Sprite:
        """Draw the person in a phase of the gait, or of the wave, in radians."""
        canvas = Canvas(self._side, self._config.waving_scale if self._waves else 1.0)
        canvas.oval((0.5, 0.97), 0.4, 0.05, self._shadow)
        gait = self._gait.standing_pose if self._waves else phase
        if self._facing:
            self._from_the_side(canvas, gait, phase)
        else:
            self._from_the_front(canvas, gait, phase)
        return shaded(canvas, self._surface)

    def _from_the_side(self, canvas: Canvas, gait: float, wave: float) -> None:
        config, look, bulk, facing = self._config, self._look, self._gait.bulk, self._facing
        hip = (0.5, config.hip_height - 0.012 * abs(math.cos(gait)))
        shoulder = (0.5 + facing * self._gait.lean, hip[1] - config.torso)
        far, near = (self._leg(gait + turn) for turn in (math.pi, 0.0))
        for angles, light in ((far, config.far_light), (near, 1.0)):
            leg = _bend(hip, [facing * a for a in angles], config.leg)
            if light < 1:
                self._swinging_arm(canvas, shoulder, gait, config.far_light)
            canvas.limb(leg, 0.075 * bulk, ink(look.trousers, light))
            foot = (leg[-1][0] + facing * 0.05, leg[-1][1] + 0.005)
            canvas.limb([leg[-1], foot], 0.045, ink(look.shoes, light))
        self._torso(canvas, hip, shoulder, 0.1 * bulk)
        if look.bag:
            canvas.oval((0.5 - facing * 0.09 * bulk, hip[1] - 0.2), 0.1, 0.17, ink(look.shoes, 1.2))
        self._head(canvas, (shoulder[0] + facing * 0.015, shoulder[1] - 0.1))
        if self._waves:
            self._waving_arm(canvas, shoulder, facing, wave)
        else:
            self._swinging_arm(canvas, shoulder, gait + math.pi, 1.0)

    def _leg(self, gait: float) -> tuple[float, float]:
        """Return the angles of thigh and shin; the knee is bent while it swings forward."""
        thigh = self._gait.stride * math.sin(gait)
        knee = self._config.knee_bend * self._gait.stride * max(0.0, math.cos(gait))
        return thigh, thigh - knee

    def _swinging_arm(self, canvas: Canvas, shoulder: Point, gait: float, light: float) -> None:
        upper = self._facing * self._gait.arm * math.sin(gait)
        fore = upper + self._facing * self._config.elbow_bend
        arm = _bend((shoulder[0], shoulder[1] + 0.03), (upper, fore), self._config.arm)
        canvas.limb(arm, 0.05 * self._gait.bulk, ink(self._look.sleeve, light))
        canvas.oval(arm[-1], 0.05, 0.05, ink(self._look.skin, light))

    def _from_the_front(self, canvas: Canvas, gait: float, wave: float) -> None:
        config, look, bulk, wide = self._config, self._look, self._gait.bulk, 0.055 * self._gait.bulk
        hip_y = config.hip_height - 0.01 * abs(math.cos(gait))
        for way in (-1, 1):
            lift = 0.07 * max(0.0, math.sin(gait + (way > 0) * math.pi))
            hip = (0.5 + way * wide, hip_y)
            leg = [hip, (hip[0], hip_y + 0.22 - lift * 0.3), (hip[0], hip_y + 0.45 - lift)]
            canvas.limb(leg, 0.08 * bulk, ink(look.trousers, 1.0 - 3 * lift))
            canvas.oval((leg[-1][0], leg[-1][1] + 0.01), 0.075, 0.045, look.shoes)
        shoulder_y = hip_y - config.torso
        for way in (-1, 1):
            if self._waves and way > 0:
                continue
            swing = 0.05 * self._gait.arm * math.sin(gait + (way < 0) * math.pi)
            shoulder = (0.5 + way * 0.1 * bulk, shoulder_y + 0.03)
            arm = _bend(shoulder, (way * 0.15, way * 0.05), (config.arm[0] - swing, config.arm[1] - swing))
            canvas.limb(arm, 0.05 * bulk, look.sleeve)
            canvas.oval(arm[-1], 0.05, 0.05, look.skin)
        self._torso(canvas, (0.5, hip_y), (0.5, shoulder_y), 0.17 * bulk)
        self._head(canvas, (0.5, shoulder_y - 0.1))
        if self._waves:
            self._waving_arm(canvas, (0.5 + 0.1 * bulk, shoulder_y + 0.02), 1, wave)

    def _waving_arm(self, canvas: Canvas, shoulder: Point, way: int, wave: float) -> None:
        gait = self._gait
        upper = way * gait.wave_height * 0.75
        fore = way * (gait.wave_height + gait.wave_swing * math.sin(wave))
        arm = _bend(shoulder, (upper, fore), self._config.waving_arm)
        canvas.limb(arm, 0.055 * gait.bulk, self._look.sleeve)
        canvas.oval(arm[-1], 0.08, 0.08, self._look.skin)

    def _torso(self, canvas: Canvas, hip: Point, shoulder: Point, width: float) -> None:
        look = self._look
        below = 0.03 + look.coat
        outline = [
            (shoulder[0] - width * 0.6, shoulder[1]),
            (shoulder[0] + width * 0.6, shoulder[1]),
            (hip[0] + width * (0.55 + look.coat), hip[1] + below),
            (hip[0] - width * (0.55 + look.coat), hip[1] + below),
        ]
        canvas.area(outline, look.shirt)
        canvas.limb([shoulder, hip], width * 0.9, look.shirt)

    def _head(self, canvas: Canvas, middle: Point) -> None:
        canvas.oval((middle[0], middle[1] + 0.05), 0.05, 0.09, self._look.skin)
        canvas.oval((middle[0], middle[1] - 0.005), 0.1, 0.13, self._look.hair)
        canvas.oval((middle[0] + 0.015 * self._facing, middle[1] + 0.01), 0.085, 0.11, self._look.skin)


class Animal:
    """An animal on four legs, from the side."""

    pivot = 0.0
    upright = True

    def __init__(
        self, rng: np.random.Generator, side: int, facing: int, config: ThingConfig, colours: PaletteConfig
    ) -> None:
        """`facing`: -1 left, 1 right."""
        own: AnimalConfig = config.animal
        surface: SurfaceConfig = config.surface
        self._side, self._facing, self._config = side, facing, own
        self._coat, self._dark = (ink(c) for c in palette(rng, 2, colours))
        self._length, self._height = rng.uniform(*own.length), rng.uniform(*own.height)
        self._leg, self._stride = rng.uniform(*own.leg), rng.uniform(*own.stride)
        self._neck = rng.uniform(*own.neck)
        self._surface = random_surface(rng, side, rng.uniform(*own.texture), surface)

    def sprite(self, phase: float) -> Sprite:
        """Draw the animal in a phase of the gait, in radians."""
        canvas, facing, config = Canvas(self._side), self._facing, self._config
        middle = (0.5, 0.48 - 0.01 * math.sin(2 * phase))
        for pair, light in ((math.pi, config.far_light), (0.0, 1.0)):
            for end in (-1, 1):
                turn = phase + pair + (end > 0) * math.pi
                hip = (middle[0] + end * 0.38 * self._length, middle[1] + 0.2 * self._height)
                swing = self._stride * math.sin(turn)
                knee = facing * (swing - config.knee_bend * self._stride * max(0.0, math.cos(turn)))
                leg = _bend(hip, (facing * swing, knee), (self._leg, self._leg))
                canvas.limb(leg, 0.06, ink(self._coat, light))
        canvas.oval(middle, self._length, self._height, self._coat)
        chest = (middle[0] + facing * 0.42 * self._length, middle[1] - 0.1 * self._height)
        head = (chest[0] + facing * 0.1, chest[1] - self._neck)
        canvas.limb([chest, head], 0.09, self._coat)
        canvas.oval((head[0] + facing * 0.03, head[1]), 0.17, 0.11, self._coat)
        canvas.oval((head[0] - facing * 0.03, head[1] - 0.05), 0.04, 0.08, self._dark)
        rear = (middle[0] - facing * 0.48 * self._length, middle[1] - 0.2 * self._height)
        tail = 0.5 * math.sin(phase)
        canvas.limb(_bend(rear, (-facing * (2.0 + 0.3 * tail),), (0.14,)), 0.035, self._dark)
        return shaded(canvas, self._surface)
