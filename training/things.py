"""What moves, or only stands there: people and animals whose limbs swing, cars, hands, balls, and shapes of any kind.

A thing draws itself into a square, as premultiplied RGBA (uint8 [side, side, 4]), for any phase in radians: the gait of
what walks, the turn of wheels, the swing of an arm that waves, the time of a lamp that blinks. Where it stands in the
picture is not its business. Everything that it decides by chance it decides once, when it is made.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Picture
from training.backdrops import backdrop, fractal, palette

Sprite = NDArray[np.uint8]  # [side, side, 4], premultiplied RGBA
Point = tuple[float, float]
Ink = tuple[float, float, float, float]  # premultiplied RGBA
SUBPIXELS = 4  # binary digits after the point, of coordinates that OpenCV draws at


class Thing(Protocol):
    pivot: float  # how far below its middle it is held, in sides: what turns turns about that point
    upright: bool  # it stands on the ground, and is not turned about

    def sprite(self, phase: float) -> Sprite: ...


def _opaque(colour: Sequence[float], light: float = 1.0) -> Ink:
    r, g, b = (min(255.0, max(0.0, v * light)) for v in colour[:3])
    return r, g, b, 255.0


class _Canvas:
    """An empty square to draw on, in fractions of its side."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.pixels: Sprite = np.zeros((side, side, 4), np.uint8)
        self._unit = side * 2**SUBPIXELS

    def limb(self, points: Sequence[Point], thickness: float, colour: Ink) -> None:
        """A bent line with round ends."""
        line = np.round(np.array(points) * self._unit).astype(np.int32)
        width = max(1, round(thickness * self.side))
        cv2.polylines(self.pixels, [line], False, colour, width, cv2.LINE_AA, SUBPIXELS)

    def area(self, points: Sequence[Point], colour: Ink) -> None:
        line = np.round(np.array(points) * self._unit).astype(np.int32)
        cv2.fillPoly(self.pixels, [line], colour, cv2.LINE_AA, SUBPIXELS)

    def oval(self, middle: Point, width: float, height: float, colour: Ink, angle: float = 0.0) -> None:
        """`angle`: degrees."""
        box = ((middle[0] * self.side, middle[1] * self.side), (width * self.side, height * self.side), angle)
        cv2.ellipse(self.pixels, box, colour, -1, cv2.LINE_AA)


def _shade(rng: np.random.Generator, side: int, strength: float) -> Sprite:
    """What to multiply a sprite with: its surface's texture and light, none of it transparent."""
    texture = fractal(rng, side, side, rng.uniform(0.3, 1.3)) * strength
    if rng.random() < 0.3:  # a striped or chequered cloth
        across = np.sin(np.arange(side) * rng.uniform(0.2, 0.9))
        texture = texture + rng.uniform(0.05, 0.2) * (across[:, None] if rng.random() < 0.5 else across)
    light = np.linspace(-1, 1, side) * rng.normal(0, 0.12)
    shade = np.full((side, side, 4), 255, np.uint8)
    shade[..., :3] = np.clip(255 * np.exp(np.minimum(texture + light - 0.1, 0)), 0, 255)[..., None]
    return shade


def _shaded(canvas: _Canvas, shade: Sprite) -> Sprite:
    return cv2.multiply(canvas.pixels, shade, scale=1 / 255).astype(np.uint8)


