"""Take one picture of a source, in one attempt."""

import time
from contextlib import closing
from pathlib import Path

from edge_tdn.capture.address import find
from edge_tdn.capture.capture import POLL_S, EndOfStream
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.capture.stream_position import StreamPosition
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S, Decoded

SETTLE_S = 1.0  # stream time in which a camera sets its exposure and a film fades in


def one_picture(camera: CameraConfig, base: Path, timing: CaptureTiming = DEFAULT_TIMING) -> Decoded:
    """Return the picture SETTLE_S after the first one, or the last one of a shorter video.

    `base`: the folder of relative paths. SourceError: the source cannot be played, or sends no picture.
    """
    picture, first_ns, position = None, None, StreamPosition()
    with closing(open_capture(camera, base, paced=False)) as capture:
        deadline_s = time.monotonic() + timing.first_frame_s
        while time.monotonic() < deadline_s:
            try:
                captured = capture.read(POLL_S)
            except EndOfStream:
                if picture is None:
                    position.check_end(find(camera, base).shown, capture)
                break
            if captured is None:
                continue
            position.advance(captured)
            picture = captured.decoded
            first_ns = captured.pts_ns if first_ns is None else first_ns
            if captured.pts_ns - first_ns >= SETTLE_S * NS_PER_S:
                break
        if picture is None:
            cause = f": {capture.silence}" if capture.silence else ""
            raise SourceError(find(camera, base).message(f"no picture for {timing.first_frame_s:.0f} s{cause}"))
    return picture
