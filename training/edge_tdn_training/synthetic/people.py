"""People and animals, whose limbs swing. See things.py for what a thing is."""

import math
from collections.abc import Sequence

import numpy as np

from edge_tdn_training.synthetic.backgrounds import palette
from edge_tdn_training.synthetic.sprites import Canvas, Point, Sprite, ink, shade, shaded, shadow

HEADROOM = 0.8  # so tall is somebody whose arm is up


def _bend(start: Point, angles: Sequence[float], lengths: Sequence[float]) -> list[Point]:
    """Joints of a limb; angles from straight down, in radians, positive to the right."""
    points = [start]
    for angle, length in zip(angles, lengths, strict=True):
        x, y = points[-1]
        points.append((x + length * math.sin(angle), y + length * math.cos(angle)))
    return points


class Person:
    """Walks, seen from the side or from the front (or behind); with `waves` the phase moves an arm alone."""

    pivot = 0.0
    upright = True

    def __init__(self, rng: np.random.Generator, side: int, facing: int, waves: bool = False) -> None:
        """`facing`: -1 left, 1 right, 0 to the camera or away from it."""
        self._side, self._facing, self._waves = side, facing, waves
        self._skin = ink(np.array([232, 190, 160]) * rng.uniform(0.3, 1.05))
        colours = palette(rng, 4)
        self._shirt, self._trousers, self._shoes, self._hair = (ink(c) for c in colours)
        self._bulk = rng.uniform(0.8, 1.5)
        self._stride = rng.uniform(0.3, 0.75)  # radians to either side
        self._arm = rng.uniform(0.1, 0.9) * self._stride * (rng.random() < 0.85)
        self._bare = rng.random() < 0.3  # arms
        self._coat = rng.uniform(0.1, 0.3) if rng.random() < 0.3 else 0.0  # its length below the hip
        self._bag = rng.random() < 0.25
        self._lean = rng.normal(0, 0.04) + 0.05 * abs(facing)
        self._rise = rng.uniform(1.9, 2.9)  # of the arm that waves, radians from straight down
        self._swing = rng.uniform(0.35, 0.8)
        self._still_pose = rng.uniform(-0.3, 0.3)
        self._shadow = shadow(rng)
        self._shade = shade(rng, side, rng.uniform(0.0, 0.25))

    def sprite(self, phase: float) -> Sprite:
        canvas = Canvas(self._side, HEADROOM if self._waves else 1.0)
        canvas.oval((0.5, 0.97), 0.4, 0.05, self._shadow)
        if self._facing:
            self._from_the_side(canvas, self._still_pose if self._waves else phase, phase)
        else:
            self._from_the_front(canvas, self._still_pose if self._waves else phase, phase)
        return shaded(canvas, self._shade)

    def _from_the_side(self, canvas: Canvas, gait: float, wave: float) -> None:
        bulk, facing = self._bulk, self._facing
        hip = (0.5, 0.52 - 0.012 * abs(math.cos(gait)))
        shoulder = (0.5 + facing * self._lean, hip[1] - 0.3)
        far, near = (self._leg(gait + turn) for turn in (math.pi, 0.0))
        for angles, light in ((far, 0.75), (near, 1.0)):
            leg = _bend(hip, [facing * a for a in angles], (0.23, 0.23))
            if light < 1:
                self._arm_of(canvas, shoulder, gait, 0.75)
            canvas.limb(leg, 0.075 * bulk, ink(self._trousers, light))
            foot = (leg[-1][0] + facing * 0.05, leg[-1][1] + 0.005)
            canvas.limb([leg[-1], foot], 0.045, ink(self._shoes, light))
        self._torso(canvas, hip, shoulder, 0.1 * bulk)
        if self._bag:
            canvas.oval((0.5 - facing * 0.09 * bulk, hip[1] - 0.2), 0.1, 0.17, ink(self._shoes, 1.2))
        self._head(canvas, (shoulder[0] + facing * 0.015, shoulder[1] - 0.1))
        if self._waves:
            self._waving(canvas, shoulder, facing, wave)
        else:
            self._arm_of(canvas, shoulder, gait + math.pi, 1.0)

    def _leg(self, gait: float) -> tuple[float, float]:
        thigh = self._stride * math.sin(gait)
        knee = 1.4 * self._stride * max(0.0, math.cos(gait))  # bent while it swings forward
        return thigh, thigh - knee

    def _arm_of(self, canvas: Canvas, shoulder: Point, gait: float, light: float) -> None:
        upper = self._facing * self._arm * math.sin(gait)
        arm = _bend((shoulder[0], shoulder[1] + 0.03), (upper, upper + self._facing * 0.3), (0.16, 0.15))
        canvas.limb(arm, 0.05 * self._bulk, ink(self._skin if self._bare else self._shirt, light))
        canvas.oval(arm[-1], 0.05, 0.05, ink(self._skin, light))

    def _from_the_front(self, canvas: Canvas, gait: float, wave: float) -> None:
        bulk, wide = self._bulk, 0.055 * self._bulk
        hip_y = 0.52 - 0.01 * abs(math.cos(gait))
        for way in (-1, 1):
            lift = 0.07 * max(0.0, math.sin(gait + (way > 0) * math.pi))
            hip = (0.5 + way * wide, hip_y)
            leg = [hip, (hip[0], hip_y + 0.22 - lift * 0.3), (hip[0], hip_y + 0.45 - lift)]
            canvas.limb(leg, 0.08 * bulk, ink(self._trousers, 1.0 - 3 * lift))
            canvas.oval((leg[-1][0], leg[-1][1] + 0.01), 0.075, 0.045, self._shoes)
        shoulder_y = hip_y - 0.3
        for way in (-1, 1):
            if self._waves and way > 0:
                continue
            swing = 0.05 * self._arm * math.sin(gait + (way < 0) * math.pi)
            shoulder = (0.5 + way * 0.1 * bulk, shoulder_y + 0.03)
            arm = _bend(shoulder, (way * 0.15, way * 0.05), (0.16 - swing, 0.15 - swing))
            canvas.limb(arm, 0.05 * bulk, self._skin if self._bare else self._shirt)
            canvas.oval(arm[-1], 0.05, 0.05, self._skin)
        self._torso(canvas, (0.5, hip_y), (0.5, shoulder_y), 0.17 * bulk)
        self._head(canvas, (0.5, shoulder_y - 0.1))
        if self._waves:
            self._waving(canvas, (0.5 + 0.1 * bulk, shoulder_y + 0.02), 1, wave)

    def _waving(self, canvas: Canvas, shoulder: Point, way: int, wave: float) -> None:
        upper = way * self._rise * 0.75
        fore = way * (self._rise + self._swing * math.sin(wave))
        arm = _bend(shoulder, (upper, fore), (0.17, 0.2))
        canvas.limb(arm, 0.055 * self._bulk, self._skin if self._bare else self._shirt)
        canvas.oval(arm[-1], 0.08, 0.08, self._skin)

    def _torso(self, canvas: Canvas, hip: Point, shoulder: Point, width: float) -> None:
        below = 0.03 + self._coat
        canvas.area(
            [(shoulder[0] - width * 0.6, shoulder[1]), (shoulder[0] + width * 0.6, shoulder[1]),
             (hip[0] + width * (0.55 + self._coat), hip[1] + below),
             (hip[0] - width * (0.55 + self._coat), hip[1] + below)], self._shirt)  # fmt: skip
        canvas.limb([shoulder, hip], width * 0.9, self._shirt)

    def _head(self, canvas: Canvas, middle: Point) -> None:
        canvas.oval((middle[0], middle[1] + 0.05), 0.05, 0.09, self._skin)
        canvas.oval((middle[0], middle[1] - 0.005), 0.1, 0.13, self._hair)
        canvas.oval((middle[0] + 0.015 * self._facing, middle[1] + 0.01), 0.085, 0.11, self._skin)


