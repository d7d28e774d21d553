"""Decoded pictures -> RGB, for those whose pixels are used. See `edge_tdn.messages.Decoded`.

Chroma is repeated, not interpolated, as in FFmpeg, which the published sampling used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Luma, Picture, Rgbx

cv2.setNumThreads(1)  # each camera has a thread of its own; OpenCV's would cost more than they save
ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
STRIP = 64  # rows that are converted at a time: the intermediate result stays in the processor's cache


@dataclass(frozen=True)
class Colorimetry:
    """The meaning of YUV values: weights of red and blue in the luma, and its range, all 256 levels or 16 to 235."""

    kr: float
    kb: float
    full_range: bool


BT601 = Colorimetry(0.299, 0.114, full_range=False)


class Yuv420:
    """A picture in the planes of I420 or NV12, at any stride."""

    def __init__(self, luma: Luma, chroma: Sequence[NDArray[np.uint8]], colorimetry: Colorimetry) -> None:
        """`chroma`: U and V, each uint8 [ceil(H / 2), ceil(W / 2)], or both in one [..., 2]."""
        self.luma = luma
        self._chroma = chroma
        self._colorimetry = colorimetry

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.luma.shape
        return height, width

    @property
    def nbytes(self) -> int:
        return self.luma.nbytes + sum(plane.nbytes for plane in self._chroma)

    def sampled(self, step: int) -> Luma:
        return self.luma[::step, ::step].copy()

    def view(self, rows: slice, columns: slice) -> "Yuv420":
        half_rows, half_columns = (slice(cut.start // 2, (cut.stop + 1) // 2) for cut in (rows, columns))
        chroma = [plane[half_rows, half_columns] for plane in self._chroma]
        return Yuv420(self.luma[rows, columns], chroma, self._colorimetry)

    def part(self, rows: slice, columns: slice, rotate: int) -> "Yuv420":
        """Return a copy of these rows and columns (even in number and start), rotated clockwise by `rotate` degrees."""
        seen = self.view(rows, columns)
        chroma = [_rotated(plane, rotate) for plane in seen._chroma]
        return Yuv420(_rotated(seen.luma, rotate), chroma, self._colorimetry)

    def rgbx(self, into: Rgbx) -> None:
        height, width = self.size
        if self._colorimetry == BT601 and height % 2 == width % 2 == 0:
            interleaved = self._chroma[0] if len(self._chroma) == 1 else cv2.merge(self._chroma)
            cv2.cvtColorTwoPlane(self.luma, interleaved, cv2.COLOR_YUV2RGBA_NV12, into)
        else:
            self._convert(_matrix(self._colorimetry), into)

    def _convert(self, matrix: NDArray[np.float64], into: Rgbx) -> None:
        u, v = self._chroma if len(self._chroma) == 2 else cv2.split(self._chroma[0])
        for top in range(0, len(self.luma), STRIP):
            luma = self.luma[top : top + STRIP]
            half = slice(top // 2, (top + STRIP) // 2)
            yuv = cv2.merge([luma, _repeat(u[half], luma), _repeat(v[half], luma)])
            cv2.cvtColor(cv2.transform(yuv, matrix), cv2.COLOR_RGB2RGBA, into[top : top + STRIP])


class Packed:
    """A picture in RGB or BGR, uint8 [H, W, 3]."""

    def __init__(self, pixels: Picture, order: Literal["RGB", "BGR"] = "RGB") -> None:
        self._pixels = pixels
        self._order = order

    @property
    def size(self) -> tuple[int, int]:
        return self._pixels.shape[0], self._pixels.shape[1]

    @property
    def nbytes(self) -> int:
        return self._pixels.nbytes

    @property
    def luma(self) -> Luma:
        return self.sampled(1)

    def sampled(self, step: int) -> Luma:
        code = cv2.COLOR_RGB2GRAY if self._order == "RGB" else cv2.COLOR_BGR2GRAY
        return cv2.cvtColor(self._pixels[::step, ::step], code)  # type: ignore[return-value]

    def view(self, rows: slice, columns: slice) -> "Packed":
        return Packed(self._pixels[rows, columns], self._order)

    def part(self, rows: slice, columns: slice, rotate: int) -> "Packed":
        """Return a copy of these rows and columns, rotated clockwise by `rotate` degrees."""
        return Packed(_rotated(self._pixels[rows, columns], rotate), self._order)

    def rgbx(self, into: Rgbx) -> None:
        cv2.cvtColor(self._pixels, cv2.COLOR_RGB2RGBA if self._order == "RGB" else cv2.COLOR_BGR2RGBA, into)


def _rotated(plane: NDArray[np.uint8], rotate: int) -> NDArray[np.uint8]:
    """Return a copy, so that the memory of the whole picture is freed."""
    return cv2.rotate(plane, ROTATIONS[rotate]) if rotate else plane.copy()  # type: ignore[return-value]


@cache
def _matrix(colorimetry: Colorimetry) -> NDArray[np.float64]:
    """Return the [3, 4] matrix (Y, U, V, 1) -> RGB; ITU-R BT.601 and BT.709, section 3, both with 8 bits."""
    kr, kb = colorimetry.kr, colorimetry.kb
    kg = 1 - kr - kb
    luma, chroma = (1.0, 1.0) if colorimetry.full_range else (255 / 219, 255 / 224)
    black = 0 if colorimetry.full_range else 16
    red, blue = 2 * (1 - kr) * chroma, 2 * (1 - kb) * chroma
    linear = np.array([[luma, 0, red], [luma, -blue * kb / kg, -red * kr / kg], [luma, blue, 0]])
    return np.column_stack([linear, linear @ [-black, -128, -128]])


def _repeat(chroma: cv2.typing.MatLike, luma: Luma) -> NDArray[np.uint8]:
    """Return every sample twice in both directions, cut to the luma's size."""
    height, width = chroma.shape
    doubled = cv2.resize(chroma, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    return doubled[: luma.shape[0], : luma.shape[1]]  # type: ignore[return-value]