def _shadow(rng: np.random.Generator) -> Ink:
    """What something upright does to the ground: more or less, or nothing."""
    return 0.0, 0.0, 0.0, float(rng.choice([0, 60, 120]))


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
        self._skin = _opaque(np.array([232, 190, 160]) * rng.uniform(0.3, 1.05))
        colours = palette(rng, 4)
        self._shirt, self._trousers, self._shoes, self._hair = (_opaque(c) for c in colours)
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
        self._shadow = _shadow(rng)
        self._shade = _shade(rng, side, rng.uniform(0.0, 0.25))

    def sprite(self, phase: float) -> Sprite:
        canvas = _Canvas(self._side)
        canvas.oval((0.5, 0.97), 0.4, 0.05, self._shadow)
        if self._facing:
            self._from_the_side(canvas, self._still_pose if self._waves else phase, phase)
        else:
            self._from_the_front(canvas, self._still_pose if self._waves else phase, phase)
        return _shaded(canvas, self._shade)

    def _from_the_side(self, canvas: _Canvas, gait: float, wave: float) -> None:
        bulk, facing = self._bulk, self._facing
        hip = (0.5, 0.52 - 0.012 * abs(math.cos(gait)))
        shoulder = (0.5 + facing * self._lean, hip[1] - 0.3)
        far, near = (self._leg(gait + turn) for turn in (math.pi, 0.0))
        for angles, light in ((far, 0.75), (near, 1.0)):
            leg = _bend(hip, [facing * a for a in angles], (0.23, 0.23))
            if light < 1:
                self._arm_of(canvas, shoulder, gait, 0.75)
            canvas.limb(leg, 0.075 * bulk, _opaque(self._trousers, light))
            foot = (leg[-1][0] + facing * 0.05, leg[-1][1] + 0.005)
            canvas.limb([leg[-1], foot], 0.045, _opaque(self._shoes, light))
        self._torso(canvas, hip, shoulder, 0.1 * bulk)
        if self._bag:
            canvas.oval((0.5 - facing * 0.09 * bulk, hip[1] - 0.2), 0.1, 0.17, _opaque(self._shoes, 1.2))
        self._head(canvas, (shoulder[0] + facing * 0.015, shoulder[1] - 0.1))
        if self._waves:
            self._waving(canvas, shoulder, facing, wave)
        else:
            self._arm_of(canvas, shoulder, gait + math.pi, 1.0)

    def _leg(self, gait: float) -> tuple[float, float]:
        thigh = self._stride * math.sin(gait)
        knee = 1.4 * self._stride * max(0.0, math.cos(gait))  # bent while it swings forward
        return thigh, thigh - knee

    def _arm_of(self, canvas: _Canvas, shoulder: Point, gait: float, light: float) -> None:
        upper = self._facing * self._arm * math.sin(gait)
        arm = _bend((shoulder[0], shoulder[1] + 0.03), (upper, upper + self._facing * 0.3), (0.16, 0.15))
        canvas.limb(arm, 0.05 * self._bulk, _opaque(self._skin if self._bare else self._shirt, light))
        canvas.oval(arm[-1], 0.05, 0.05, _opaque(self._skin, light))

    def _from_the_front(self, canvas: _Canvas, gait: float, wave: float) -> None:
        bulk, wide = self._bulk, 0.055 * self._bulk
        hip_y = 0.52 - 0.01 * abs(math.cos(gait))
        for way in (-1, 1):
            lift = 0.07 * max(0.0, math.sin(gait * 1.0 + (way > 0) * math.pi))
            hip = (0.5 + way * wide, hip_y)
            leg = [hip, (hip[0], hip_y + 0.22 - lift * 0.3), (hip[0], hip_y + 0.45 - lift)]
            canvas.limb(leg, 0.08 * bulk, _opaque(self._trousers, 1.0 - 3 * lift))
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

    def _waving(self, canvas: _Canvas, shoulder: Point, way: int, wave: float) -> None:
        upper = way * self._rise * 0.75
        fore = way * (self._rise + self._swing * math.sin(wave))
        arm = _bend(shoulder, (upper, fore), (0.17, 0.2))
        canvas.limb(arm, 0.055 * self._bulk, self._skin if self._bare else self._shirt)
        canvas.oval(arm[-1], 0.08, 0.08, self._skin)

    def _torso(self, canvas: _Canvas, hip: Point, shoulder: Point, width: float) -> None:
        below = 0.03 + self._coat
        canvas.area(
            [(shoulder[0] - width * 0.6, shoulder[1]), (shoulder[0] + width * 0.6, shoulder[1]),
             (hip[0] + width * (0.55 + self._coat), hip[1] + below),
             (hip[0] - width * (0.55 + self._coat), hip[1] + below)], self._shirt)  # fmt: skip
        canvas.limb([shoulder, hip], width * 0.9, self._shirt)

    def _head(self, canvas: _Canvas, middle: Point) -> None:
        canvas.oval((middle[0], middle[1] + 0.05), 0.05, 0.09, self._skin)
        canvas.oval((middle[0], middle[1] - 0.005), 0.1, 0.13, self._hair)
        canvas.oval((middle[0] + 0.015 * self._facing, middle[1] + 0.01), 0.085, 0.11, self._skin)


