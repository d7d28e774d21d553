"""What part of a video's picture the network sees: the published crops. The same for all frames of a clip.

To learn: a crop of one of four sizes, its sides at most one size apart, at one of 13 places (corners, middles of the
sides, centre, and half-way from the centre to the corners), and half of the clips mirrored. To judge: what the live
path shows.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.manifest import InputSpec
from edge_tdn.segments.preprocess import Preprocessor

SCALES = (1.0, 0.875, 0.75, 0.66)  # of the picture's short side
MOST_DISTORTION = 1  # sizes that a crop's height and width may lie apart
LARGEST_SHRINK = 1.5  # that two neighbouring pixels tell enough for
NEAR = 3  # pixels: a side so near to the network's own is not resized
QUARTERS = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3))


@dataclass(frozen=True)
class Crop:
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


def random_crop(height: int, width: int, spec: InputSpec, rng: np.random.Generator, flip: bool = True) -> Crop:
    """One for a clip whose pictures are of that size. `flip`: half of them are mirrored.

    With `stretch` the sizes are parts of both sides, for there the live path shows the whole picture.
    """
    short = min(height, width)
    base = (height, width) if spec.resize == "stretch" else (short, short)
    pairs = [(a, b) for a in range(len(SCALES)) for b in range(len(SCALES)) if abs(a - b) <= MOST_DISTORTION]
    a, b = pairs[rng.integers(len(pairs))]
    h, w = (
        own if abs(own - int(side * SCALES[i])) < NEAR else int(side * SCALES[i])
        for own, side, i in ((spec.height, base[0], a), (spec.width, base[1], b))
    )
    h, w = min(h, height), min(w, width)
    row, column = QUARTERS[rng.integers(len(QUARTERS))]
    top, left = row * ((height - h) // 4), column * ((width - w) // 4)
    return Crop(top, left, h, w, bool(flip and rng.random() < 0.5))


def fit(part: NDArray[np.uint8], spec: InputSpec, mirrored: bool) -> NDArray[np.uint8]:
    """A crop's pixels, uint8 [..., h, w, 3] -> the network's size [..., spec.height, spec.width, 3]."""
    height, width = part.shape[-3:-1]
    pictures = part.reshape(-1, height, width, 3)
    out = np.empty((len(pictures), spec.height, spec.width, 3), np.uint8)
    aliases = min(height / spec.height, width / spec.width) > LARGEST_SHRINK
    how = cv2.INTER_AREA if aliases else cv2.INTER_LINEAR
    for picture, into in zip(pictures, out, strict=True):
        whole = (height, width) == (spec.height, spec.width)
        fitted = picture if whole else cv2.resize(picture, (spec.width, spec.height), interpolation=how)
        into[:] = cv2.flip(fitted, 1) if mirrored else fitted
    return out.reshape(*part.shape[:-3], spec.height, spec.width, 3)


def centre(frames: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """uint8 [..., H, W, 3], the short side as `decoded_short_side` says -> [..., spec.height, spec.width, 3].

    Of a centre crop, pixel for pixel what `edge_tdn.segments.preprocess` makes of the video's own pictures.
    """
    height, width = frames.shape[-3:-1]
    if spec.resize == "short_side_centre_crop":
        top, left = round((height - spec.height) / 2), round((width - spec.width) / 2)
        return np.ascontiguousarray(frames[..., top : top + spec.height, left : left + spec.width, :])
    pictures = frames.reshape(-1, height, width, 3)
    stretch = Preprocessor(spec)
    stretched = np.stack([stretch(picture) for picture in pictures])
    return stretched.reshape(*frames.shape[:-3], spec.height, spec.width, 3)


def decoded_short_side(spec: InputSpec) -> int:
    """The short side that videos are decoded at: the published 256 for pictures of 224."""
    return spec.short_side or round(max(spec.height, spec.width) * 256 / 224)
