"""The wall clock of an RTSP camera, from its RTCP sender reports."""

import logging
import time
from typing import Any

from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S

NTP_EPOCH_NS = 2_208_988_800 * NS_PER_S  # from 1900, where NTP begins, to 1970
MAX_AHEAD_NS = NS_PER_S // 2  # a frame may seem this much later than its arrival ...
MAX_BEHIND_NS = 5 * NS_PER_S  # ... or this much earlier; beyond, the camera's clock is wrong

log = logging.getLogger(__name__)


class CameraClock:
    """One connection's camera clock. Used by the thread that reads the capture."""

    def __init__(self, camera: str) -> None:
        Gst, _ = gstreamer.load()
        self._camera = camera
        self._ntp = Gst.Caps.from_string("timestamp/x-ntp")
        self._wrong = False

    def wall_ns(self, buffer: Any) -> int | None:
        """Return when the camera took this frame, in ns since 1970; None if it is unknown, or the clock is wrong."""
        reference = buffer.get_reference_timestamp_meta(self._ntp)
        if reference is None or self._wrong:
            return None
        wall_ns: int = reference.timestamp - NTP_EPOCH_NS
        behind_ns = time.time_ns() - wall_ns
        if not -MAX_AHEAD_NS <= behind_ns <= MAX_BEHIND_NS:
            self._wrong = True  # for this connection: times must not alternate between two clocks
            log.warning("camera=%s clock=host: the camera's own is %+.1f s off", self._camera, -behind_ns / NS_PER_S)
            return None
        return wall_ns
