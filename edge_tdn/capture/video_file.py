"""Read a video file as fast as it decodes, through the same decoder and conversion as a camera."""

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from edge_tdn.capture.capture import POLL_S, EndOfStream
from edge_tdn.capture.crop import WHOLE
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.capture.stream_position import StreamPosition
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import Frame


def read_file(
    path: Path,
    decoder: Literal["auto", "gstreamer", "opencv"] = "auto",
    rotate: Literal[0, 90, 180, 270] = 0,
    region: tuple[float, float, float, float] = WHOLE,
    timing: CaptureTiming = DEFAULT_TIMING,
) -> Iterator[Frame]:
    """Yield every frame of a video file. Raises SourceError if it cannot be played or is damaged."""
    file = str(path.resolve())
    camera = CameraConfig(name="file", source=file, decoder=decoder, rotate=rotate, region=region)
    with closing(open_capture(camera, Path(), paced=False)) as capture:
        position = StreamPosition()
        seq = stream = 0
        deadline_s = time.monotonic() + timing.first_frame_s
        while True:
            try:
                captured = capture.read(POLL_S)
            except EndOfStream:
                position.check_end(str(path), capture)
                return
            if captured is None:
                if time.monotonic() > deadline_s:
                    raise SourceError(f"{path}: no picture for {timing.first_frame_s:.0f} s")
                continue
            deadline_s = time.monotonic() + timing.first_frame_s
            stream += position.advance(captured)
            seq += 1
            yield Frame(captured.decoded, captured.pts_ns, time.monotonic_ns(), captured.pts_ns, seq, stream)


def length_s(
    path: Path, decoder: Literal["auto", "gstreamer", "opencv"] = "auto", timing: CaptureTiming = DEFAULT_TIMING
) -> float | None:
    """Return the length that a video file declares, in seconds, or None. Raises SourceError if it cannot be played."""
    camera = CameraConfig(name="file", source=str(path.resolve()), decoder=decoder)
    deadline_s = time.monotonic() + timing.first_frame_s
    with closing(open_capture(camera, Path(), paced=False)) as capture, suppress(EndOfStream):
        while capture.read(POLL_S) is None and time.monotonic() < deadline_s:  # a read that fails raises the reason
            pass
    return capture.declared_s or None
