"""The number and the latency of a zone's clips."""

import threading
from collections import deque
from statistics import median

from edge_tdn.messages import Scores

LATENCY_CLIPS = 50  # the reported latency is the median of this many clips


class ClipStatistics:
    """The number and the latency of one zone's clips, guarded by one lock, and why the last one could not be used.

    `trouble` is replaced as one value by the runtime thread, and may be read by any.
    """

    def __init__(self) -> None:
        self.trouble = ""  # why the last clip could not be used; empty: it was
        self._lock = threading.Lock()
        self._clips = 0
        self._latencies_ms: deque[float] = deque(maxlen=LATENCY_CLIPS)

    def count(self, scores: Scores) -> None:
        """Count a clip. Repeated scores have no latency."""
        with self._lock:
            self._clips += 1
            if not scores.repeated:
                self._latencies_ms.append(scores.latency_ms)

    @property
    def clips(self) -> int:
        """Clips so far."""
        return self._clips

    @property
    def latency_ms(self) -> float:
        """The median of the last clips; 0 before the first."""
        with self._lock:
            return median(self._latencies_ms) if self._latencies_ms else 0.0
