"""How things and cameras move, by label: the only place that says what a label means.

Positions and distances are fractions of the picture's width (x) and height (y), sizes fractions of its height, angles
radians, times seconds; y grows downwards.

    left, right, up, down   the contents go that way: at least LEAST_WAY in the clip, at most 26 degrees off
    approach, recede        the contents grow or shrink, by LEAST_GROWTH at least, from a point on or near the thing
    wave                    to and fro, LEAST_SWINGS times at least, mostly sideways: a thing, a part of it, the picture
    still                   nothing of it; what moves in its place moves less than LEAST_WAY / 5, or is tiny

All of them are said of the picture, not of the camera: a camera that pans to the right shows contents that go left,
and that is `left`. One that zooms in is `approach`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LEAST_WAY, LONGEST_WAY = 0.1, 1.1
LEAST_GROWTH, LARGEST_GROWTH = 0.2, 1.4  # natural logarithm of size, over the clip
LEAST_SWING, LARGEST_SWING = 0.035, 0.2  # half of the way to and fro
LEAST_SWINGS = 1.5  # to and fro, in a clip
FASTEST_SWING_HZ = 2.6
STEEPEST = 0.45  # radians off the pure direction
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "approach": "recede", "recede": "approach"}
DIRECTIONS = {"left": math.pi, "right": 0.0, "up": -math.pi / 2, "down": math.pi / 2}

Moments = NDArray[np.float64]  # one number for each moment of a clip


@dataclass(frozen=True, eq=False)
class Drift:
    """How the contents are displaced at each moment; all zero in the middle of the way."""

    x: Moments
    y: Moments
    growth: Moments  # natural logarithm of size
    swing: Moments  # -1 to 1, where something goes to and fro
    beat: Moments  # radians: the phase of that

    def scaled(self, factor: float) -> "Drift":
        """The same, farther or less far."""
        return replace(self, x=self.x * factor, y=self.y * factor, growth=self.growth * factor)


@dataclass(frozen=True, eq=False)
class Way:
    """Where a thing is at each moment, and in what phase of its gait."""

    x: Moments
    y: Moments
    size: Moments
    angle: Moments
    phase: Moments

    def seen(self, view: Drift, focus: tuple[float, float], depth: float = 1.0) -> "Way":
        """The same thing in a picture that moves as a whole. `depth`: more than 1 where it is nearer than the rest."""
        grown = np.exp(depth * view.growth)
        x = focus[0] + (self.x - focus[0]) * grown + depth * view.x
        y = focus[1] + (self.y - focus[1]) * grown + depth * view.y
        return replace(self, x=x, y=y, size=self.size * grown)


def stand(seconds: Moments, x: float, y: float, size: float, angle: float = 0.0, phase: float = 0.0) -> Way:
    """A thing that stays."""
    return Way(*(np.full(len(seconds), value) for value in (x, y, size, angle, phase)))


def nothing(seconds: Moments) -> Drift:
    return Drift(*[np.zeros(len(seconds))] * 5)


def random_way(rng: np.random.Generator) -> float:
    """How far something goes in a clip."""
    return _log_uniform(rng, LEAST_WAY, LONGEST_WAY)


def drift(label: str, seconds: Moments, rng: np.random.Generator, length: float | None = None) -> Drift:
    """A drift of this label. `length`: how far left, right, up and down go; None: any."""
    if label in DIRECTIONS:
        return _straight(DIRECTIONS[label], random_way(rng) if length is None else length, seconds, rng)
    if label in ("approach", "recede"):
        growth = _log_uniform(rng, LEAST_GROWTH, LARGEST_GROWTH) * (1 if label == "approach" else -1)
        return replace(nothing(seconds), growth=growth * (_pace(seconds, rng) - 0.5))
    if label == "wave":
        return _to_and_fro(seconds, rng)
    return nothing(seconds)


def shake(seconds: Moments, rng: np.random.Generator, most: float) -> Drift:
    """Of a camera in a hand or on a pole: never farther than about `most`, and nowhere in particular."""
    grid = np.arange(seconds[0] - 0.1, seconds[-1] + 0.2, 1 / 30)
    paths = []
    for _ in range(2):
        steps = rng.standard_normal(len(grid))
        slow = np.convolve(steps, np.hanning(int(rng.integers(3, 25)) + 2), "same")
        slow /= np.abs(slow).max() + 1e-9
        paths.append(np.interp(seconds, grid, most * slow + rng.choice([0.0, 0.15]) * most * steps))
    zoom = np.interp(seconds, grid, 0.5 * most * np.sin(grid * rng.uniform(0.5, 6) + rng.uniform(0, 6.3)))
    if rng.random() < 0.1:  # a knock
        at, ring = rng.uniform(0, seconds[-1]), rng.uniform(20, 45)
        since = np.clip(seconds - at, 0, None)
        paths[rng.integers(2)] += 2 * most * np.exp(-6 * since) * np.sin(ring * since)
    return replace(nothing(seconds), x=paths[0], y=paths[1], growth=zoom)


def together(one: Drift, other: Drift) -> Drift:
    return replace(one, x=one.x + other.x, y=one.y + other.y, growth=one.growth + other.growth)


def _straight(direction: float, length: float, seconds: Moments, rng: np.random.Generator) -> Drift:
    direction += rng.uniform(-STEEPEST, STEEPEST) * rng.random()
    way = length * (_pace(seconds, rng) - 0.5)
    x, y = way * math.cos(direction), way * math.sin(direction)
    growth = way * rng.normal(0, 0.12)  # hardly anything keeps its distance exactly
    if rng.random() < 0.15:  # bounces, or wavers, across its way
        across = rng.uniform(0.01, 0.08) * length * np.sin(seconds * rng.uniform(2, 12))
        x, y = x - across * math.sin(direction), y + across * math.cos(direction)
    return replace(nothing(seconds), x=x, y=y, growth=np.clip(growth, -0.1, 0.1))


def _to_and_fro(seconds: Moments, rng: np.random.Generator) -> Drift:
    length = float(seconds[-1] - seconds[0])
    frequency = _log_uniform(rng, LEAST_SWINGS / length, FASTEST_SWING_HZ)
    slower = rng.normal(0, 0.04) * seconds**2  # nobody keeps time
    beat = 2 * math.pi * frequency * (seconds + slower) + rng.uniform(0, 2 * math.pi)
    swing = np.sin(beat)
    if rng.random() < 0.3:  # faster in the middle, with a rest at the ends
        swing = np.tanh(2.5 * swing) / math.tanh(2.5)
    amplitude = _log_uniform(rng, LEAST_SWING, LARGEST_SWING) * (1 + 0.15 * np.sin(seconds * rng.uniform(0, 3)))
    upwards = rng.random() < 0.12
    direction = rng.normal(0, 0.2) + (math.pi / 2 if upwards else 0.0)
    x, y = amplitude * swing * math.cos(direction), amplitude * swing * math.sin(direction)
    return replace(nothing(seconds), x=x, y=y, swing=swing, beat=beat)


def _pace(seconds: Moments, rng: np.random.Generator) -> Moments:
    """The share of the way that is gone, 0 to 1. In a third of the clips it begins later or ends sooner than they."""
    length = float(seconds[-1])
    begin, end = 0.0, length
    if rng.random() < 0.35:
        share = rng.uniform(0.55, 0.9) * length
        begin = rng.uniform(0, length - share)
        end = begin + share
    u = np.clip((seconds - begin) / (end - begin), 0, 1)
    kind = rng.random()
    if kind < 0.6:
        return u
    if kind < 0.75:
        return u * u * (3 - 2 * u)
    if kind < 0.9:
        return np.power(u, rng.uniform(0.6, 1.6))
    pause = rng.uniform(0.2, 0.6)
    halting: Moments = np.interp(u, [0, pause, pause + 0.15, 1], [0, pause, pause, 1])
    return halting


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))
