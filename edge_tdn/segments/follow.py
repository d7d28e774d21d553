"""A view that follows what moves, for actors that are small in their zone.

The network sees the view, a rectangle of the zone's shape, in place of the whole zone. It is chosen from where the
motion gate saw blocks move during one clip:

    blocks that moved in two ticks or more ─► those that touch ─► the group with the most motion ─► its bounds, with a
    margin ─► the view: at least a quarter of the zone's width and height, and the whole zone where that is little more

A clip has one view for all its segments. The view stays as long as it holds the motion of the newest clip and is not
much too large for it; else another one is chosen, and the segments of the clip are cut again.
"""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.config.checks import Region
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.media.outline import Outline
from edge_tdn.messages import Picture

SMALLEST = 0.25  # share of the zone's width and height
WHOLE_FROM = 0.75  # a view of this share or more is the whole zone
MARGIN = 1.3  # the view is larger than the motion by this factor
TOO_LARGE = 1.6  # a view that is larger than necessary by this factor is replaced
TOUCHING = 5  # blocks: motions that are closer are one
TAIL = 0.02  # share of the motion that may lie beyond each side of its bounds
TOLERANCE = 0.01  # share of the zone by which motion may leave the view

MovingBlocks = NDArray[np.bool_]  # [rows, columns] of a zone


class Follower:
    """Chooses the view of one zone. Used by the camera's thread."""

    def __init__(self, ticks: int) -> None:
        """`ticks`: of a clip."""
        self.view: Region = WHOLE
        self._moving: deque[MovingBlocks | None] = deque(maxlen=ticks)

    def tick(self, moving: MovingBlocks | None) -> None:
        """Take the blocks that have moved in a tick; None: it repeats the frame before."""
        self._moving.append(moving)

    def choose(self) -> bool:
        """Choose the view of the clip that ends with the last tick. Return whether it is another one than before."""
        found = [moving for moving in self._moving if moving is not None]
        bounds = _bounds(np.sum(found, 0, np.float32)) if found else None
        if bounds is None:
            return False
        view = _around(bounds)
        if _holds(self.view, bounds) and self.view[2] <= TOO_LARGE * view[2]:
            return False
        before, self.view = self.view, view
        return before != view

    def cut(self, picture: Picture) -> Picture:
        """Return the view of a picture of the zone, uint8 [h, w, 3]."""
        if self.view == WHOLE:
            return picture
        height, width = picture.shape[:2]
        return picture[Outline(self.view).box((height, width))]

    def begin_run(self) -> None:
        """Forget the motion before a break in the stream, and see the whole zone again."""
        self._moving.clear()
        self.view = WHOLE


def _bounds(motion: NDArray[np.float32]) -> Region | None:
    """Return left, top, right and bottom of the largest motion, in shares of the zone; None: nothing has moved.

    `motion`: [rows, columns], in how many ticks each block has moved.
    """
    often = motion >= 2 if (motion >= 2).any() else motion > 0
    if not often.any():
        return None
    near = cv2.dilate(often.astype(np.uint8), np.ones((TOUCHING, TOUCHING), np.uint8))
    count, groups = cv2.connectedComponents(near)
    most = max(range(1, count), key=lambda group: float(motion[groups == group].sum()))
    motion = np.where(groups == most, motion, 0)
    (left, right), (top, bottom) = (_span(motion.sum(axis)) for axis in (0, 1))
    return left, top, right, bottom


def _span(motion: NDArray[np.float32]) -> tuple[float, float]:
    """Return first and last share of an axis between which the motion lies, except for the tails."""
    below = np.cumsum(motion) / motion.sum()
    first, last = np.searchsorted(below, (TAIL, 1 - TAIL))
    return float(first) / len(motion), float(last + 1) / len(motion)


def _around(bounds: Region) -> Region:
    """Return the view around a motion: left, top, width and height, of the zone's shape and within it."""
    left, top, right, bottom = bounds
    share = max(MARGIN * (right - left), MARGIN * (bottom - top), SMALLEST)
    if share >= WHOLE_FROM:
        return WHOLE
    first_x, first_y = ((low + high - share) / 2 for low, high in ((left, right), (top, bottom)))
    return min(max(first_x, 0.0), 1 - share), min(max(first_y, 0.0), 1 - share), share, share


def _holds(view: Region, bounds: Region) -> bool:
    """Return whether a motion lies within a view."""
    left, top, width, height = view
    sides = (left - bounds[0], top - bounds[1], bounds[2] - left - width, bounds[3] - top - height)
    return max(sides) <= TOLERANCE