class Animal:
    """Four legs, from the side."""

    pivot = 0.0
    upright = True

    def __init__(self, rng: np.random.Generator, side: int, facing: int) -> None:
        self._side, self._facing = side, facing
        self._coat, self._dark = (ink(c) for c in palette(rng, 2))
        self._long, self._tall = rng.uniform(0.4, 0.6), rng.uniform(0.16, 0.28)
        self._legs, self._stride = rng.uniform(0.14, 0.26), rng.uniform(0.3, 0.7)
        self._neck = rng.uniform(0.05, 0.25)
        self._shade = shade(rng, side, rng.uniform(0.0, 0.35))

    def sprite(self, phase: float) -> Sprite:
        canvas, facing = Canvas(self._side), self._facing
        middle = (0.5, 0.48 - 0.01 * math.sin(2 * phase))
        for pair, light in ((math.pi, 0.7), (0.0, 1.0)):
            for end in (-1, 1):
                hip = (middle[0] + end * 0.38 * self._long, middle[1] + 0.2 * self._tall)
                swing = self._stride * math.sin(phase + pair + (end > 0) * math.pi)
                knee = facing * (swing - 0.9 * self._stride * max(0.0, math.cos(phase + pair + (end > 0) * math.pi)))
                leg = _bend(hip, (facing * swing, knee), (self._legs, self._legs))
                canvas.limb(leg, 0.06, ink(self._coat, light))
        canvas.oval(middle, self._long, self._tall, self._coat)
        chest = (middle[0] + facing * 0.42 * self._long, middle[1] - 0.1 * self._tall)
        head = (chest[0] + facing * 0.1, chest[1] - self._neck)
        canvas.limb([chest, head], 0.09, self._coat)
        canvas.oval((head[0] + facing * 0.03, head[1]), 0.17, 0.11, self._coat)
        canvas.oval((head[0] - facing * 0.03, head[1] - 0.05), 0.04, 0.08, self._dark)
        rear = (middle[0] - facing * 0.48 * self._long, middle[1] - 0.2 * self._tall)
        tail = 0.5 * math.sin(phase)
        canvas.limb(_bend(rear, (-facing * (2.0 + 0.3 * tail),), (0.14,)), 0.035, self._dark)
        return shaded(canvas, self._shade)
