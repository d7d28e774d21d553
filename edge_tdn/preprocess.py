"""Camera pixels -> model pixels, as the manifest's resize rule says. Pure; the live path and `export` share it.

The published sampling resizes with Pillow's antialiased bilinear filter; OpenCV's area filter is within 0.4 grey levels
of it on average when a picture shrinks (its bilinear filter, which does not antialias, within 1.2).
"""

import cv2

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Picture


class Preprocessor:
    """uint8 RGB [h, w, 3] of any size -> uint8 RGB [H, W, 3] of the model's size."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec

    def __call__(self, picture: Picture) -> Picture:
        spec = self._spec
        if spec.resize == "stretch":
            return _resize(picture, spec.height, spec.width)
        h, w = picture.shape[:2]
        resized = _resize(picture, spec.short_side * h // min(h, w), spec.short_side * w // min(h, w))
        top = round((resized.shape[0] - spec.height) / 2)
        left = round((resized.shape[1] - spec.width) / 2)
        return resized[top : top + spec.height, left : left + spec.width]


def _resize(picture: Picture, height: int, width: int) -> Picture:
    """Each side with the filter that fits it: area where it shrinks, linear where it grows."""
    h, w = picture.shape[:2]
    if (height < h) != (width < w) and height != h and width != w:
        return _resize(_resize(picture, height, w), height, width)
    if (h, w) == (height, width):
        return picture
    shrinks = height < h or width < w
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]
