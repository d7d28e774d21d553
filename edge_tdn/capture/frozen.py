"""Whether a camera shows one picture for ever: its sensor or its encoder has stopped, its connection has not. Pure.

A sensor's noise makes every picture another one. Between it and us stands an encoder, which takes noise away: from one
key frame to the next, for 10 s with some cameras, it may repeat a living picture to the bit. A key frame is encoded
from nothing but what the sensor sees, so only key frames are compared, each with the first of those that were alike:
less than SAME of the samples that are neither black nor white differ. Nearly after_s later still, and nothing moved:
frozen. With most cameras that is the second key frame.

Measured with four still scenes (H.264, 320x240 at 15 frames a second, 24 s each; quantizers 24, 30 and 36 and 300
kbit/s; a key frame every 2, 4 and 10 s; noise of 0.5, 1 and 2 grey levels), after_s = 2:

    living                                         never called frozen
    frozen, quantizer 30 or 36, key frame every 2 s    noticed after 3 to 4 s, every 4 s after 6 to 8 s, 10 s 15 to 19 s
    frozen, a quantizer that x264 chooses (about 24)   5 to 9 s, 11 s, 15 s: the second key frame is not yet the last
    frozen, 300 kbit/s                                 6 to 23 s, or never: the encoder goes on mending, for minutes

What cannot be told: a frozen sensor behind an encoder that goes on mending, or behind a clock that is written into the
picture, looks alive. A picture that is black to the bit looks frozen. Where nobody says which are key frames (OpenCV),
pictures are compared that are after_s / 3 apart, for KEYLESS times as long, which must be longer than from one key
frame to the next.
"""

import numpy as np

from edge_tdn.messages import NS_PER_S, Luma

SAMPLES = 80  # about so many pixels along the longer side of a picture are looked at
SAME = 0.015  # of the lit samples
LIT = 0.05  # of all samples: with fewer only what is the same to the bit is alike
BLACK, WHITE = 48, 230  # grey levels, of 16 to 235: samples beyond show no noise
NEARLY = 0.9  # of after_s: a key frame every 2 s comes a little sooner now and then
KEYLESS = 3.5
DOUBTED_S = 7.0  # at most; a frozen camera is left alone for longer between two connections
OFTEN, SELDOM = 6, 3  # in after_s so many pictures are compared, where all are key frames, and where nobody says
PAUSE = 1.0  # of after_s: two pictures with nothing between them say nothing of what was there
MOVED = 32  # grey levels, from one picture to the next: something moves. An encoder that mends was seen to change 26


class FrozenJudge:
    """One camera's, over all its connections. Used by one thread. `after_s`: seconds."""

    def __init__(self, after_s: float) -> None:
        self._after_ns = int(after_s * NS_PER_S)
        self._newest: Luma | None = None
        self._newest_ns = self._compared_ns = 0
        self._first: Luma | None = None  # of those that were alike
        self._first_ns = 0
        self._differed = False  # the last that was compared
        self._doubted_until_ns = 0
        self.frozen = False

    def push(self, samples: Luma, received_ns: int, key: bool | None = None) -> bool:
        """Whether the camera is frozen, now that this picture came. `samples`: of its luma, as `step` says.

        `key`: it comes from a key frame, None: nobody knows.
        """
        if self._change(samples) > MOVED:
            self._begin()
        elif not self.frozen and received_ns - self._newest_ns > PAUSE * self._after_ns and key is None:
            self._first = None
        self._newest, self._newest_ns = samples, received_ns
        times = OFTEN if key else SELDOM
        if key is not False and (received_ns - self._compared_ns) * times >= self._after_ns:
            self._compared_ns = received_ns
            self._compare(samples, received_ns, int((NEARLY if key else KEYLESS) * self._after_ns))
        return self.frozen

    def reopened(self, received_ns: int) -> None:
        """A new connection. The encoder of a frozen camera begins anew: what that changes is no sign of life."""
        if not self.frozen:
            self._first = None
        else:
            self._doubted_until_ns = received_ns + min(int(KEYLESS * self._after_ns), int(DOUBTED_S * NS_PER_S))

    def _change(self, samples: Luma) -> int:
        """The largest, to the picture before."""
        if self._newest is None or self._newest.shape != samples.shape:
            return MOVED + 1
        return int((np.maximum(samples, self._newest) - np.minimum(samples, self._newest)).max())

    def _begin(self) -> None:
        """Something moves."""
        self._first = None
        self._doubted_until_ns, self._differed, self.frozen = 0, False, False

    def _compare(self, samples: Luma, received_ns: int, after_ns: int) -> None:
        if self._first is not None and _alike(samples, self._first):
            self._differed = False
            self.frozen = self.frozen or received_ns - self._first_ns >= after_ns
            return
        if self.frozen and self._differed and received_ns >= self._doubted_until_ns:  # one alone is the encoder's whim
            self.frozen = False
        self._first, self._first_ns, self._differed = samples, received_ns, True


def _alike(samples: Luma, first: Luma) -> bool:
    lit = (samples >= BLACK) & (samples <= WHITE)
    count = np.count_nonzero(lit)
    if count < LIT * samples.size:
        return np.array_equal(samples, first)
    return bool(np.count_nonzero((samples != first) & lit) <= SAME * count)


def step(size: tuple[int, int]) -> int:
    """Of a picture of this height and width every so many pixels of every so many rows are looked at."""
    return max(1, max(size) // SAMPLES)
