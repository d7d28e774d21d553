"""The position in one stream: frame size and presentation times, and whether its end came too early."""

from edge_tdn.capture.capture import Capture, CapturedFrame
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S

MAX_MISSING_S = 0.5  # a file that ends this much before its declared length is damaged

ONE_PICTURE, SNAPSHOT = "one picture, not a stream", "is this the address of a snapshot?"


class StreamPosition:
    """The position in one connection's stream. Used by one thread."""

    def __init__(self) -> None:
        self.size: tuple[int, int] | None = None  # height, width of the last frame; None before the first
        self._frames = 0
        self._pts_ns = self._end_ns = 0

    def advance(self, frame: CapturedFrame) -> bool:
        """Move on to this frame. Return True if it has another size than the one before, or is the first."""
        self._frames += 1
        self._end_ns = 2 * frame.pts_ns - self._pts_ns  # a frame is as long as the one before
        self._pts_ns = frame.pts_ns
        before, self.size = self.size, frame.decoded.size
        return self.size != before

    def check_end(self, name: str, capture: Capture) -> None:
        """Raise SourceError if the stream ended too early, as a live source always does."""
        if capture.live and self._frames == 1:
            raise SourceError(f"{name}: {ONE_PICTURE}; {SNAPSHOT}", "stalled")
        if capture.live:
            raise SourceError(f"{name}: the camera ended the stream", "stalled" if self.size else "unreachable")
        if self.size is None:
            raise SourceError(f"{name}: no picture in it", "ended")
        if self._frames == 1 and not capture.declared_s:
            raise SourceError(f"{name}: one picture, not a video", "ended")
        end_s = self._end_ns / NS_PER_S
        if capture.declared_s and capture.declared_s - end_s > MAX_MISSING_S:
            raise SourceError(f"{name}: damaged: ends at {end_s:.1f} s of {capture.declared_s:.1f} s", "ended")
