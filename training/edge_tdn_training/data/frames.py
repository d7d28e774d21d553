"""The frames of one video, read from a memory-mapped cache file."""

import copy
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ALL = slice(None)


class Frames:
    """The frames of one video at the model's rate. No file stays open, so it can be sent to another process."""

    def __init__(self, path: Path, rate: float) -> None:
        """`path`: an .npy file, uint8 RGB [frames, H, W, 3]. `rate`: frames per second."""
        self._path, self._first = path, 0
        self.rate = rate
        self.shape: tuple[int, int, int, int] = np.load(path, mmap_mode="r").shape  # frames, H, W, 3

    @property
    def identity(self) -> tuple[str, int, int]:
        """Return what identifies the pixels: the cache file, whose name changes with the video, and the part of it."""
        return f"{self._path.parent.name}/{self._path.name}", self._first, len(self)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: NDArray[np.int64], rows: slice = ALL, columns: slice = ALL) -> NDArray[np.uint8]:
        """Return a copy of frames by number, int64 [...] -> uint8 RGB [..., H, W, 3], or a crop of them."""
        own = slice(self._first, self._first + len(self))
        frames: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")[own, rows, columns][indices]
        return frames

    def part(self, first: int, count: int) -> "Frames":
        """Return `count` frames from number `first` on, as frames of the same cache file."""
        assert 0 <= first < first + count <= len(self)
        part = copy.copy(self)
        part._first, part.shape = self._first + first, (count, *self.shape[1:])
        return part
