"""The motion of things and cameras, by label: the only place that defines what a label means.

Positions and distances are fractions of the picture's width (x) and height (y), sizes fractions of its height, angles
radians, times seconds; y grows downwards. The numbers are those of `MotionConfig`.

    left, right, up, down   the contents go that way, by at least way[0] in the clip, at most max_angle off (26 degrees)
    approach, recede        the contents grow or shrink, by growth[0] at least, from a point on or near the thing
    wave                    to and fro, min_swings times at least, mostly sideways: a thing, a part of it, the picture
    still                   none of these; what moves in its place moves less than way[0] / 5, or is tiny

All labels describe the picture, not the camera: a camera that pans to the right shows contents that go left, and that
is `left`. One that zooms in is `approach`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_tdn_training.synthetic.motion_config import MotionConfig, PaceConfig, ShakeConfig
from edge_tdn_training.synthetic.ranges import ANY_PHASE, Range

OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "approach": "recede", "recede": "approach"}
DIRECTIONS = {"left": math.pi, "right": 0.0, "up": -math.pi / 2, "down": math.pi / 2}

Moments = NDArray[np.float64]  # one number for each moment of a clip


@dataclass(frozen=True, eq=False)
class Drift:
    """The displacement of the contents at each moment; all zero in the middle of the way."""

    x: Moments
    y: Moments
    growth: Moments  # natural logarithm of size
    swing: Moments  # -1 to 1, where something goes to and fro
    beat: Moments  # radians: the phase of the swing

    def scaled(self, factor: float) -> "Drift":
        """Return the same drift, `factor` times as far."""
        return replace(self, x=self.x * factor, y=self.y * factor, growth=self.growth * factor)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The place, size, angle and phase of the gait of a thing at each moment."""

    x: Moments
    y: Moments
    size: Moments
    angle: Moments
    phase: Moments

    def seen(self, view: Drift, focus: tuple[float, float], depth: float = 1.0) -> "Trajectory":
        """Return the trajectory in a picture that moves as a whole, growing from `focus`.

        `depth`: 1 for a thing as far away as the background, more for a nearer one.
        """
        grown = np.exp(depth * view.growth)
        x = focus[0] + (self.x - focus[0]) * grown + depth * view.x
        y = focus[1] + (self.y - focus[1]) * grown + depth * view.y
        return replace(self, x=x, y=y, size=self.size * grown)


def standing(seconds: Moments, x: float, y: float, size: float, angle: float = 0.0, phase: float = 0.0) -> Trajectory:
    """Return the trajectory of a thing that stays where it is."""
    return Trajectory(*(np.full(len(seconds), value) for value in (x, y, size, angle, phase)))


def no_drift(seconds: Moments) -> Drift:
    """Return the drift of contents that stay where they are."""
    return Drift(*[np.zeros(len(seconds))] * 5)


def drift(
    label: str, seconds: Moments, rng: np.random.Generator, config: MotionConfig, length: float | None = None
) -> Drift:
    """Return a random drift of this label. `length`: distance of left, right, up and down; None: a random one."""
    if label in DIRECTIONS:
        distance = _log_uniform(rng, config.way) if length is None else length
        return _straight(DIRECTIONS[label], distance, seconds, rng, config)
    if label in ("approach", "recede"):
        growth = _log_uniform(rng, config.growth) * (1 if label == "approach" else -1)
        return replace(no_drift(seconds), growth=growth * (_pace(seconds, rng, config.pace) - 0.5))
    if label == "wave":
        return _to_and_fro(seconds, rng, config)
    return no_drift(seconds)


