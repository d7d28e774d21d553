"""Features of the last T segments, always one contiguous window, never copied."""

import ctypes
import mmap
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE = mmap.ALLOCATIONGRANULARITY  # bytes; memory is mapped in whole ones


class FeatureRing:
    """For each named feature an array [2 * slots, *shape] whose second half is the first half, seen once more.

    Both halves are the same memory, mapped twice, so that any T consecutive segments lie side by side: what is written
    to a slot once is in every window that it belongs to. `slot` says where the next segment goes, `written` closes it.
    `slots` is T, or as many more as fill whole pages. Where that is too many, or the system cannot, `written` copies.

    `dtypes`: float32 unless said; uint16 holds BF16, which NumPy has not; int8 and uint8 hold multiples of `scales`.
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
        self._twice = self.slots <= 2 * segments  # else a copy takes less memory
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
        """Where the next segment is to be written, 0 to slots - 1."""
        return self.count % self.slots

    @property
    def full(self) -> bool:
        """T segments of one unbroken stretch are there."""
        return self.count >= self.segments

    @property
    def start(self) -> int:
        """First slot of the window; it is [start, start + T)."""
        return (self.count - self.segments) % self.slots

    def written(self) -> None:
        """The slot has been filled: move on."""
        if not self._twice:
            for array in self.arrays.values():
                array[self.slot + self.slots] = array[self.slot]
        self.count += 1

    def window(self, name: str) -> NDArray[Any]:
        """[T, *shape], oldest segment first; a view."""
        return self.arrays[name][self.start : self.start + self.segments]

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """What was written last, as numbers: name -> float32 [*shape]."""
        last = (self.count - 1) % self.slots
        return {name: self._numbers(name, array[last]) for name, array in self.arrays.items()}

    def _numbers(self, name: str, stored: NDArray[Any]) -> NDArray[np.float32]:
        if stored.dtype == np.uint16:  # the upper half of a float32
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return stored.astype(np.float32) * np.float32(self._scales.get(name, 1.0))

    def clear(self) -> None:
        """Forget everything: no clip spans a gap."""
        self.count = 0


def _whole_pages(segments: int, sizes: list[int]) -> int:
    """The fewest slots, T or more, of which each feature fills whole pages; `sizes`: bytes of one slot."""
    step = int(np.lcm.reduce([PAGE // np.gcd(PAGE, size) for size in sizes]))
    return -(-segments // step) * step


def _mapped_twice(size: int) -> NDArray[np.uint8] | None:
    """uint8 [2 * size], zeros, whose halves are the same memory; None where the system cannot. `size`: whole pages."""
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        descriptor = os.memfd_create("edge-tdn features")
        try:
            os.ftruncate(descriptor, size)
            room = mmap.mmap(-1, 2 * size)  # holds the addresses, and gives them back in the end
            first = ctypes.addressof(ctypes.c_char.from_buffer(room))
            for address in (first, first + size):
                mapped = libc.mmap(
                    ctypes.c_void_p(address), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_WRITE,
                    mmap.MAP_SHARED | MAP_FIXED, descriptor, ctypes.c_long(0),
                )  # fmt: skip
                if mapped != address:
                    raise OSError(ctypes.get_errno(), "mmap")
        finally:
            os.close(descriptor)
        return np.frombuffer(room, np.uint8)
    return None


MAP_FIXED = 0x10  # Linux's; `mmap` has no name for it
