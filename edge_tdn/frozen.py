"""Whether a camera shows one picture for ever: its sensor or its encoder has stopped, its connection has not. Pure.

A sensor's noise makes every picture another one. Between it and us stands an encoder, which takes noise away, and adds
to a still picture what its key frames and its rate control change. What tells a frozen picture is that it comes back:
of the samples of a picture that are neither black nor white, less than SAME differ from those of one that came
between LAG * after_s and after_s before; and that again and again for the rest of after_s, while nothing moves.

Least share of samples that differ, of pictures 6 to 8 s apart, 640x480 at 15 frames a second, key frames every 2 s:

    living: noise of 0.5 to 4 grey levels         0.15 to 0.75   H.264 at 100 kbit/s to 2 Mbit/s or quantizer 28 and 34,
    living: a bare wall, noise of 0.5 and 1       0.03 to 0.27   VP8, MJPEG
    frozen: sent again and again, or MJPEG        0
    frozen: H.264 and MPEG-4 of a fixed quality   0              8 to 10 s after it froze
    frozen: H.264 of a fixed bitrate, 2 Mbit/s    0.04 to 0.16   10 s after it froze; 0.01 after 14 s, if at all
            less                                  up to 0.68     the encoder goes on mending, for minutes

What cannot be told: a still scene whose noise the encoder removes to the bit until its next key frame (H.264 at
quantizer 30 removes 1 grey level) looks frozen until then, so after_s must be longer than from one key frame to the
next. A frozen sensor behind an encoder that goes on mending, or behind a clock that is written into the picture, looks
alive. In the dark, where less than LIT of the samples could show noise, a picture must come back to the bit.
"""

from collections import deque

import numpy as np

from edge_tdn.messages import NS_PER_S, Luma

SAMPLES = 80  # about so many pixels along the longer side of a picture are looked at
KEPT = 40  # pictures in after_s that are compared
LAG = 0.75  # of after_s
SAME = 0.015  # of the lit samples
LIT = 0.05  # of all samples
BLACK, WHITE = 48, 230  # grey levels, of 16 to 235: samples beyond show no noise
PAUSE = 0.2  # of after_s without a picture that came back: it is alive. A key frame takes so long to be mended
WAKES = 0.5  # of after_s, where it was frozen: no flapping while the encoder mends. What moves wakes it at once
MOVED = 64  # grey levels, from one picture to the next: something moves, whatever the encoder does


class FrozenJudge:
    """One camera's, over all its connections. Used by one thread. `after_s`: seconds."""

    def __init__(self, after_s: float) -> None:
        self._after_ns = int(after_s * NS_PER_S)
        self._kept: deque[tuple[int, Luma]] = deque()  # oldest first, with their arrival
        self._newest: Luma | None = None
        self._back_from_ns: int | None = None  # since then pictures come back
        self._back_ns = 0  # the last that did
        self._doubted_until_ns = 0
        self.frozen = False

    def push(self, samples: Luma, received_ns: int) -> bool:
        """Whether the camera is frozen, now that this picture came. `samples`: of its luma, as `step` says."""
        change, self._newest = self._change(samples), samples
        if change > MOVED:
            self._begin()
        if self._kept and (received_ns - self._kept[-1][0]) * KEPT < self._after_ns:
            return self.frozen
        self._kept.append((received_ns, samples))
        while received_ns - self._kept[0][0] > self._after_ns:
            self._kept.popleft()
        self._judge(samples, received_ns)
        return self.frozen

    def reopened(self, received_ns: int) -> None:
        """A new connection to a frozen camera. Its encoder begins anew: what that changes is no sign of life."""
        if self.frozen:
            self._doubted_until_ns = received_ns + self._after_ns

    def _change(self, samples: Luma) -> int:
        """The largest, to the picture before."""
        if self._newest is None or self._newest.shape != samples.shape:
            return MOVED + 1
        return int((np.maximum(samples, self._newest) - np.minimum(samples, self._newest)).max())

    def _begin(self) -> None:
        """Something moves."""
        self._kept.clear()
        self._back_from_ns, self._doubted_until_ns, self.frozen = None, 0, False

    def _judge(self, samples: Luma, received_ns: int) -> None:
        lag_ns = int(LAG * self._after_ns)
        if self._comes_back(samples, received_ns - lag_ns):
            self._back_ns = received_ns
            self._back_from_ns = received_ns if self._back_from_ns is None else self._back_from_ns
        elif received_ns - self._back_ns > (WAKES if self.frozen else PAUSE) * self._after_ns:
            self._back_from_ns = None
        back_ns = 0 if self._back_from_ns is None else received_ns - self._back_from_ns
        doubted = self.frozen and received_ns < self._doubted_until_ns
        self.frozen = doubted or lag_ns + back_ns >= self._after_ns

    def _comes_back(self, samples: Luma, before_ns: int) -> bool:
        """Whether it is like one of the pictures that came before then."""
        older = [kept for arrived_ns, kept in self._kept if arrived_ns <= before_ns]
        if not older:
            return False
        lit = (samples >= BLACK) & (samples <= WHITE)
        count = np.count_nonzero(lit)
        if count < LIT * samples.size:
            return any(np.array_equal(samples, kept) for kept in older)
        return any(np.count_nonzero((samples != kept) & lit) <= SAME * count for kept in older)


def step(size: tuple[int, int]) -> int:
    """Of a picture of this height and width every so many pixels of every so many rows are looked at."""
    return max(1, max(size) // SAMPLES)
