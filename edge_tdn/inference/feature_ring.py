"""The features of the last T segments as one contiguous window that is never copied."""

import ctypes
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE_BYTES = mmap.ALLOCATIONGRANULARITY  # memory is mapped in whole pages
MAP_FIXED = 0x10  # Linux's; the module `mmap` has no name for it


class FeatureRing:
    """An array [2 * slots, *shape] per feature, whose second half is the same memory as its first half.

    Both halves are mapped to the same memory, so that any T consecutive segments lie side by side: a segment that is
    written once is in every window that contains it. Write the next segment to `slot`, then call `written`. `slots` is
    T, or a little more so that they fill whole pages. Where that takes too many slots, or the system cannot map memory
    twice, `written` copies the segment instead.

    `dtypes`: float32 by default; uint16 holds BF16, which NumPy lacks; int8 and uint8 hold multiples of `scales`.
    Used by one thread.
    """

    def __init__(
        self,
        features: Mapping[str, tuple[int, ...]],
        segments: int,
        dtypes: Mapping[str, DTypeLike] | None = None,
        scales: Mapping[str, float] | None = None,
    ) -> None:
        self.segments = segments
        self._scales = dict(scales or {})
        types = {name: np.dtype((dtypes or {}).get(name, np.float32)) for name in features}
        sizes = [int(np.prod(shape)) * types[name].itemsize for name, shape in features.items()]
        self.slots = _whole_pages(segments, sizes)
        self._twice = self.slots <= 2 * segments  # beyond that a copy takes less memory
        if not self._twice:
            self.slots = segments
        self.arrays: dict[str, NDArray[Any]] = {}
        for (name, shape), size in zip(features.items(), sizes, strict=True):
            memory = _mapped_twice(self.slots * size) if self._twice else None
            self._twice = memory is not None
            if memory is None:
                memory = np.zeros(2 * self.slots * size, np.uint8)
            self.arrays[name] = memory.view(types[name]).reshape(2 * self.slots, *shape)
        self.count = 0  # segments since the last clear

    @property
    def slot(self) -> int:
        """The slot for the next segment, 0 to slots - 1."""
        return self.count % self.slots

    @property
    def full(self) -> bool:
        """True when it holds T segments of one run of the stream."""
        return self.count >= self.segments

    @property
    def start(self) -> int:
        """The first slot of the window, which is [start, start + T)."""
        return (self.count - self.segments) % self.slots

    def written(self) -> None:
        """Advance to the next slot, after the current one has been written."""
        if not self._twice:
            for array in self.arrays.values():
                array[self.slot + self.slots] = array[self.slot]
        self.count += 1

    def window(self, name: str) -> NDArray[Any]:
        """Return a feature of the last T segments, [T, *shape], oldest first; a view."""
        return self.arrays[name][self.start : self.start + self.segments]

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """Return the features of the newest segment as numbers, name -> float32 [*shape]."""
        last = (self.count - 1) % self.slots
        return {name: self._numbers(name, array[last]) for name, array in self.arrays.items()}

    def _numbers(self, name: str, stored: NDArray[Any]) -> NDArray[np.float32]:
        if stored.dtype == np.uint16:  # BF16 is the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32) * np.float32(self._scales.get(name, 1.0))

    def clear(self) -> None:
        """Forget all segments: no clip spans a gap."""
        self.count = 0


def _whole_pages(segments: int, sizes: list[int]) -> int:
    """Return the smallest number of slots, at least T, that fills whole pages; `sizes`: bytes of one slot."""
    step = int(np.lcm.reduce([PAGE_BYTES // np.gcd(PAGE_BYTES, size) for size in sizes]))
    return -(-segments // step) * step


def _mapped_twice(size: int) -> NDArray[np.uint8] | None:
    """Return zeros, uint8 [2 * size], whose halves are the same memory; None if the system cannot do that.

    `size`: bytes, whole pages.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        descriptor = os.memfd_create("edge-tdn features")
        try:
            os.ftruncate(descriptor, size)
            room = mmap.mmap(-1, 2 * size)  # reserves the addresses, and frees them in the end
            first = ctypes.addressof(ctypes.c_char.from_buffer(room))
            access, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | MAP_FIXED
            for address in (first, first + size):
                mapped = libc.mmap(address, size, access, flags, descriptor, 0)
                if mapped != address:
                    raise OSError(ctypes.get_errno(), "mmap")
        finally:
            os.close(descriptor)
        return np.frombuffer(room, np.uint8)
    return None
