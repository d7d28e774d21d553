"""Detect a camera that repeats one picture: its sensor or encoder has stopped, its connection has not. Pure.

A sensor's noise makes every picture different. Between it and us stands an encoder, which removes noise: from one key
frame to the next, for 10 s with some cameras, it may repeat a live picture to the bit. A key frame is encoded from
nothing but what the sensor sees, so only key frames are compared, each with the first of those that were alike: less
than MAX_CHANGED of the samples that are neither black nor white differ. If the picture is still alike after nearly
after_s, and nothing moved, the camera is frozen. With most cameras that is the second key frame.

Measured with four still scenes (H.264, 320x240 at 15 frames per second, 24 s each; quantizers 24, 30 and 36 and 300
kbit/s; a key frame every 2, 4 and 10 s; noise of 0.5, 1 and 2 grey levels), after_s = 2:

    live                                               never reported as frozen
    frozen, quantizer 30 or 36, key frame every 2 s    after 3 to 4 s, every 4 s 6 to 8 s, every 10 s 15 to 19 s
    frozen, a quantizer that x264 chooses (about 24)   5 to 9 s, 11 s, 15 s: the second key frame still improves
    frozen, 300 kbit/s                                 6 to 23 s, or never: the encoder keeps improving, for minutes

Limits: a frozen sensor behind an encoder that keeps improving the picture, or behind a clock that is drawn into it,
looks live. A picture that is black to the bit looks frozen. Where the key frames are unknown (OpenCV), pictures that
are after_s / 3 apart are compared, for KEYLESS times as long, which must be longer than from one key frame to the next.
"""

import numpy as np

from edge_tdn.capture.capture import CapturedFrame
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S, Luma

SAMPLES = 80  # about this many pixels along the longer side of a picture are compared
MAX_CHANGED = 0.015  # share of the lit samples that may differ in pictures that are alike
MIN_LIT = 0.05  # share of all samples; with fewer lit, only pictures that are equal to the bit are alike
BLACK, WHITE = 48, 230  # grey levels, of 16 to 235: samples outside show no noise
NEARLY = 0.9  # share of after_s: a key frame every 2 s sometimes comes a little early
KEYLESS = 3.5
CHECKS, KEYLESS_CHECKS = 6, 3  # comparisons in after_s, where every frame is a key frame, and where that is unknown
MAX_PAUSE = 1.0  # share of after_s: two pictures further apart do not show what happened between them
MAX_STEP = 32  # grey levels from one picture to the next; more is motion. Improving encoders changed up to 26


class FrozenDetector:
    """Detects a frozen picture of one camera, over all its connections. Used by one thread."""

    def __init__(self, after_s: float, max_doubt_s: float) -> None:
        """`after_s`: how long a picture must stay alike. `max_doubt_s`: see `CaptureTiming.max_frozen_doubt_s`."""
        self._after_ns = int(after_s * NS_PER_S)
        self._doubt_ns = min(int(KEYLESS * self._after_ns), int(max_doubt_s * NS_PER_S))
        self._newest: Luma | None = None
        self._newest_ns = self._compared_ns = 0
        self._first: Luma | None = None  # the first of the pictures that are alike
        self._first_ns = 0
        self._differed = False  # the last compared picture did
        self._doubted_until_ns = 0
        self.frozen = False

    def push(self, samples: Luma, received_ns: int, key: bool | None = None) -> bool:
        """Add a picture, and return whether the camera is frozen. `samples`: its luma, sampled every `step`.

        `key`: it comes from a key frame; None: unknown.
        """
        if self._change(samples) > MAX_STEP:
            self._restart()
        elif not self.frozen and received_ns - self._newest_ns > MAX_PAUSE * self._after_ns and key is None:
            self._first = None
        self._newest, self._newest_ns = samples, received_ns
        checks = CHECKS if key else KEYLESS_CHECKS
        if key is not False and (received_ns - self._compared_ns) * checks >= self._after_ns:
            self._compared_ns = received_ns
            self._compare(samples, received_ns, int((NEARLY if key else KEYLESS) * self._after_ns))
        return self.frozen

    def reconnected(self, received_ns: int) -> None:
        """Start a new connection. The encoder of a frozen camera restarts, which is not a sign of life."""
        if self.frozen:
            self._doubted_until_ns = received_ns + self._doubt_ns
        else:
            self._first = None

    def _change(self, samples: Luma) -> int:
        """Return the largest difference to the picture before, in grey levels."""
        if self._newest is None or self._newest.shape != samples.shape:
            return MAX_STEP + 1
        return int((np.maximum(samples, self._newest) - np.minimum(samples, self._newest)).max())

    def _restart(self) -> None:
        """Forget everything: something moves."""
        self._first = None
        self._doubted_until_ns, self._differed, self.frozen = 0, False, False

    def _compare(self, samples: Luma, received_ns: int, after_ns: int) -> None:
        if self._first is not None and _alike(samples, self._first):
            self._differed = False
            self.frozen = self.frozen or received_ns - self._first_ns >= after_ns
            return
        if self.frozen and self._differed and received_ns >= self._doubted_until_ns:  # a single one may be the encoder
            self.frozen = False
        self._first, self._first_ns, self._differed = samples, received_ns, True


class FrozenWatch:
    """Watches one camera for a frozen picture, and asks for ever rarer reconnects while it is. Used by one thread."""

    def __init__(self, after_s: float, timing: CaptureTiming) -> None:
        self.reason = f"the same picture for {after_s:g} s"
        self._timing = timing
        self._detector = FrozenDetector(after_s, timing.max_frozen_doubt_s)
        self._retry_s = timing.frozen_retry_min_s
        self._since_ns: int | None = None  # arrival of this connection's first frozen frame

    def connected(self, received_ns: int) -> None:
        """Start a new connection, whose first frame arrived now."""
        self._since_ns = None
        self._detector.reconnected(received_ns)

    def push(self, frame: CapturedFrame, received_ns: int) -> bool:
        """Add a frame, and return whether the camera is frozen."""
        decoded = frame.decoded
        if not self._detector.push(decoded.sampled(step(decoded.size)), received_ns, frame.key):
            self._since_ns, self._retry_s = None, self._timing.frozen_retry_min_s
            return False
        if self._since_ns is None:
            self._since_ns = received_ns
        return True

    def check_retry(self, received_ns: int) -> None:
        """Raise SourceError when it is time to reconnect, which recovers many encoders."""
        if self._since_ns is not None and received_ns - self._since_ns >= self._retry_s * NS_PER_S:
            self._retry_s = min(2 * self._retry_s, self._timing.frozen_retry_max_s)
            raise SourceError(self.reason, "frozen")


def _alike(samples: Luma, first: Luma) -> bool:
    lit = (samples >= BLACK) & (samples <= WHITE)
    count = np.count_nonzero(lit)
    if count < MIN_LIT * samples.size:
        return np.array_equal(samples, first)
    return bool(np.count_nonzero((samples != first) & lit) <= MAX_CHANGED * count)


def step(size: tuple[int, int]) -> int:
    """Return the distance of the compared pixels and rows in a picture of this height and width."""
    return max(1, max(size) // SAMPLES)
