"""An MP4 of one action while it is written."""

import time
from pathlib import Path

import numpy as np

from edge_tdn.errors import EdgeTdnError
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import NS_PER_S, ActionEvent, Frame, Rgbx

NO_FRAMES = "no buffered frames left for this clip; raise record.memory_mb"
NO_FRAMES_YET = "no frames have come yet; see the state of the camera and of its record_source"


class ClipFile:
    """Writes frames to `scratch`, at the distances that they have in the stream. Belongs to the recorder's thread."""

    def __init__(self, event: ActionEvent, scratch: Path, stream: int, from_ns: int, until_ns: int) -> None:
        """`from_ns`, `until_ns`: PTS of the first and the last frame to write."""
        self.event, self.scratch, self.stream = event, scratch, stream
        self.until_ns = until_ns
        self.last_ns = from_ns - 1  # PTS of the last frame
        self.ended = False  # `until_ns` is final
        self._received_ns = time.monotonic_ns()  # when the last frame came
        self._writer: VideoWriter | None = None
        self._first_ns = 0  # PTS of the first frame
        self._rgbx: Rgbx = np.empty((0, 0, 4), np.uint8)

    @property
    def silent_s(self) -> float:
        """Seconds since the last frame."""
        return (time.monotonic_ns() - self._received_ns) / NS_PER_S

    def write(self, frame: Frame) -> None:
        """Append a frame."""
        if self._writer is None:
            self._writer = VideoWriter(self.scratch, LIVE_ENCODERS)
            self._first_ns = frame.pts_ns
            self._rgbx = np.empty((*frame.decoded.size, 4), np.uint8)
        frame.decoded.rgbx(self._rgbx)
        self._writer.write(self._rgbx, frame.pts_ns - self._first_ns)
        self.last_ns, self._received_ns = frame.pts_ns, time.monotonic_ns()

    def end(self, last_ns: int) -> None:
        """Make `last_ns` (PTS) the end, unless the clip ends earlier anyway."""
        self.until_ns = min(self.until_ns, last_ns)
        self.ended = True

    def finish(self, within_s: float | None) -> None:
        """Complete the file. EdgeTdnError: it has no frame, or `within_s` was too short."""
        if self._writer is None:
            raise EdgeTdnError(NO_FRAMES)
        self._writer.finish(within_s)

    def close(self) -> None:
        """Free the encoder, whether or not the file is complete."""
        if self._writer is not None:
            self._writer.close()
