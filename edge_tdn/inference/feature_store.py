"""The features of all cameras on a PyTorch device. torch is passed in, since only cuda.py imports it."""

import weakref
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

PADDING_SLOT = 0  # the slot that the padding rows of a batch are written to and read from


class SlotRing:
    """The slots of the feature store that hold one camera's last T segments. Used by the runtime's thread."""

    def __init__(self, store: "FeatureStore", slots: range) -> None:
        self._store, self._slots = store, slots
        self._count = 0  # segments since the last clear

    @property
    def full(self) -> bool:
        """True when it holds T segments of one run of the stream."""
        return self._count >= len(self._slots)

    def clear(self) -> None:
        """Forget all segments: no clip spans a gap."""
        self._count = 0

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """Return the features of the newest segment, name -> float32 [H, W, C]."""
        return self._store.read(self._slots[(self._count - 1) % len(self._slots)])

    def take(self) -> int:
        """Return the slot for the next segment, and advance."""
        slot = self._slots[self._count % len(self._slots)]
        self._count += 1
        return slot

    @property
    def window(self) -> list[int]:
        """The slots of the last T segments, oldest first."""
        start = self._count % len(self._slots)
        return [*self._slots[start:], *self._slots[:start]]


class FeatureStore:
    """The features of all cameras, one tensor [slots, elements] per feature. Used by the runtime's thread.

    With one tensor for all rings, two kernels per feature serve any number of cameras: one writes segments into their
    slots, one reads windows. A row is written once and read T times.
    """

    def __init__(self, torch: Any, shapes: Mapping[str, tuple[int, ...]], segments: int, dtype: Any, on: Any) -> None:
        self._torch, self._segments, self._shapes = torch, segments, shapes
        self._rows = [torch.zeros(PADDING_SLOT + 1, prod(shape), dtype=dtype, device=on) for shape in shapes.values()]
        self._free: list[range] = []

    @property
    def cameras(self) -> int:
        """The number of cameras that fit."""
        return int((len(self._rows[0]) - 1) // self._segments)

    def ring(self) -> SlotRing:
        """Return a ring for one more camera; its slots are reused once the ring is garbage."""
        if not self._free:
            self._grow(max(1, self.cameras))
        slots = self._free.pop()
        ring = SlotRing(self, slots)
        weakref.finalize(ring, self._free.append, slots)
        return ring

    def put(self, slots: Any, features: Sequence[Any]) -> None:
        """Write features [B, elements] into slots, int64 [B]."""
        for rows, feature in zip(self._rows, features, strict=True):
            rows.index_copy_(0, slots, feature)

    def take(self, slots: Any, features: Sequence[Any]) -> None:
        """Read slots, int64 [B], into features [B, elements]."""
        for rows, feature in zip(self._rows, features, strict=True):
            self._torch.index_select(rows, 0, slots, out=feature)

    def read(self, slot: int) -> dict[str, NDArray[np.float32]]:
        """Return the features of one slot, name -> float32 [H, W, C]; waits for the device."""
        rows = zip(self._shapes.items(), self._rows, strict=True)
        return {name: row[slot].float().cpu().numpy().reshape(shape) for (name, shape), row in rows}

    def _grow(self, cameras: int) -> None:
        first = len(self._rows[0])
        more = [rows.new_zeros(cameras * self._segments, rows.shape[1]) for rows in self._rows]
        self._rows = [self._torch.cat(pair) for pair in zip(self._rows, more, strict=True)]
        self._free += [range(s, s + self._segments) for s in range(first, len(self._rows[0]), self._segments)]
