"""Camera pixels -> model pixels, by the manifest's resize rule. The live path and the exporter share it.

Uses Pillow's antialiased bilinear filter (resize.py), as the published sampling does. OpenCV's area filter is 3 grey
levels off on average on a textured picture of 1280x720, and up to 37.
"""

import cv2
import numpy as np

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Decoded, Picture, Rgbx
from edge_tdn.segments.resize import resizer


class Preprocessor:
    """Pictures of any size -> uint8 RGB [H, W, 3] of the model's size. Used by one thread: it has one buffer."""

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._resize = resizer()
        self._rgbx: Rgbx = np.empty((0, 0, 4), np.uint8)  # of the last picture's size

    def __call__(self, picture: Picture) -> Picture:
        """Resize uint8 RGB [h, w, 3]."""
        height, width = picture.shape[:2]
        cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA, self._buffer(height, width))
        return self._fit()

    def decoded(self, picture: Decoded) -> Picture:
        """Resize a picture as a decoder delivers it."""
        picture.rgbx(self._buffer(*picture.size))
        return self._fit()

    def _buffer(self, height: int, width: int) -> Rgbx:
        if self._rgbx.shape[:2] != (height, width):
            self._rgbx = np.empty((height, width, 4), np.uint8)
        return self._rgbx

    def _fit(self) -> Picture:
        spec = self._spec
        width, height, top, left = spec.width, spec.height, 0, 0
        if spec.resize == "short_side_centre_crop":
            h, w = self._rgbx.shape[:2]
            height, width = spec.short_side * h // min(h, w), spec.short_side * w // min(h, w)
            top, left = round((height - spec.height) / 2), round((width - spec.width) / 2)
        resized = self._resize(self._rgbx, width, height, slice(left, left + spec.width))
        return np.ascontiguousarray(resized[top : top + spec.height, :, :3])
