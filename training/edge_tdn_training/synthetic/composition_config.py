"""The numbers of compositions: what is in a clip, how many of them, how large and where.

See scene_config.py for the units.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.ranges import IntRange, Range


@dataclass(frozen=True)
class WholePictureConfig:
    """Clips whose whole picture moves, because the camera pans, tilts, zooms or is swung."""

    shares: tuple[tuple[str, float], ...] = (("approach", 0.4), ("recede", 0.4), ("wave", 0.25), ("still", 0.0))
    other_share: float = 0.35  # of the labels that `shares` does not name
    ground: float = 1.8  # size of the background, in pictures
    focus: float = 0.5
    focus_std: float = 0.1
    other_counts: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)  # shares of 0, 1, ... things that move otherwise
    other_size: Range = (0.1, 0.3)
    other_way: Range = (0.1, 0.5)  # relative to what a label promises
    gesture_share: float = 0.3  # a person who waves; in front of a fixed camera that would be "wave"
    gesture_size: Range = (0.4, 1.3)
    near_counts: tuple[float, ...] = (0.6, 0.3, 0.1)  # near things that stand
    near_depth: Range = (1.0, 1.6)
    near_size: Range = (0.15, 0.6)


@dataclass(frozen=True)
class MovingConfig:
    """Clips in which a thing moves, perhaps with others that do the same."""

    ground: float = 1.15  # size of the background, in pictures
    min_spread: float = 0.09  # what a thing grows or shrinks by, in its middle size
    size: Range = (0.17, 0.9)
    max_tries: int = 5  # for a thing that contrasts with what it hides
    min_contrast: float = 26.0  # grey levels on average: below, people do not see it either
    company_share: float = 0.2  # clips with more things of the same motion
    company: IntRange = (1, 3)
    other_counts: tuple[float, ...] = (0.6, 0.3, 0.1)  # smaller things that move otherwise
    other_size: Range = (0.2, 0.45)  # relative to the thing
    min_other_size: float = 0.04
    other_way: Range = (0.1, 0.8)  # relative to the shortest way of a label
    occluder_share: float = 0.25  # clips in which something hides the thing for a moment
    occluder_size: Range = (0.3, 0.7)  # relative to the thing
    faces_motion_share: float = 0.85  # things that go sideways and show their side
    forwards_share: float = 0.7  # of these: the others go backwards
    faces_camera_share: float = 0.6  # things that approach or recede
    walker_scale: float = 1.5  # people and animals are taller than other things
    max_walker_size: float = 1.4
    walking_speed: Range = (0.5, 1.8)  # own heights per second
    step_length: Range = (0.6, 1.2)  # own heights a full cycle of the gait
    step_rate_hz: Range = (0.6, 1.3)  # where the way does not fix it
    x: Range = (0.2, 0.8)  # place in the middle of the way, of the picture's width
    y: Range = (0.25, 0.75)
    upright_tilt_std: float = 0.03
    tilted_share: float = 0.6  # things that are not upright, at any angle
    spinning_share: float = 0.35  # of these
    spin_std: float = 1.5  # radians per second
    focus_std: float = 0.12  # the point that a thing grows from, in its own sizes from its middle
    upright_focus: Range = (-0.6, 0.3)  # things on the ground grow from the horizon
    other_focus: Range = (-0.3, 0.3)
    head_room: float = 0.1  # a person who approaches keeps the head in the picture, if possible
    max_y: float = 0.9


@dataclass(frozen=True)
class WaveConfig:
    """Clips of the label "wave": a person, a hand, or a thing that is moved or turned to and fro."""

    person_until: float = 0.3  # a random number below: a person who waves
    hand_until: float = 0.6  # below: a hand, or a thing that is turned; otherwise a thing that is moved
    person_size: Range = (0.7, 1.7)
    hand_size: Range = (0.35, 1.0)
    hand_share: float = 0.7  # otherwise any thing
    turn: Range = (0.2, 0.6)
    turn_std: float = 0.2
    moved: Range = (0.0, 0.4)  # of the wave's way
    hand_x: Range = (0.2, 0.8)
    hand_y: Range = (0.3, 0.8)
    max_size: float = 0.8
    person_x: Range = (0.25, 0.75)
    person_y: float = 0.5
    person_below: float = 0.25  # of the person's size, times `person_below_range`, below the middle
    person_below_range: Range = (0.3, 1.0)
    person_sway: float = 0.05  # of the wave's way


@dataclass(frozen=True)
class StillConfig:
    """Clips in which nothing moves from its place: but things sway, turn, blink, and tiny ones move."""

    ground: float = 1.1  # size of the background, in pictures
    standing_counts: tuple[float, ...] = (0.4, 0.4, 0.2)
    standing_size: Range = (0.15, 1.1)
    idle_share: float = 0.25  # a person who stands and cannot quite keep still
    idle_size: Range = (0.2, 1.1)
    idle_phase: float = 0.2
    idle_way: float = 0.02
    foliage_share: float = 0.25  # leaves, a curtain
    foliage: IntRange = (1, 5)
    foliage_size: Range = (0.08, 0.3)
    foliage_sway: float = 0.008
    foliage_sway_y: float = 0.3  # relative to the sway in x
    foliage_turn: float = 6.0  # radians, per sway in x
    lamp_share: float = 0.3  # lamps, clocks
    lamps: IntRange = (1, 4)
    lamp_size: Range = (0.03, 0.15)
    lamp_hz: Range = (0.3, 3.0)
    fan_share: float = 0.08  # a fan, a wheel
    fan_size: Range = (0.04, 0.14)
    fan_speed: Range = (2.0, 25.0)  # radians per second
    tiny_share: float = 0.1  # an insect, a bird, a person far away
    tiny_size: Range = (0.015, 0.04)
    x: Range = (0.1, 0.9)
    y: Range = (0.1, 0.9)


@dataclass(frozen=True)
class CompositionConfig:
    """The contents of a clip: what stands behind, what moves in front of it, and how the camera is held."""

    whole: WholePictureConfig = field(default_factory=WholePictureConfig)
    moving: MovingConfig = field(default_factory=MovingConfig)
    wave: WaveConfig = field(default_factory=WaveConfig)
    still: StillConfig = field(default_factory=StillConfig)
    fixed_until: float = 0.5  # a random number below: the camera does not shake
    slight_until: float = 0.85  # below: it shakes a little
    min_shake: float = 0.001
    slight_shake: float = 0.005  # at most
    strong_shake: float = 0.012  # at most
    clutter_counts: tuple[float, ...] = (0.35, 0.25, 0.2, 0.1, 0.1)  # shares of 0, 1, ... things in the background
    clutter_size: Range = (0.08, 0.6)
    standing_tilt_std: float = 0.3
    standing_place: Range = (0.05, 0.95)
    min_sprite_px: int = 16  # side of a sprite
    max_sprite_px: int = 160
