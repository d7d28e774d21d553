"""Features of the last T segments, always one contiguous window, never copied for the head."""

from collections.abc import Callable
from typing import Any

import numpy as np


class FeatureRing:
    """For each named feature a float32 array [2T, *shape], of numpy or of whatever `zeros` makes.

    Segment n is written to slot n mod T and once more T slots further on, so that any T consecutive segments lie side
    by side: the window is a view. `slot` says where the next segment goes, `written` closes it.
    """

    def __init__(
        self, features: dict[str, tuple[int, ...]], segments: int, zeros: Callable[[tuple[int, ...]], Any] | None = None
    ) -> None:
        self.segments = segments
        zeros = zeros or (lambda shape: np.zeros(shape, np.float32))
        self.arrays = {name: zeros((2 * segments, *shape)) for name, shape in features.items()}
        self.count = 0  # segments since the last clear

    @property
    def slot(self) -> int:
        """Where the next segment is to be written, 0 to T-1."""
        return self.count % self.segments

    @property
    def full(self) -> bool:
        """T segments of one unbroken stretch are there."""
        return self.count >= self.segments

    @property
    def start(self) -> int:
        """First slot of the window; it is [start, start + T)."""
        return self.slot

    def written(self) -> None:
        """The slot has been filled: repeat it T slots further on, and move on."""
        for array in self.arrays.values():
            array[self.slot + self.segments] = array[self.slot]
        self.count += 1

    def window(self, name: str) -> Any:
        """float32 [T, *shape], oldest segment first; a view."""
        return self.arrays[name][self.start : self.start + self.segments]

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""
        self.count = 0
