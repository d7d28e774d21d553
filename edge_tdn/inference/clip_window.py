"""The last T segments of one camera, and which of them the runtime has encoded."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.runtime import Ring
from edge_tdn.messages import Segment


class ClipWindow:
    """The segments of the next clip, their features in `ring`, and the logits that a still scene repeats.

    Belongs to the runtime thread; `segments` may be called by any.
    """

    def __init__(self, ring: Ring, max_segments: int) -> None:
        self.ring = ring
        self.still_logits: NDArray[np.float32] | None = None  # set once the scene has been still for a whole clip
        self._segments: deque[Segment] = deque(maxlen=max_segments)
        self._unencoded = 0  # the newest segments, which are not in the ring yet

    def segments(self) -> list[Segment]:
        """Return the segments, oldest first."""
        return list(self._segments.copy())

    @property
    def newest(self) -> Segment | None:
        """The last segment that was appended."""
        return self._segments[-1] if self._segments else None

    def append(self, segment: Segment) -> None:
        """Add a segment; with more than T the oldest leaves. One that moves ends the still scene."""
        if not segment.still:
            self.still_logits = None
        self._segments.append(segment)
        self._unencoded = min(self._unencoded + 1, self._segments.maxlen or 0)

    def take_unencoded(self) -> list[Segment]:
        """Return what the ring lacks, oldest first, to be encoded now. Of a still scene nothing is due yet."""
        if self.still_logits is not None:
            return []
        first, self._unencoded = len(self._segments) - self._unencoded, 0
        return list(self._segments)[first:]

    def keep_if_still(self, logits: NDArray[np.float32]) -> None:
        """Keep a clip's logits for repetition, provided that nothing moves from its first segment to its last."""
        self.still_logits = logits if all(segment.still for segment in self._segments) else None

    def move_to(self, ring: Ring) -> None:
        """Continue in another runtime's ring, which holds these segments already. A still scene is computed again."""
        self.ring, self._unencoded, self.still_logits = ring, 0, None

    def clear(self) -> None:
        """Remove everything: no clip spans a gap."""
        self.ring.clear()
        self._segments.clear()
        self._unencoded, self.still_logits = 0, None