class Animal:
    """Four legs, from the side."""

    pivot = 0.0
    upright = True

    def __init__(self, rng: np.random.Generator, side: int, facing: int) -> None:
        self._side, self._facing = side, facing
        self._coat, self._dark = (_opaque(c) for c in palette(rng, 2))
        self._long, self._tall = rng.uniform(0.4, 0.6), rng.uniform(0.16, 0.28)
        self._legs, self._stride = rng.uniform(0.14, 0.26), rng.uniform(0.3, 0.7)
        self._neck = rng.uniform(0.05, 0.25)
        self._shade = _shade(rng, side, rng.uniform(0.0, 0.35))

    def sprite(self, phase: float) -> Sprite:
        canvas, facing = _Canvas(self._side), self._facing
        middle = (0.5, 0.48 - 0.01 * math.sin(2 * phase))
        for pair, light in ((math.pi, 0.7), (0.0, 1.0)):
            for end in (-1, 1):
                hip = (middle[0] + end * 0.38 * self._long, middle[1] + 0.2 * self._tall)
                swing = self._stride * math.sin(phase + pair + (end > 0) * math.pi)
                knee = facing * (swing - 0.9 * self._stride * max(0.0, math.cos(phase + pair + (end > 0) * math.pi)))
                leg = _bend(hip, (facing * swing, knee), (self._legs, self._legs))
                canvas.limb(leg, 0.06, _opaque(self._coat, light))
        canvas.oval(middle, self._long, self._tall, self._coat)
        chest = (middle[0] + facing * 0.42 * self._long, middle[1] - 0.1 * self._tall)
        head = (chest[0] + facing * 0.1, chest[1] - self._neck)
        canvas.limb([chest, head], 0.09, self._coat)
        canvas.oval((head[0] + facing * 0.03, head[1]), 0.17, 0.11, self._coat)
        canvas.oval((head[0] - facing * 0.03, head[1] - 0.05), 0.04, 0.08, self._dark)
        rear = (middle[0] - facing * 0.48 * self._long, middle[1] - 0.2 * self._tall)
        tail = 0.5 * math.sin(phase)
        canvas.limb(_bend(rear, (-facing * (2.0 + 0.3 * tail),), (0.14,)), 0.035, self._dark)
        return _shaded(canvas, self._shade)


class Car:
    """From the side, with wheels that turn; or from the front or behind."""

    pivot = 0.0
    upright = True

    def __init__(self, rng: np.random.Generator, side: int, facing: int) -> None:
        self._side, self._facing = side, facing
        body, trim, tyre = palette(rng, 3)
        self._body, self._trim = _opaque(body), _opaque(trim)
        self._tyre = _opaque(np.array(tyre[:3]) * 0.25)
        self._glass = _opaque(rng.uniform(20, 160, 3))
        self._tall, self._van = rng.uniform(0.22, 0.34), rng.random() < 0.35
        self._shadow = _shadow(rng)
        self._lamp = _opaque((255, 250, 220) if rng.random() < 0.5 else (220, 30, 30))
        self._shade = _shade(rng, side, rng.uniform(0.0, 0.12))

    def sprite(self, phase: float) -> Sprite:
        canvas = _Canvas(self._side)
        canvas.oval((0.5, 0.76 if self._facing else 0.86), 0.9, 0.06, self._shadow)
        if self._facing:
            self._from_the_side(canvas, phase)
        else:
            self._from_the_front(canvas)
        return _shaded(canvas, self._shade)

    def _from_the_side(self, canvas: _Canvas, phase: float) -> None:
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

    def _from_the_front(self, canvas: _Canvas) -> None:
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
    canvas = _Canvas(side)
    full, kind = _opaque((255, 255, 255)), rng.random()
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
    canvas = _Canvas(side)
    full = _opaque((255, 255, 255))
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
    look = (_shade(rng, side, 0.15)[..., :3] * (skin / 255)).astype(np.uint8)
    sleeve = int(side * rng.uniform(0.75, 1.0))
    look[sleeve:] = np.array(palette(rng, 1)[0][:3], np.uint8)
    return Rigid(look, canvas.pixels[..., 3].copy(), pivot=0.5)


def lamp(rng: np.random.Generator, side: int) -> Blinking:
    """A light that goes on and off, or characters that change."""
    on, off = _Canvas(side), _Canvas(side)
    bright, dark = _opaque(rng.uniform(130, 255, 3)), _opaque(rng.uniform(0, 120, 3))
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
        lambda: hand(rng, side),
        lambda: shape(rng, side, photos),
    )
    return makers[rng.choice(len(makers), p=(0.36, 0.06, 0.14, 0.08, 0.36))]()


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
