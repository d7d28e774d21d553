"""The part of a video's picture that the network sees: the published crops, the same for all frames of a clip.

Training: a crop of one of four sizes, its sides at most one size apart, at one of 13 places (corners, middles of the
sides, centre, and half-way from the centre to the corners); half of the clips are mirrored. Evaluation: the picture of
the live path.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.manifest import InputSpec
from edge_tdn.segments.preprocess import Preprocessor

SCALES = (1.0, 0.875, 0.75, 0.66)  # sizes of a crop, of the picture's short side
MAX_DISTORTION = 1  # sizes that a crop's height and width may lie apart
MAX_LINEAR_SHRINK = 1.5  # a crop that shrinks more is resized by area, so that it does not alias
NEAR_PX = 3  # a side this near to the network's own is not resized
PLACES = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))
#         row and column, in quarters of the room that a crop has


@dataclass(frozen=True)
class ClipCrop:
    """A part of a picture, in pixels, and whether it is mirrored."""

    top: int
    left: int
    height: int
    width: int
    mirrored: bool = False

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def random_crop(height: int, width: int, spec: InputSpec, rng: np.random.Generator, flip: bool = True) -> ClipCrop:
    """Return a random crop of pictures of this size, for one clip. `flip`: mirror half of the crops.

    With the resize rule `stretch` the sizes are shares of both sides, since the live path shows the whole picture.
    """
    short = min(height, width)
    base = (height, width) if spec.resize == "stretch" else (short, short)
    pairs = [(a, b) for a in range(len(SCALES)) for b in range(len(SCALES)) if abs(a - b) <= MAX_DISTORTION]
    a, b = pairs[rng.integers(len(pairs))]
    h, w = (
        own if abs(own - int(side * SCALES[i])) < NEAR_PX else int(side * SCALES[i])
        for own, side, i in ((spec.height, base[0], a), (spec.width, base[1], b))
    )
    h, w = min(h, height), min(w, width)
    row, column = PLACES[rng.integers(len(PLACES))]
    top, left = row * ((height - h) // 4), column * ((width - w) // 4)
    return ClipCrop(top, left, h, w, bool(flip and rng.random() < 0.5))


def resize_crop(part: NDArray[np.uint8], spec: InputSpec, mirrored: bool) -> NDArray[np.uint8]:
    """Resize a crop's pixels to the network's size: uint8 [..., h, w, 3] -> [..., spec.height, spec.width, 3]."""
    height, width = part.shape[-3:-1]
    pictures = part.reshape(-1, height, width, 3)
    out = np.empty((len(pictures), spec.height, spec.width, 3), np.uint8)
    aliases = min(height / spec.height, width / spec.width) > MAX_LINEAR_SHRINK
    interpolation = cv2.INTER_AREA if aliases else cv2.INTER_LINEAR
    for picture, target in zip(pictures, out, strict=True):
        fits = (height, width) == (spec.height, spec.width)
        resized = picture if fits else cv2.resize(picture, (spec.width, spec.height), interpolation=interpolation)
        target[:] = cv2.flip(resized, 1) if mirrored else resized
    return out.reshape(*part.shape[:-3], spec.height, spec.width, 3)


def centre_crop(frames: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Return the network's picture: uint8 [..., H, W, 3] -> [..., spec.height, spec.width, 3].

    The short side of `frames` is `decoded_short_side`. A centre crop has the very pixels that
    `edge_tdn.segments.preprocess` makes of the video's own pictures.
    """
    height, width = frames.shape[-3:-1]
    if spec.resize == "short_side_centre_crop":
        top, left = round((height - spec.height) / 2), round((width - spec.width) / 2)
        return np.ascontiguousarray(frames[..., top : top + spec.height, left : left + spec.width, :])
    pictures = frames.reshape(-1, height, width, 3)
    preprocess = Preprocessor(spec)
    resized = np.stack([preprocess(picture) for picture in pictures])
    return resized.reshape(*frames.shape[:-3], spec.height, spec.width, 3)


def decoded_short_side(spec: InputSpec) -> int:
    """Return the short side at which videos are decoded, in pixels: the published 256 for pictures of 224."""
    return spec.short_side or round(max(spec.height, spec.width) * 256 / 224)
