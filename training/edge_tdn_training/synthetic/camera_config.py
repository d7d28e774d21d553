"""The numbers of a camera: lens, light, colours, noise and encoder.

See scene_config.py for the units.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.ranges import Range


@dataclass(frozen=True)
class EncoderConfig:
    """A video encoder: every frame a JPEG, or coarse differences to the frame before between key frames."""

    kind_shares: tuple[float, ...] = (0.35, 0.25, 0.4)  # none, pictures, differences
    min_picture_quality: int = 15  # of JPEG, 1 to 100
    min_difference_quality: int = 30
    max_quality: int = 85
    key_intervals: tuple[int, ...] = (8, 12, 15, 25, 30, 60)  # frames
    skipped: Range = (0.5, 2.5)  # levels of a block's mean difference that are not worth coding
    block_px: int = 8  # side of what is coded, or left as it was


@dataclass(frozen=True)
class LightChangeConfig:
    """Brightness that changes during a clip. Shares are multiplied by the clip's roughness."""

    slow_share: float = 0.2  # clouds
    slow_std: float = 0.25  # natural logarithm, over the clip
    flicker_share: float = 0.25  # from frame to frame
    flicker: Range = (0.003, 0.04)
    switch_share: float = 0.05  # a lamp is switched, and the exposure follows
    switch: Range = (-0.8, 0.6)  # natural logarithm
    recovery_rates: tuple[float, ...] = (0.0, 2.0, 6.0)  # a second, one of these


@dataclass(frozen=True)
class ColourConfig:
    """The camera's response: gamma, white balance, contrast, brightness."""

    gamma_std: float = 0.25  # natural logarithm
    white_balance_std: float = 0.06
    contrast: Range = (0.7, 1.2)
    offset_std: float = 0.05
    dark_share: float = 0.15
    darkness: Range = (0.45, 0.85)


@dataclass(frozen=True)
class NoiseConfig:
    """Sensor noise."""

    weak: Range = (0.3, 2.5)  # levels
    strong: Range = (2.5, 8.0)
    shares: tuple[float, float, float] = (0.25, 0.55, 0.2)  # none, weak, strong; the last times the roughness
    shot: Range = (0.0, 1.0)  # part of the noise that grows with the light
    min_shot: float = 0.3  # less is ignored
    reference_level: float = 128.0  # at which shot noise is as strong as other noise
    colour: Range = (0.0, 0.7)
    grainy_share: float = 0.5
    grain: Range = (0.4, 1.0)  # pixels, standard deviation of the blur
    tile_px: int = 64  # by which the noise is larger than a picture: each frame has another part of it


@dataclass(frozen=True)
class LensConfig:
    """Distortion, lost resolution, vignette, banding and night vision."""

    distorted_share: float = 0.2
    distortion: Range = (-0.18, 0.12)  # pincushion to barrel
    coarse_share: float = 0.2
    coarse: Range = (0.35, 0.8)  # resolution that is left
    band_share: float = 0.06  # dark bands of lamps on the mains; times the roughness
    bands: Range = (0.02, 0.1)  # strength
    band_count: Range = (3.0, 20.0)  # radians over the picture's height
    night_share: float = 0.08  # infrared: grey
    vignette_share: float = 0.25
    vignette: Range = (0.1, 0.35)


@dataclass(frozen=True)
class CameraEffectsConfig:
    """Everything that a camera does to what it sees."""

    lens: LensConfig = field(default_factory=LensConfig)
    light: LightChangeConfig = field(default_factory=LightChangeConfig)
    colours: ColourConfig = field(default_factory=ColourConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
