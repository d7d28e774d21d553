"""The frames of a camera as its zones see them: cut to each zone, and filled outside of its polygon.

A frame that several zones use is converted to RGB once, and only the part that some zone sees.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_tdn.media.outline import Box, Outline
from edge_tdn.messages import Decoded, Frame, Luma, Rgbx

FILL_RGB, FILL_LUMA = (124, 116, 104), 117  # the mean of ImageNet: zero for the network


class ZoneViews:
    """Splits the frames of one camera. Used by its thread."""

    def __init__(self, outlines: Sequence[Outline]) -> None:
        self._outlines = tuple(outlines)
        self._size = (0, 0)  # height and width of the last frame
        self._boxes: list[Box] = []
        self._outside: list[NDArray[np.bool_] | None] = []

    def split(self, frame: Frame) -> list[Frame]:
        """Return the frame as each zone sees it, in the order of the outlines."""
        size = frame.decoded.size
        if size != self._size:
            self._size = size
            self._boxes = [outline.box(size) for outline in self._outlines]
            self._outside = [outline.outside(size) for outline in self._outlines]
        shared = _SharedPicture(frame.decoded, self._boxes)
        parts = zip(self._boxes, self._outside, strict=True)
        return [replace(frame, decoded=_ZonePicture(shared, box, outside)) for box, outside in parts]


class _SharedPicture:
    """A camera's picture, of which the part that holds all zones is converted at most once."""

    def __init__(self, decoded: Decoded, boxes: Sequence[Box]) -> None:
        self.decoded = decoded
        self._boxes = boxes

    @cached_property
    def luma(self) -> Luma:
        return self.decoded.luma

    @cached_property
    def _union(self) -> Box:
        rows, columns = zip(*self._boxes, strict=True)
        return (
            slice(min(one.start for one in rows), max(one.stop for one in rows)),
            slice(min(one.start for one in columns), max(one.stop for one in columns)),
        )

    @cached_property
    def _rgbx(self) -> Rgbx:
        rows, columns = self._union
        pixels = np.empty((rows.stop - rows.start, columns.stop - columns.start, 4), np.uint8)
        self.decoded.part(rows, columns).rgbx(pixels)
        return pixels

    def rgbx(self, box: Box) -> Rgbx:
        """Return the pixels of a box, as a view."""
        (rows, columns), (first_rows, first_columns) = box, self._union
        top, left = first_rows.start, first_columns.start
        return self._rgbx[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


class _ZonePicture:
    """A picture as one zone sees it. Implements `Decoded`."""

    def __init__(self, shared: _SharedPicture, box: Box, outside: NDArray[np.bool_] | None) -> None:
        self._shared, self._box, self._outside = shared, box, outside

    @property
    def size(self) -> tuple[int, int]:
        rows, columns = self._box
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def nbytes(self) -> int:
        return self._shared.decoded.nbytes

    @property
    def luma(self) -> Luma:
        luma = self._shared.luma[self._box]
        if self._outside is None:
            return luma
        luma = luma.copy()
        luma[self._outside] = FILL_LUMA
        return luma

    def sampled(self, step: int) -> Luma:
        return self.luma[::step, ::step].copy()

    def part(self, rows: slice, columns: slice, rotate: int = 0) -> Decoded:
        raise NotImplementedError("a zone's picture is not cut again")

    def rgbx(self, into: Rgbx) -> None:
        np.copyto(into, self._shared.rgbx(self._box))
        if self._outside is not None:
            into[self._outside, :3] = FILL_RGB
