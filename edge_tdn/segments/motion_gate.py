"""Motion detection: the difference of small pictures, against a threshold learned from the camera's noise.

Every picture is averaged over blocks, GRID of them along its longer side (8x8 pixels of 640x480, about 3x3 of a model's
224 pixels). It moves when its largest block difference to a reference exceeds the threshold. While the scene moves, the
newest picture is the reference; while it is still, the reference stays, so that a slow change adds up until it exceeds
the threshold.

The threshold is MARGIN times the camera's noise: the median, over the last pictures, of the largest block difference
from one to the next. The median absolute difference of all blocks would not do: H.264 repeats most blocks of a still
scene exactly, and only a few flicker, at a key frame or where the encoder corrects itself. Differences above CAP are
motion, and are not learned from.
"""

from collections import deque
from itertools import accumulate

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import Luma

GRID = 80
MARGIN = 2.5
FLOOR, CAP = 3, 8  # grey levels: bounds of the threshold
MIN_LEARNED = 60  # pictures below CAP, before which everything counts as moving
MEMORY = 900  # pictures from which the noise is learned


class MotionGate:
    """The motion detector of one camera. Used by one thread."""

    def __init__(self) -> None:
        self._noise: deque[int] = deque()  # largest block differences between neighbours, grey levels
        self._counts = [0] * (CAP + 1)  # how often `_noise` contains each of them
        self._newest: NDArray[np.uint8] | None = None
        self._reference: NDArray[np.uint8] | None = None
        self._step: NDArray[np.uint8] | None = None  # difference of the newest picture to the one before

    def moved(self, luma: Luma) -> bool:
        """Return whether this picture differs from the still scene before it. A picture of another shape does."""
        small = _blocks(luma)
        newest, reference = self._newest, self._reference
        self._newest, self._step = small, None
        if newest is None or reference is None or newest.shape != small.shape:
            self._reference = small
            return True
        difference: NDArray[np.uint8] = cv2.absdiff(small, newest)  # type: ignore[assignment]
        self._step, step = difference, int(difference.max())
        if step <= CAP:
            self._learn(step)
        threshold = self.threshold
        if threshold is not None and int(cv2.absdiff(small, reference).max()) <= threshold:
            return False
        self._reference = small
        return True

    @property
    def threshold(self) -> float | None:
        """The threshold in grey levels; None until it is learned."""
        if len(self._noise) < MIN_LEARNED:
            return None
        middle = next(step for step, below in enumerate(accumulate(self._counts)) if 2 * below >= len(self._noise))
        return min(max(MARGIN * middle, FLOOR), CAP)

    @property
    def moving(self) -> NDArray[np.bool_] | None:
        """The blocks in which the newest picture differs from the one before, [rows, columns]; None: it is the first.

        Until the threshold is learned, these are the blocks above the largest that it can have.
        """
        threshold = self.threshold
        return None if self._step is None else self._step > (CAP if threshold is None else threshold)

    def _learn(self, step: int) -> None:
        self._noise.append(step)
        self._counts[step] += 1
        if len(self._noise) > MEMORY:
            self._counts[self._noise.popleft()] -= 1


def _blocks(luma: Luma) -> NDArray[np.uint8]:
    """Return block averages, uint8 [H, W], at most GRID along the longer side."""
    height, width = luma.shape
    scale = min(1, GRID / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(luma, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
