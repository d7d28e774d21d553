"""Clips that teach the shipped `motion` model what moves, and where: generated, unlimited, seeded.

A clip is drawn as a camera would give it (its own picture size, frame rate, noise and encoder) and then goes through
the same resampling and resizing as the live path. What happens in it is decided in scenes.py, of things.py before
backdrops.py, seen through camera.py. What a label means is said in moves.py, and real_crops.py follows the same rule.
In short: of the picture's contents, not of the camera. A camera that pans to the right shows contents that go left:
`left`.

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
from edge_tdn_training.synthetic.camera_effects import Camera
from edge_tdn_training.synthetic.motions import OPPOSITE
from edge_tdn_training.synthetic.scenes import SIDES, Director, Scene

SHARES = (0.2, *[0.8 / 7] * 7)  # of the labels: still is what a camera sees most of the time
ASPECTS = (4 / 3, 4 / 3, 16 / 9, 16 / 9, 16 / 9, 1.0, 3 / 4, 9 / 16)  # width to height
SHARPNESS = (1.05, 1.7)  # the picture's shorter side, in sides of what the network sees
CAMERA_RATES = (8.0, 10.0, 12.5, 15.0, 20.0, 24.0, 25.0, 25.0, 30.0, 30.0)  # frames a second
SPEC = InputSpec(segments=8, height=96, width=96, resize="stretch", frame_rate=15.0, segment_stride=4)  # what ships
HELD_OUT = 1 << 32  # numbers from here on are never learnt from


@dataclass(frozen=True)
class Lesson:
    frames: NDArray[np.uint8]  # [T, InputSpec.frames, H, W, 3], RGB
    label: int  # index into MOTIONS


def lesson(seed: int, spec: InputSpec, photos: Sequence[Picture] = ()) -> Lesson:
    """Clip number `seed`: the same one every time. `photos`: pictures (uint8 RGB) for backdrops and surfaces."""
    rng = np.random.default_rng(seed)
    label = MOTIONS[rng.choice(len(MOTIONS), p=SHARES)]
    height, width = _picture_size(rng, spec)
    rate = CAMERA_RATES[rng.integers(len(CAMERA_RATES))]
    grid = np.round((np.arange(spec.ticks) / spec.frame_rate + rng.uniform(0, 1 / rate)) * rate)
    numbers, frame_of = np.unique(grid, return_inverse=True)  # the camera's frame nearest to each tick
    seconds = (numbers - numbers[0]) / rate
    blurred = 3 if rng.random() < 0.3 else 1  # moments that one exposure is the mean of
    exposure = np.linspace(0, rng.uniform(0.3, 0.9) / rate, blurred)
    scene = Director(rng, label, (seconds[:, None] + exposure).ravel(), height, width, photos).scene()
    camera = Camera(rng, height, width, seconds, rough=2.5 if label == "still" else 1.0)
    resize = Preprocessor(spec)
    frames = [resize(camera(n, _exposed(scene, n, blurred, height, width))) for n in range(len(seconds))]
    return Lesson(np.stack(frames)[frame_of[spec.grid]], MOTIONS.index(label))


def views(one: Lesson, count: int) -> list[Lesson]:
    """One clip seen in 1, 2 or 4 ways, each with the label that is true of it: as it is, mirrored; both backwards.

    What shows the same things and differs in nothing but its motion has to be told apart by its motion.
    """
    seen = [one, Lesson(one.frames[..., ::-1, :], _label(one, SIDES))]
    backwards = [Lesson(clip.frames[::-1, ::-1], _label(clip, OPPOSITE)) for clip in seen]
    return (seen + backwards)[:count]


def _label(one: Lesson, turned: Iterable[str]) -> int:
    """Its opposite, where it is one of those that are turned."""
    label = MOTIONS[one.label]
    return MOTIONS.index(OPPOSITE[label]) if label in turned else one.label


def _picture_size(rng: np.random.Generator, spec: InputSpec) -> tuple[int, int]:
    aspect = ASPECTS[rng.integers(len(ASPECTS))]
    shorter = rng.uniform(*SHARPNESS) * max(spec.height, spec.width)
    shorter /= max(aspect, 1 / aspect) ** 0.5  # all of about the same cost
    return round(shorter / min(aspect, 1)), round(shorter * max(aspect, 1))


def _exposed(scene: Scene, number: int, blurred: int, height: int, width: int) -> Picture:
    pictures = [scene.draw(number * blurred + k, height, width) for k in range(blurred)]
    if blurred == 1:
        return pictures[0]
    blended: Picture = np.stack(pictures).mean(0, np.float32).astype(np.uint8)
    return blended
