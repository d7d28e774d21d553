"""Read a video file as fast as it decodes, through the same decoder and conversion as a camera.

A folder of numbered pictures is a video as well.
"""

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Literal

from edge_tdn.capture.capture import POLL_S, Capture, EndOfStream
from edge_tdn.capture.crop import Crop
from edge_tdn.capture.open_capture import open_capture
from edge_tdn.capture.picture_folder import AS_FOUND, PictureCapture, Pictures
from edge_tdn.capture.stream_position import StreamPosition
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.errors import SourceError
from edge_tdn.messages import Frame

Decoder = Literal["auto", "gstreamer", "opencv"]
Rotation = Literal[0, 90, 180, 270]
Region = tuple[float, float, float, float]  # see `Crop`


def read_file(
    path: Path,
    decoder: Decoder = "auto",
    rotate: Rotation = 0,
    region: Region = WHOLE,
    timing: CaptureTiming = DEFAULT_TIMING,
    pictures: Pictures = AS_FOUND,
) -> Iterator[Frame]:
    """Yield every frame of a video file, or of a folder of numbered pictures, which `pictures` describes.

    Raises SourceError if it cannot be played or is damaged.
    """
    with closing(_open(path, pictures, decoder, rotate, region)) as capture:
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
    path: Path,
    decoder: Decoder = "auto",
    timing: CaptureTiming = DEFAULT_TIMING,
    pictures: Pictures = AS_FOUND,
) -> float | None:
    """Return the length that a video file declares, in seconds, or None. Raises SourceError if it cannot be played.

    None for a folder of pictures without a rate of their own.
    """
    if path.is_dir() and not pictures.per_second:
        return None
    deadline_s = time.monotonic() + timing.first_frame_s
    with closing(_open(path, pictures, decoder)) as capture, suppress(EndOfStream):
        while capture.read(POLL_S) is None and time.monotonic() < deadline_s:  # a read that fails raises the reason
            pass
    return capture.declared_s or None


def _open(path: Path, pictures: Pictures, decoder: Decoder, rotate: Rotation = 0, region: Region = WHOLE) -> Capture:
    if path.is_dir():
        return PictureCapture(path, pictures, Crop(rotate, region))
    source = str(path.resolve())
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{path}: the name is not UTF-8; rename the file", "ended") from error
    camera = CameraConfig(name="file", source=source, decoder=decoder, rotate=rotate, region=region)
    return open_capture(camera, Path(), paced=False)
