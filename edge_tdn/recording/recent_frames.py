"""The last frames of one stream, kept for an action that may turn out to contain them."""

import threading

from edge_tdn.messages import NS_PER_MS, NS_PER_S, Frame

UNTHINNED_SHARE = 4  # the newest 1/4 of the frames are never thinned out


class RecentFrames:
    """The frames of the last seconds, within a limit of bytes. Safe between threads: one lock guards everything.

    Above the limit the frame leaves that is missed least: the one whose neighbours are closest together.
    """

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.span_ns = int(seconds * NS_PER_S)
        self.nbytes = 0
        self._max_bytes = max_bytes
        self._frames: list[Frame] = []  # oldest first
        self._lock = threading.Lock()

    def push(self, frame: Frame) -> int:
        """Add the newest frame. Return the bytes that all frames would take if some had to leave for it, else 0."""
        with self._lock:
            frames = self._frames
            if frames and (frame.stream != frames[-1].stream or frame.pts_ns <= frames[-1].pts_ns):
                frames.clear()
                self.nbytes = 0
            frames.append(frame)
            self.nbytes += frame.decoded.nbytes
            while frame.pts_ns - frames[0].pts_ns > self.span_ns:
                self._forget(0)
            if self.nbytes <= self._max_bytes or len(frames) < 3:
                return 0
            step_ns = frame.pts_ns - frames[-2].pts_ns
            while self.nbytes > self._max_bytes and len(frames) > 2:
                inner = range(1, len(frames) - max(1, len(frames) // UNTHINNED_SHARE))
                self._forget(min(inner, key=lambda i: frames[i + 1].pts_ns - frames[i - 1].pts_ns, default=0))
            return frame.decoded.nbytes * (self.span_ns // step_ns + 1)

    def nearest(self, pts_ns: int, within_ns: tuple[int, int]) -> Frame | None:
        """Return the frame next to this time. None if the frames of `within_ns` are gone, or of another stream."""
        first, last = within_ns
        with self._lock:
            if not self._frames or self._frames[-1].pts_ns < last - NS_PER_MS:
                return None
            frame = min(self._frames, key=lambda frame: abs(frame.pts_ns - pts_ns))
        return frame if first <= frame.pts_ns <= last else None

    def after(self, pts_ns: int, stream: int | None = None) -> list[Frame]:
        """Return the frames after a time, oldest first. `stream`: only those of this one."""
        with self._lock:
            return [f for f in self._frames if f.pts_ns > pts_ns and stream in (None, f.stream)]

    @property
    def newest(self) -> Frame | None:
        """The last frame that was added."""
        with self._lock:
            return self._frames[-1] if self._frames else None

    def _forget(self, index: int) -> None:
        self.nbytes -= self._frames[index].decoded.nbytes
        del self._frames[index]
