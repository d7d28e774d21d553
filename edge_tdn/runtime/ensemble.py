"""Several networks on one stream: each sees its own segments of the same ticks, and their logits are added."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn.runtime import Ring, Runtime


class EnsembleRing:
    """A ring for each network."""

    def __init__(self, rings: Sequence[Ring]) -> None:
        self.rings = tuple(rings)

    @property
    def full(self) -> bool:
        return all(ring.full for ring in self.rings)

    def clear(self) -> None:
        for ring in self.rings:
            ring.clear()


class EnsembleRuntime:
    """`members`: their runtimes; `per_segment`: how many segments of each stand in one segment of the ensemble."""

    def __init__(self, members: Sequence[Runtime], per_segment: Sequence[int]) -> None:
        self.device, self.precision = members[0].device, members[0].precision
        self._members, self._per_segment = tuple(members), tuple(per_segment)

    def ring(self) -> EnsembleRing:
        return EnsembleRing([member.ring() for member in self._members])

    def encode(self, frames: NDArray[np.uint8], ring: Ring) -> None:
        """frames [5 * sum(per_segment), H, W, 3]: first the first network's segments, oldest first."""
        assert isinstance(ring, EnsembleRing)
        first = 0
        for member, own, count in zip(self._members, ring.rings, self._per_segment, strict=True):
            for _ in range(count):
                member.encode(frames[first : first + FRAMES_PER_SEGMENT], own)
                first += FRAMES_PER_SEGMENT

    def classify(self, ring: Ring) -> NDArray[np.float32]:
        assert isinstance(ring, EnsembleRing)
        logits = [member.classify(own) for member, own in zip(self._members, ring.rings, strict=True)]
        total: NDArray[np.float32] = np.sum(logits, axis=0, dtype=np.float32)
        return total

    def close(self) -> None:
        for member in self._members:
            member.close()
