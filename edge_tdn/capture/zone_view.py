"""The frames of a camera as its zones see them: cropped to each zone, and filled outside of its polygon.

A frame that several zones use is converted to RGB once, and only the part that some zone sees.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge_tdn.errors import ConfigError
from edge_tdn.media.outline import Box, Outline
from edge_tdn.messages import Decoded, Frame, Luma, Rgbx

FILL_RGB, FILL_LUMA = (124, 116, 104), 117  # the mean of ImageNet: zero for the network


def seen_in(outline: Outline, frames: Iterator[Frame], name: str = "the zone") -> Iterator[Frame]:
    """Yield frames as the network sees them in a zone. ConfigError: it has too few pixels. `name`: for that error."""
    views = ZoneViews([outline])
    for frame in frames:
        (seen,) = views.split(frame)
        if seen is None:
            raise ConfigError(f"{name}: {views.too_small[0]}")
        yield seen


class ZoneViews:
    """Splits the frames of one camera. Used by its thread."""

    def __init__(self, outlines: Sequence[Outline]) -> None:
        self._outlines = tuple(outlines)
        self._size = (0, 0)  # height and width of the last frame
        self._boxes: list[Box] = []
        self._outside: list[NDArray[np.bool_] | None] = []
        self._converter = _Converter((slice(0, 0), slice(0, 0)))
        self.sizes: tuple[tuple[int, int], ...] = ()  # height and width of each zone in the last frame
        self.too_small: tuple[str, ...] = ()  # for each zone, why it cannot be analysed; empty: it can

    def split(self, frame: Frame) -> list[Frame | None]:
        """Return the frame as each zone sees it, in the order of the outlines; None where it is too small."""
        size = frame.decoded.size
        if size != self._size:
            self._measure(size)
        luma = _SharedLuma(frame.decoded)
        parts = zip(self._boxes, self._outside, self.too_small, strict=True)
        return [
            None if reason else replace(frame, decoded=_ZonePicture(luma, self._converter, box, outside))
            for box, outside, reason in parts
        ]

    def _measure(self, size: tuple[int, int]) -> None:
        """Compute boxes, masks and sizes of the zones for frames of another height and width."""
        self._size = size
        self._boxes = [outline.box(size) for outline in self._outlines]
        self._outside = [outline.outside(size) for outline in self._outlines]
        self.too_small = tuple(outline.too_small(size) for outline in self._outlines)
        self.sizes = tuple(outline.pixels(size) for outline in self._outlines)
        rows, columns = zip(*self._boxes, strict=True)
        self._converter = _Converter((_union(rows), _union(columns)))


class _Converter:
    """Converts the smallest box of a frame that contains all zones to RGB, once per frame."""

    def __init__(self, union: Box) -> None:
        rows, columns = self._union = union
        self._pixels: Rgbx = np.empty((rows.stop - rows.start, columns.stop - columns.start, 4), np.uint8)
        self._converted: Decoded | None = None  # the frame in `_pixels`

    def rgbx(self, decoded: Decoded, box: Box) -> Rgbx:
        """Return the pixels of a box, as a view that the next frame overwrites."""
        if self._converted is not decoded:
            decoded.view(*self._union).rgbx(self._pixels)
            self._converted = decoded
        (rows, columns), (first_rows, first_columns) = box, self._union
        top, left = first_rows.start, first_columns.start
        return self._pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


class _SharedLuma:
    """A camera's frame. Its luma is computed once, when a zone needs it."""

    def __init__(self, decoded: Decoded) -> None:
        self.decoded = decoded

    @cached_property
    def luma(self) -> Luma:
        return self.decoded.luma


class _ZonePicture:
    """A picture as one zone sees it. Implements `Decoded`."""

    def __init__(self, shared: _SharedLuma, converter: _Converter, box: Box, outside: NDArray[np.bool_] | None) -> None:
        self._shared, self._converter, self._box, self._outside = shared, converter, box, outside

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

    def view(self, rows: slice, columns: slice) -> Decoded:
        raise NotImplementedError("a picture that shows one zone cannot be cropped further")

    def rgbx(self, into: Rgbx) -> None:
        np.copyto(into, self._converter.rgbx(self._shared.decoded, self._box))
        if self._outside is not None:
            into[self._outside, :3] = FILL_RGB


def _union(parts: Sequence[slice]) -> slice:
    return slice(min(one.start for one in parts), max(one.stop for one in parts))
