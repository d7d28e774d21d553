"""Several networks on one stream: each takes its own segments of the same ticks, and their logits are added."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.messages import FRAMES_PER_SEGMENT


class EnsembleRing:
    """One ring per network."""

    def __init__(self, rings: Sequence[Ring]) -> None:
        self.rings = tuple(rings)

    @property
    def full(self) -> bool:
        return all(ring.full for ring in self.rings)

    def clear(self) -> None:
        for ring in self.rings:
            ring.clear()

    def newest(self) -> dict[str, NDArray[np.float32]]:
        """Return the newest features of all networks; names begin with the network's number, from 0: `1.h`."""
        own = [(number, ring.newest()) for number, ring in enumerate(self.rings)]
        return {f"{number}.{name}": value for number, values in own for name, value in values.items()}


class EnsembleRuntime:
    """A runtime of several networks, used by one thread.

    `members`: one runtime per network; `per_segment`: number of its segments in one segment of the ensemble.
    """

    def __init__(self, members: Sequence[Runtime], per_segment: Sequence[int]) -> None:
        self.device, self.precision = members[0].device, members[0].precision
        self.batch = min(member.batch for member in members)
        self._members, self._per_segment = tuple(members), tuple(per_segment)

    def ring(self) -> EnsembleRing:
        return EnsembleRing([member.ring() for member in self._members])

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[Ring]) -> None:
        """Encode segments, uint8 [5 * sum(per_segment), H, W, 3], RGB: network after network, each oldest first."""
        first = 0
        for member, own, count in zip(self._members, _by_member(rings), self._per_segment, strict=True):
            last = first + count * FRAMES_PER_SEGMENT
            starts = range(first, last, FRAMES_PER_SEGMENT)
            parts = [frames[start : start + FRAMES_PER_SEGMENT] for frames in segments for start in starts]
            member.encode(parts, [ring for ring in own for _ in starts])
            first = last

    def classify(self, rings: Sequence[Ring]) -> NDArray[np.float32]:
        logits = [member.classify(own) for member, own in zip(self._members, _by_member(rings), strict=True)]
        total: NDArray[np.float32] = np.sum(logits, axis=0, dtype=np.float32)
        return total

    def close(self) -> None:
        for member in self._members:
            member.close()


def _by_member(rings: Sequence[Ring]) -> list[tuple[Ring, ...]]:
    """Return for each network its rings of all cameras."""
    own = []
    for ring in rings:
        assert isinstance(ring, EnsembleRing)
        own.append(ring.rings)
    return list(zip(*own, strict=True))
