"""The numbers of motions: how far, how fast and how evenly the contents of a picture move.

See scene_config.py for the units.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.ranges import IntRange, Range


@dataclass(frozen=True)
class ShakeConfig:
    """A camera in a hand or on a pole."""

    rate_hz: float = 30.0  # of the positions that are drawn; the moments lie between them
    margin_before_s: float = 0.1
    margin_after_s: float = 0.2
    smoothing: IntRange = (3, 25)  # positions that are smoothed together
    jitters: tuple[float, ...] = (0.0, 0.15)  # unsmoothed part, one of these
    zoom: float = 0.5  # of the shake, as growth
    zoom_rate: Range = (0.5, 6.0)  # radians per second
    jolt_share: float = 0.1
    jolt: float = 2.0  # its height, in shakes
    jolt_rate: Range = (20.0, 45.0)  # radians per second
    jolt_decay: float = 6.0  # a second


@dataclass(frozen=True)
class PaceConfig:
    """The speed along the way: all of the clip or a part of it, evenly, with acceleration, or with a pause."""

    partial_share: float = 0.35  # motions that begin later or end sooner than the clip
    partial_length: Range = (0.55, 0.9)  # of the clip
    even_until: float = 0.6  # a random number below: constant speed
    smooth_until: float = 0.75  # below: slow at both ends
    power_until: float = 0.9  # below: accelerating or braking; otherwise with a pause
    power: Range = (0.6, 1.6)
    pause_at: Range = (0.2, 0.6)  # of the time
    pause_length: float = 0.15  # of the time


@dataclass(frozen=True)
class MotionConfig:
    """The motions that labels promise. Distances are fractions of the picture's width (x) and height (y)."""

    way: Range = (0.1, 1.1)  # left, right, up, down
    growth: Range = (0.2, 1.4)  # approach, recede: natural logarithm of size, over the clip
    swing: Range = (0.035, 0.2)  # wave: half of the way to and fro
    min_swings: float = 1.5  # wave: to and fro, in a clip
    max_swing_hz: float = 2.6
    max_angle: float = 0.45  # off the pure direction
    growth_per_way_std: float = 0.12  # hardly anything keeps its distance exactly
    max_side_growth: float = 0.1
    waver_share: float = 0.15  # things that bounce or waver across their way
    waver: Range = (0.01, 0.08)  # of the way
    waver_rate: Range = (2.0, 12.0)  # radians per second
    tempo_std: float = 0.04  # a wave gets faster or slower
    rest_share: float = 0.3  # waves that are faster in the middle, with a rest at the ends
    rest_sharpness: float = 2.5
    swing_change: float = 0.15  # of a wave's amplitude
    swing_change_rate: Range = (0.0, 3.0)  # radians per second
    upright_wave_share: float = 0.12  # up and down instead of sideways
    wave_angle_std: float = 0.2
    pace: PaceConfig = field(default_factory=PaceConfig)
    shake: ShakeConfig = field(default_factory=ShakeConfig)
