"""The rate at which a camera delivers frames, and whether it is enough for the model."""

import time
from collections import deque

from edge_tdn.messages import NS_PER_S

REPORTED_S = 2.0  # of the frames that the reported rate is taken from
JUDGED_S = 10.0  # of those that are compared with the model's rate: a hiccup or a burst does not count
MAX_FRAMES = 1000  # of these, at most
MIN_SHARE = 0.9  # of the model's frame rate
MIN_COVERED = 0.8  # share of JUDGED_S without which a stream is too new for a verdict


class FrameRate:
    """The arrivals of one camera's last frames. Used under the lock of its owner."""

    def __init__(self) -> None:
        self._arrivals_ns: deque[int] = deque(maxlen=MAX_FRAMES)  # monotonic clock

    def push(self, received_ns: int) -> None:
        """Count a frame."""
        self._arrivals_ns.append(received_ns)

    @property
    def fps(self) -> float:
        """The frames per second of late; 0 if there are none."""
        return self._over(REPORTED_S)[0]

    def shortage(self, expected: float) -> str:
        """Return what is wrong if frames come more slowly than the model's `expected` frames per second."""
        fps, covered_s = self._over(JUDGED_S)
        if covered_s < MIN_COVERED * JUDGED_S or fps >= MIN_SHARE * expected:
            return ""
        return f"{fps:.2g} fps, the model expects {expected:g}: frames are repeated, and actions missed"

    def _over(self, span_s: float) -> tuple[float, float]:
        """Return the frames per second of the last seconds, and how many of these the frames cover."""
        now_ns = time.monotonic_ns()
        recent = [at_ns for at_ns in self._arrivals_ns if now_ns - at_ns < span_s * NS_PER_S]
        covered_s = (recent[-1] - recent[0]) / NS_PER_S if recent else 0.0
        return ((len(recent) - 1) / covered_s, covered_s) if covered_s else (0.0, 0.0)