def shake(seconds: Moments, rng: np.random.Generator, limit: float, config: ShakeConfig) -> Drift:
    """Return the drift of a camera in a hand or on a pole: about `limit` at most, in no direction in particular."""
    grid = np.arange(seconds[0] - config.margin_before_s, seconds[-1] + config.margin_after_s, 1 / config.rate_hz)
    paths = []
    for _ in range(2):
        steps = rng.standard_normal(len(grid))
        slow = np.convolve(steps, np.hanning(int(rng.integers(*config.smoothing)) + 2), "same")
        slow /= np.abs(slow).max() + 1e-9
        paths.append(np.interp(seconds, grid, limit * slow + rng.choice(config.jitters) * limit * steps))
    turn = rng.uniform(*config.zoom_rate)
    zoom = np.interp(seconds, grid, config.zoom * limit * np.sin(grid * turn + rng.uniform(*ANY_PHASE)))
    if rng.random() < config.jolt_share:
        at, ring = rng.uniform(0, seconds[-1]), rng.uniform(*config.jolt_rate)
        since = np.clip(seconds - at, 0, None)
        jolt = config.jolt * limit * np.exp(-config.jolt_decay * since) * np.sin(ring * since)
        paths[rng.integers(2)] += jolt
    return replace(no_drift(seconds), x=paths[0], y=paths[1], growth=zoom)


def together(one: Drift, other: Drift) -> Drift:
    """Return the sum of two drifts, with the swing of the first."""
    return replace(one, x=one.x + other.x, y=one.y + other.y, growth=one.growth + other.growth)


def _straight(
    direction: float, length: float, seconds: Moments, rng: np.random.Generator, config: MotionConfig
) -> Drift:
    direction += rng.uniform(-config.max_angle, config.max_angle) * rng.random()
    way = length * (_pace(seconds, rng, config.pace) - 0.5)
    x, y = way * math.cos(direction), way * math.sin(direction)
    growth = way * rng.normal(0, config.growth_per_way_std)
    if rng.random() < config.waver_share:
        across = rng.uniform(*config.waver) * length * np.sin(seconds * rng.uniform(*config.waver_rate))
        x, y = x - across * math.sin(direction), y + across * math.cos(direction)
    limited = np.clip(growth, -config.max_side_growth, config.max_side_growth)
    return replace(no_drift(seconds), x=x, y=y, growth=limited)


def _to_and_fro(seconds: Moments, rng: np.random.Generator, config: MotionConfig) -> Drift:
    length = float(seconds[-1] - seconds[0])
    frequency = _log_uniform(rng, (config.min_swings / length, config.max_swing_hz))
    slower = rng.normal(0, config.tempo_std) * seconds**2
    beat = 2 * math.pi * frequency * (seconds + slower) + rng.uniform(0, 2 * math.pi)
    swing = np.sin(beat)
    if rng.random() < config.rest_share:
        swing = np.tanh(config.rest_sharpness * swing) / math.tanh(config.rest_sharpness)
    change = config.swing_change
    amplitude = _log_uniform(rng, config.swing) * (
        1 + change * np.sin(seconds * rng.uniform(*config.swing_change_rate))
    )
    upright = rng.random() < config.upright_wave_share
    direction = rng.normal(0, config.wave_angle_std) + (math.pi / 2 if upright else 0.0)
    x, y = amplitude * swing * math.cos(direction), amplitude * swing * math.sin(direction)
    return replace(no_drift(seconds), x=x, y=y, swing=swing, beat=beat)


def _pace(seconds: Moments, rng: np.random.Generator, config: PaceConfig) -> Moments:
    """Return the share of the way that is done at each moment, from 0 to 1."""
    length = float(seconds[-1])
    begin, end = 0.0, length
    if rng.random() < config.partial_share:
        share = rng.uniform(*config.partial_length) * length
        begin = rng.uniform(0, length - share)
        end = begin + share
    u = np.clip((seconds - begin) / (end - begin), 0, 1)
    kind = rng.random()
    if kind < config.even_until:
        return u
    if kind < config.smooth_until:
        return u * u * (3 - 2 * u)
    if kind < config.power_until:
        return np.power(u, rng.uniform(*config.power))
    pause = rng.uniform(*config.pause_at)
    halting: Moments = np.interp(u, [0, pause, pause + config.pause_length, 1], [0, pause, pause, 1])
    return halting


def _log_uniform(rng: np.random.Generator, range_: Range) -> float:
    low, high = range_
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))
