"""Camera pixels -> model pixels, as the manifest's resize rule says. Pure; the live path and `export` share it.

Resized with Pillow's antialiased bilinear filter, because the published sampling does so. OpenCV's area filter costs
two thirds of it, and is 3 grey levels off on average on a textured picture of 1280x720, up to 37.
"""

import numpy as np
from PIL import Image

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Decoded, Picture, Rgbx


class Preprocessor:
    """Pictures of any size -> uint8 RGB [H, W, 3] of the model's size. Keeps room for one picture: one thread's."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._rgbx: Rgbx = np.empty((0, 0, 4), np.uint8)  # as large as the last picture that was decoded

    def __call__(self, picture: Picture) -> Picture:
        """Of uint8 RGB [h, w, 3]."""
        return self._fit(Image.fromarray(picture))

    def decoded(self, picture: Decoded) -> Picture:
        """The same of what a decoder gave. Nothing of the camera's size is allocated or copied."""
        height, width = picture.size
        if self._rgbx.shape[:2] != (height, width):
            self._rgbx = np.empty((height, width, 4), np.uint8)
        picture.rgbx(self._rgbx)
        return self._fit(Image.frombuffer("RGBX", (width, height), self._rgbx, "raw", "RGBX", 0, 1))

    def _fit(self, image: Image.Image) -> Picture:
        spec = self._spec
        if spec.resize == "stretch":
            return _pixels(_resize(image, spec.width, spec.height))
        short = min(image.size)
        width, height = (spec.short_side * side // short for side in image.size)
        left, top = round((width - spec.width) / 2), round((height - spec.height) / 2)
        # Pillow resizes rows first, rounds, then columns, each column by itself: those outside the crop can be left out
        # between the two. (Its own `box` would round a crop's corner that is no whole pixel.)
        rows = _resize(image, width, image.height).crop((left, 0, left + spec.width, image.height))
        return _pixels(_resize(rows, spec.width, height))[top : top + spec.height]


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _pixels(image: Image.Image) -> Picture:
    return np.frombuffer(image.tobytes("raw", "RGB"), np.uint8).reshape(image.height, image.width, 3)
