"""The times of one connection's frames."""

from typing import Any

from edge_tdn.capture.camera_clock import CameraClock
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_MS, NS_PER_S

# A time that is at most this much before the one of the frame before is inaccurate; beyond, the stream has jumped.
MAX_BACK_NS = 100 * NS_PER_MS
# The same after a frame without a time of its own: on a busy host it was read this much after it had arrived.
MAX_LATE_NS = 10 * NS_PER_S


class FrameTimes:
    """The moments at which one connection's frames are shown, and were taken. Used by the thread that reads.

    An HTTP camera sends no times. GStreamer gives its frames the time at which their first bytes were read: the same to
    frames that arrive together, and none to those that arrive while the pipeline starts; to those that arrive between
    the choice of the pipeline's clock and that of its origin, the time since the host's start.
    """

    def __init__(self, pipeline: Any, camera: str) -> None:
        self.of_arrival = False  # frames have the times of their arrival, as those of an HTTP camera
        self._pipeline = pipeline
        self._camera_clock = CameraClock(camera)
        self._last_ns: int | None = None  # the last frame's time
        self._late = False  # it may be that of a frame which was read late, or follow on one

    def shown_ns(self, sample: Any) -> int:
        """Return the running time, not the buffer's own: it begins at 0 and still grows where a file's clock jumps.

        Inaccurate times are corrected to at least 1 ms after the frame before.
        """
        Gst, _ = gstreamer.load()
        shown_ns: int = sample.get_segment().to_running_time(Gst.Format.TIME, sample.get_buffer().pts)
        has_time = shown_ns != Gst.CLOCK_TIME_NONE
        if self.of_arrival or not has_time:
            now_ns: int = self._pipeline.get_current_running_time()
            has_time = has_time and shown_ns <= now_ns + MAX_LATE_NS
            if not has_time:
                shown_ns, self._late = now_ns, True
        max_back_ns = MAX_LATE_NS if self._late else MAX_BACK_NS
        if self._last_ns is not None and 0 <= self._last_ns - shown_ns <= max_back_ns:
            shown_ns = self._last_ns + NS_PER_MS
        elif has_time:
            self._late = False
        self._last_ns = shown_ns
        return shown_ns

    def taken_ns(self, sample: Any) -> int | None:
        """Return when the camera took a frame, in ns since 1970; None if it does not send its time, or a wrong one."""
        return self._camera_clock.wall_ns(sample.get_buffer())
