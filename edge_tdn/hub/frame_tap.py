"""Every frame of a camera for one more reader, who may be slower than the camera."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from math import inf

from edge_tdn.messages import Frame

TAPPED_FRAMES = 60  # that wait for the reader; more of them, and the oldest leave
POLL_S = 0.2  # for a stop, while no frame comes


class FrameTap:
    """A bounded queue of frames. The camera's thread puts them, and never waits; one other thread reads them.

    A camera restarts, and its configuration is read again, without a tap's notice: frames of another connection have
    another number of `stream`.
    """

    def __init__(self, max_frames: int = TAPPED_FRAMES) -> None:
        self.dropped = 0  # frames, because the reader was too slow
        self._frames: deque[Frame] = deque()
        self._max_frames = max_frames
        self._came = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Append a frame; if there are too many, drop the oldest. On the camera's thread."""
        with self._came:
            if len(self._frames) == self._max_frames:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append(frame)
            self._came.notify()

    def frames(self, stop: threading.Event, silence_s: float = inf) -> Iterator[Frame]:
        """Yield the frames, oldest first, until `stop` is set, or none comes for so long. On the reader's thread."""
        until_s = time.monotonic() + silence_s
        while not stop.is_set() and time.monotonic() < until_s:
            with self._came:
                if not self._frames:
                    self._came.wait(POLL_S)
                frame = self._frames.popleft() if self._frames else None
            if frame is not None and not stop.is_set():
                yield frame
                until_s = time.monotonic() + silence_s
