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
        return self._fit(picture)

    def decoded(self, picture: Decoded) -> Picture:
        """The same of what a decoder gave. Nothing of the camera's size is allocated or copied."""
        height, width = picture.size
        if self._rgbx.shape[:2] != (height, width):
            self._rgbx = np.empty((height, width, 4), np.uint8)
        picture.rgbx(self._rgbx)
        return self._fit(self._rgbx)

    def _fit(self, picture: Picture | Rgbx) -> Picture:
        spec = self._spec
        if spec.resize == "stretch":
            return _pixels(_resize(_image(picture), spec.width, spec.height))
        h, w = picture.shape[:2]
        height, width = spec.short_side * h // min(h, w), spec.short_side * w // min(h, w)
        top, left = round((height - spec.height) / 2), round((width - spec.width) / 2)
        # Pillow shortens the rows, rounds, and then the columns, each by itself: what lies outside the crop can be left
        # out of either. (Its own `box` would round a crop's corner that is no whole pixel.)
        first = max(0, int((top - 1) * h / height) - 1)
        last = min(h, int((top + spec.height + 1) * h / height) + 2)
        rows = _resize(_image(picture[first:last]), width, last - first)
        columns = rows.crop((left, -first, left + spec.width, h - first))  # the rows that are not there are black
        return _pixels(_resize(columns, spec.width, height))[top : top + spec.height]


def _image(picture: Picture | Rgbx) -> Image.Image:
    """RGB is copied, RGBX is not."""
    height, width, channels = picture.shape
    if channels == 3:
        return Image.fromarray(picture)
    return Image.frombuffer("RGBX", (width, height), picture, "raw", "RGBX", 0, 1)


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _pixels(image: Image.Image) -> Picture:
    return np.frombuffer(image.tobytes("raw", "RGB"), np.uint8).reshape(image.height, image.width, 3)
