"""The numbers of things: proportions, looks and gaits of people, animals, cars, hands, lamps and shapes.

See scene_config.py for the units.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.ranges import IntRange, Range


@dataclass(frozen=True)
class SurfaceConfig:
    """The surface of a sprite: texture, pattern and light."""

    texture_slope: Range = (0.3, 1.3)
    pattern_share: float = 0.3  # striped or chequered cloth
    pattern_rate: Range = (0.2, 0.9)  # radians a pixel
    pattern: Range = (0.05, 0.2)
    across_share: float = 0.5  # stripes in this direction
    light_std: float = 0.12
    darkening: float = 0.1
    shadows: tuple[int, ...] = (0, 60, 120)  # opacity of a shadow on the ground, one of these


@dataclass(frozen=True)
class PersonConfig:
    """A person: proportions, clothes and gait. Sizes are fractions of the sprite's side."""

    skin: tuple[int, int, int] = (232, 190, 160)
    skin_brightness: Range = (0.3, 1.05)
    bulk: Range = (0.8, 1.5)
    stride: Range = (0.3, 0.75)  # radians to either side
    arm_swing: Range = (0.1, 0.9)  # relative to the stride
    arm_swing_share: float = 0.85  # people whose arms swing
    bare_arms_share: float = 0.3
    coat_share: float = 0.3
    coat: Range = (0.1, 0.3)  # its length below the hip
    bag_share: float = 0.25
    lean_std: float = 0.04
    walking_lean: float = 0.05
    wave_height: Range = (1.9, 2.9)  # of the arm that waves, radians from straight down
    wave_swing: Range = (0.35, 0.8)
    standing_pose: Range = (-0.3, 0.3)
    texture: Range = (0.0, 0.25)
    waving_scale: float = 0.8  # a person whose arm is up is drawn smaller
    hip_height: float = 0.52  # from the top
    torso: float = 0.3
    leg: tuple[float, float] = (0.23, 0.23)  # thigh and shin
    arm: tuple[float, float] = (0.16, 0.15)  # upper arm and forearm
    waving_arm: tuple[float, float] = (0.17, 0.2)
    knee_bend: float = 1.4  # relative to the stride
    elbow_bend: float = 0.3
    far_light: float = 0.75  # brightness of the limbs on the far side


@dataclass(frozen=True)
class AnimalConfig:
    """An animal on four legs, from the side."""

    length: Range = (0.4, 0.6)
    height: Range = (0.16, 0.28)
    leg: Range = (0.14, 0.26)  # each of its two parts
    stride: Range = (0.3, 0.7)
    neck: Range = (0.05, 0.25)
    texture: Range = (0.0, 0.35)
    far_light: float = 0.7
    knee_bend: float = 0.9  # relative to the stride


@dataclass(frozen=True)
class CarConfig:
    """A car, from the side, from the front or from above."""

    tyre_darkness: float = 0.25
    glass: Range = (20.0, 160.0)
    cabin: Range = (0.22, 0.34)  # height of the cabin
    van_share: float = 0.35
    headlight_share: float = 0.5  # otherwise tail lights
    headlight: tuple[int, int, int] = (255, 250, 220)
    tail_light: tuple[int, int, int] = (220, 30, 30)
    texture: Range = (0.0, 0.12)
    top_width: Range = (0.18, 0.24)  # half of the width, from above
    top_height: float = 0.48  # half of the length, from above
    top_glass: Range = (15.0, 110.0)
    top_headlight: tuple[int, int, int] = (230, 225, 200)
    top_tail_light: tuple[int, int, int] = (190, 30, 30)


@dataclass(frozen=True)
class ShapeConfig:
    """A polygon, box, blob, ball or rod, with the surface of any background."""

    oval_until: float = 0.25  # a random number below: an oval
    box_until: float = 0.5  # below: a box
    polygon_until: float = 0.75  # below: a polygon; otherwise a blob
    oval: float = 0.94
    flat_share: float = 0.6  # ovals that are flat
    flatness: Range = (0.4, 1.0)
    box_width: Range = (0.12, 0.47)  # half of the shorter side
    box_height: float = 0.47
    upright_share: float = 0.5
    corners: IntRange = (3, 10)
    corner_shift: Range = (-0.35, 0.35)
    radii: Range = (0.3, 0.48)
    blob_points: int = 60
    blob_waves: int = 6
    blob_std: float = 0.3
    blob_radius: float = 0.48


@dataclass(frozen=True)
class HandConfig:
    """A hand with fingers that are more or less spread, and an arm that comes from below."""

    arm_shift_std: float = 0.05
    arm_width: Range = (0.14, 0.24)
    spread: Range = (0.05, 0.3)  # radians between two fingers
    finger: Range = (0.32, 0.42)
    stretched_share: float = 0.9  # fingers that are not bent
    bent_finger: float = 0.2
    thumb: Range = (0.22, 0.32)
    texture: float = 0.15
    sleeve: Range = (0.75, 1.0)  # where the sleeve begins


@dataclass(frozen=True)
class LampConfig:
    """A light that blinks, or a clock whose digits change."""

    bright: Range = (130.0, 255.0)
    dark: Range = (0.0, 120.0)
    light_share: float = 0.5  # otherwise a clock
    size: float = 0.9


@dataclass(frozen=True)
class ThingConfig:
    """Everything that can move."""

    shares: tuple[float, ...] = (0.36, 0.06, 0.12, 0.05, 0.08, 0.33)  # person, animal, car, from above, hand, shape
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    person: PersonConfig = field(default_factory=PersonConfig)
    animal: AnimalConfig = field(default_factory=AnimalConfig)
    car: CarConfig = field(default_factory=CarConfig)
    shape: ShapeConfig = field(default_factory=ShapeConfig)
    hand: HandConfig = field(default_factory=HandConfig)
    lamp: LampConfig = field(default_factory=LampConfig)
