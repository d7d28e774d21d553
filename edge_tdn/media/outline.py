"""The outline of a zone in a picture: a rectangle, or a polygon outside of which everything is filled."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.config.checks import Point, Region
from edge_tdn.config.resolved_zones import ResolvedZone
from edge_tdn.config.zone_tables import ZoneConfig

Box = tuple[slice, slice]  # rows and columns
MIN_PIXELS = 32  # of a zone, in both directions


@dataclass(frozen=True)
class Outline:
    """A part of a picture."""

    region: Region
    polygon: tuple[Point, ...] = ()  # in place of `region`

    @classmethod
    def of(cls, zone: ResolvedZone | ZoneConfig) -> "Outline":
        """Return the part of a camera's picture that a zone sees."""
        return cls(zone.region, zone.polygon)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom, in shares of the picture."""
        if self.polygon:
            xs, ys = zip(*self.polygon, strict=True)
            return min(xs), min(ys), max(xs), max(ys)
        left, top, width, height = self.region
        return left, top, left + width, top + height

    def box(self, size: tuple[int, int]) -> Box:
        """Return the rows and columns in a picture of this height and width: even in number and start."""
        left, top, right, bottom = self.bounds
        return even_pixels(top, bottom, size[0]), even_pixels(left, right, size[1])

    def pixels(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return its height and width in a picture of this height and width."""
        rows, columns = self.box(size)
        return rows.stop - rows.start, columns.stop - columns.start

    def outside(self, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Return the mask of the pixels in the box that are outside of the polygon, bool [h, w]; None: no polygon."""
        if not self.polygon:
            return None
        rows, columns = self.box(size)
        inside = np.zeros(self.pixels(size), np.uint8)
        corners = self.corners(size) - (columns.start, rows.start)
        cv2.fillPoly(inside, [corners.astype(np.int32)], 1)
        return np.equal(inside, 0)

    def corners(self, size: tuple[int, int]) -> NDArray[np.int64]:
        """Return the corners as pixels (x, y) of a picture of this height and width, [corners, 2]."""
        height, width = size
        left, top, right, bottom = self.bounds
        points: Sequence[Point] = self.polygon or ((left, top), (right, top), (right, bottom), (left, bottom))
        return np.array([(round(x * (width - 1)), round(y * (height - 1))) for x, y in points])

    def too_small(self, size: tuple[int, int]) -> str:
        """Return an error if it has too few pixels in a picture of this height and width, or an empty text."""
        height, width = self.pixels(size)
        if min(height, width) >= MIN_PIXELS:
            return ""
        return (
            f"{width}x{height} pixels of the picture of {size[1]}x{size[0]}; a zone needs at least "
            f"{MIN_PIXELS}x{MIN_PIXELS}: enlarge it, or take a larger stream"
        )


def even_pixels(first: float, last: float, length: int) -> slice:
    """Return the pixels between two shares of `length`: at least two, and an even number before the first."""
    pairs = length // 2
    begin = min(round(first * pairs), pairs - 1)
    return slice(2 * begin, 2 * max(round(last * pairs), begin + 1)) if pairs else slice(0, length)
