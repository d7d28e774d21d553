"""Generated clips of the shipped model `motion`: unlimited, seeded, labelled by what moves in them, and where.

A clip is drawn as a camera would film it (its own picture size, frame rate, noise and encoder) and then resampled and
resized as in the live path. director.py decides what happens in it; things.py draws the things, backgrounds.py what is
behind them, and camera_effects.py what the camera does to the picture. motions.py defines what a label means. The
numbers of all of these are those of a `SceneConfig`.

In short, a label describes the contents of the picture, not the camera. A camera that pans to the right shows contents
that go left: `left`.

Left out, because people would not agree either: a camera that follows a thing, things that meet, and a person who
comes straight to a camera high above, and so moves down as much as it grows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_tdn.demo.scene import MOTIONS
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Picture
from edge_tdn.segments.preprocess import Preprocessor
from edge_tdn_training.synthetic.camera_effects import CameraEffects
from edge_tdn_training.synthetic.director import SIDES, Director, Stage
from edge_tdn_training.synthetic.motions import OPPOSITE
from edge_tdn_training.synthetic.scene_config import RecordingConfig, SceneConfig
from edge_tdn_training.synthetic.scenes import ClipScene

SPEC = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15.0, segment_stride=4)  # as shipped
HELD_OUT = 1 << 32  # clips of this number and above are never trained on
SEEDS = 256  # each has clips of its own
CLIPS_PER_SEED = HELD_OUT // SEEDS
DEFAULT_SCENES = SceneConfig()


@dataclass(frozen=True)
class LabelledClip:
    """A clip and its label."""

    frames: NDArray[np.uint8]  # [T, InputSpec.frames, H, W, 3], RGB
    label: int  # index into MOTIONS


def generate_clip(
    seed: int, spec: InputSpec, photos: Sequence[Picture] = (), config: SceneConfig = DEFAULT_SCENES
) -> LabelledClip:
    """Return clip number `seed`: the same one every time.

    `photos`: pictures (uint8 RGB) for backgrounds and surfaces.
    """
    own = config.recording
    rng = np.random.default_rng(seed)
    label = MOTIONS[rng.choice(len(MOTIONS), p=own.label_shares)]
    height, width = _picture_size(rng, spec, own)
    rate = own.frame_rates[rng.integers(len(own.frame_rates))]
    grid = np.round((np.arange(spec.ticks) / spec.frame_rate + rng.uniform(0, 1 / rate)) * rate)
    numbers, frame_of = np.unique(grid, return_inverse=True)  # the camera's frame nearest to each tick
    seconds = (numbers - numbers[0]) / rate
    blurred = own.blur_moments if rng.random() < own.blur_share else 1
    exposure = np.linspace(0, rng.uniform(*own.exposure) / rate, blurred)
    stage = Stage((seconds[:, None] + exposure).ravel(), height, width, photos)
    scene = Director(rng, label, stage, config).scene()
    roughness = own.still_roughness if label == "still" else 1.0
    camera = CameraEffects(rng, height, width, seconds, roughness, config.camera)
    resize = Preprocessor(spec)
    frames = [resize(camera(n, _exposed(scene, n, blurred, height, width))) for n in range(len(seconds))]
    return LabelledClip(np.stack(frames)[frame_of[spec.grid]], MOTIONS.index(label))


def views(one: LabelledClip, count: int) -> list[LabelledClip]:
    """Return a clip in 1, 2 or 4 views, each with its true label: as it is, mirrored; both played backwards.

    Clips that show the same things and differ in their motion only can be distinguished by their motion only.
    """
    seen = [one, LabelledClip(one.frames[..., ::-1, :], _label(one, SIDES))]
    backwards = [LabelledClip(clip.frames[::-1, ::-1], _label(clip, OPPOSITE)) for clip in seen]
    return (seen + backwards)[:count]


def _label(one: LabelledClip, turned: Iterable[str]) -> int:
    """Return the opposite label, if the clip's is among those that are turned."""
    label = MOTIONS[one.label]
    return MOTIONS.index(OPPOSITE[label]) if label in turned else one.label


def _picture_size(rng: np.random.Generator, spec: InputSpec, config: RecordingConfig) -> tuple[int, int]:
    """Return a random height and width in pixels."""
    aspect = config.aspects[rng.integers(len(config.aspects))]
    shorter = rng.uniform(*config.sharpness) * max(spec.height, spec.width)
    shorter /= max(aspect, 1 / aspect) ** 0.5  # so that all take about the same time
    return round(shorter / min(aspect, 1)), round(shorter * max(aspect, 1))


def _exposed(scene: ClipScene, number: int, blurred: int, height: int, width: int) -> Picture:
    """Return a frame: the mean of `blurred` moments."""
    pictures = [scene.draw(number * blurred + k, height, width) for k in range(blurred)]
    if blurred == 1:
        return pictures[0]
    blended: Picture = np.stack(pictures).mean(0, np.float32).astype(np.uint8)
    return blended
