"""The numbers of the generated clips: how likely each thing is, how large, how fast, how bright.

A `Range` is drawn from evenly, a `..._share` is a probability, a `..._std` is the standard deviation of a normal
distribution around 0 (or around what the name says). Lengths are fractions of the picture's height unless their name
says otherwise, within a sprite fractions of its side; angles are radians, times seconds, levels grey levels from 0 to
255. Outlines, such as the corners of a car, stay beside the lines of code that draw them.

The defaults are the generator of the shipped model. With other values a number gives another clip: then increase
`GENERATOR` in dataset.py, so that no run is resumed with other clips than it began with.
"""

from dataclasses import dataclass, field

from edge_tdn_training.synthetic.background_config import BackgroundConfig
from edge_tdn_training.synthetic.camera_config import CameraEffectsConfig
from edge_tdn_training.synthetic.composition_config import CompositionConfig
from edge_tdn_training.synthetic.motion_config import MotionConfig
from edge_tdn_training.synthetic.ranges import Range
from edge_tdn_training.synthetic.thing_config import ThingConfig


@dataclass(frozen=True)
class RecordingConfig:
    """The camera's picture size, frame rate and exposure."""

    label_shares: tuple[float, ...] = (0.2, *[0.8 / 7] * 7)  # of MOTIONS; "still" is what a camera sees most
    aspects: tuple[float, ...] = (4 / 3, 4 / 3, 16 / 9, 16 / 9, 16 / 9, 1.0, 3 / 4, 9 / 16)  # width to height
    sharpness: Range = (1.05, 1.7)  # the picture's shorter side, in sides of what the network sees
    frame_rates: tuple[float, ...] = (8.0, 10.0, 12.5, 15.0, 20.0, 24.0, 25.0, 25.0, 30.0, 30.0)  # frames per second
    blur_share: float = 0.3  # clips with motion blur
    blur_moments: int = 3  # moments whose mean is a blurred frame
    exposure: Range = (0.3, 0.9)  # share of a frame's time that the shutter is open
    still_roughness: float = 2.5  # trouble with light and noise in still clips, relative to the others


@dataclass(frozen=True)
class SceneConfig:
    """All numbers of the generated clips."""

    recording: RecordingConfig = field(default_factory=RecordingConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    composition: CompositionConfig = field(default_factory=CompositionConfig)
    background: BackgroundConfig = field(default_factory=BackgroundConfig)
    things: ThingConfig = field(default_factory=ThingConfig)
    camera: CameraEffectsConfig = field(default_factory=CameraEffectsConfig)
