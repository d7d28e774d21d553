"""Features of the last T segments, always one contiguous window, never copied for the head."""

import numpy as np
from numpy.typing import NDArray


class FeatureRing:
    """For each named feature a float32 array [2T, *shape].

    Segment n is written to slot n mod T and once more T slots further on, so that any T consecutive segments lie side
    by side: the window is a view. `slot` says where the next segment goes, `written` closes it.
    """

    def __init__(self, features: dict[str, tuple[int, ...]], segments: int) -> None:
        self.segments = segments
        self.arrays = {name: np.zeros((2 * segments, *shape), np.float32) for name, shape in features.items()}
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

    def window(self, name: str) -> NDArray[np.float32]:
        """float32 [T, *shape], oldest segment first; a view."""
        return self.arrays[name][self.start : self.start + self.segments]

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""
        self.count = 0
