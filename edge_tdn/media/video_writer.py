"""Pictures -> a video file: H.264 through GStreamer, MPEG-4 through OpenCV where GStreamer is missing."""

import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_tdn.errors import EdgeTdnError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S, Picture, Rgbx

ENCODERS = (  # the first installed one is used
    "x264enc speed-preset=veryfast bitrate={kbps} ! h264parse",
    "openh264enc bitrate={bps} ! h264parse",
    "avenc_mpeg4 bitrate={bps}",
)
LIVE_ENCODERS = (  # one thread, without look-ahead: a third of the processor time, and soon finished
    "x264enc speed-preset=superfast tune=zerolatency threads=1 pass=qual quantizer=24 key-int-max=60 ! h264parse",
    *ENCODERS[1:],
)
KBPS = 3000
MAX_WAITING = 8  # pictures queued for the encoder
POLL_S = 0.002


def write_video(pictures: Iterable[Picture], rate: int, path: Path, encoders: Sequence[str] = ENCODERS) -> None:
    """Write pictures, uint8 RGB [H, W, 3] of one size, as an MP4 of `rate` frames per second; atomically.

    `encoders`: GStreamer's elements between 4:2:0 pictures and the MP4; the first installed one is used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".mp4", dir=path.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        if encoders is not ENCODERS or gstreamer.available():
            _with_gstreamer(pictures, rate, scratch, encoders)
        else:
            _with_opencv(pictures, rate, scratch)
        scratch.replace(path)
    except OSError as error:
        raise EdgeTdnError(f"{path}: {error.strerror}") from error
    finally:
        scratch.unlink(missing_ok=True)


class VideoWriter:
    """Writes an MP4 picture by picture, through GStreamer. Used by one thread, which must call `close` in any case.

    A file that is not finished is not playable.
    """

    def __init__(self, path: Path, encoders: Sequence[str] = ENCODERS, rate: int = 30) -> None:
        """`encoders`: see `write_video`. `rate`: declared frames per second; each picture has a time of its own."""
        Gst, _ = gstreamer.load()
        encoder = next((each for each in encoders if Gst.ElementFactory.find(each.split()[0])), None)
        if encoder is None:
            raise EdgeTdnError("GStreamer has no H.264 or MPEG-4 encoder; install gstreamer1.0-plugins-ugly")
        self._gst, self._path, self._rate = Gst, path, rate
        encoder = encoder.format(kbps=KBPS, bps=KBPS * 1000)
        self._pipeline = Gst.parse_launch(
            "appsrc name=src format=time ! videoconvert ! capsfilter name=caps ! "
            f"{encoder} ! mp4mux ! filesink name=sink"
        )
        self._pipeline.get_by_name("sink").set_property("location", str(path))
        self._source = self._pipeline.get_by_name("src")
        self._pipeline.set_state(Gst.State.PLAYING)
        self._configured = False

    def write(self, picture: Picture | Rgbx, pts_ns: int) -> None:
        """Add a picture, uint8 RGB [H, W, 3] or RGBX [H, W, 4], of the same size as and later than the one before.

        It is shown until the next one; the last one for 1 / `rate`. Blocks while the encoder's queue is full. Raises
        EdgeTdnError if the file cannot be written.
        """
        height, width, channels = picture.shape
        if not self._configured:
            self._configure(height, width, channels)
        self._wait_for_room()
        rows = np.pad(picture.reshape(height, -1), ((0, 0), (0, -width * channels % 4)))  # GStreamer's rows of RGB
        buffer = self._gst.Buffer.new_wrapped(rows.tobytes())
        buffer.pts, buffer.duration = pts_ns, NS_PER_S // self._rate
        if self._source.emit("push-buffer", buffer) != self._gst.FlowReturn.OK:
            raise EdgeTdnError("the encoder stopped; see GST_DEBUG=3")

    def finish(self, within_s: float | None = None) -> None:
        """Write the rest and the index. Raises EdgeTdnError if that fails, or takes longer than `within_s`."""
        Gst, message = self._gst, None
        if within_s is None or within_s > 0:
            self._source.end_of_stream()
            limit = Gst.CLOCK_TIME_NONE if within_s is None else int(within_s * NS_PER_S)
            message = self._pipeline.get_bus().timed_pop_filtered(limit, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        if message is None:
            raise EdgeTdnError(f"{self._path}: not finished within {within_s:g} s")
        self._check(message)

    def close(self) -> None:
        """Stop the pipeline and free its threads."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _configure(self, height: int, width: int, channels: int) -> None:
        """Set the format of the pictures; they are encoded as 4:2:0, which everything plays, unless a side is odd."""
        self._configured = True
        layout = "RGB" if channels == 3 else "RGBx"
        caps = f"video/x-raw,format={layout},width={width},height={height},framerate={self._rate}/1"
        self._source.set_property("caps", self._gst.Caps.from_string(caps))
        if height % 2 == width % 2 == 0:
            caps = self._gst.Caps.from_string("video/x-raw,format=I420")
            self._pipeline.get_by_name("caps").set_property("caps", caps)

    def _wait_for_room(self) -> None:
        """Wait until few pictures are queued (appsrc's own wait would never end if the file cannot be written)."""
        while True:
            self._check(self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR))
            if self._source.get_property("current-level-buffers") < MAX_WAITING:
                return
            time.sleep(POLL_S)

    def _check(self, message: Any) -> None:
        if message is not None and message.type == self._gst.MessageType.ERROR:
            raise EdgeTdnError(f"{self._path}: cannot be written: {message.parse_error()[0].message.strip(' .')}")


def _with_gstreamer(pictures: Iterable[Picture], rate: int, path: Path, encoders: Sequence[str]) -> None:
    with closing(VideoWriter(path, encoders, rate)) as writer:
        for number, picture in enumerate(pictures):
            writer.write(picture, number * NS_PER_S // rate)
        writer.finish()


def _with_opencv(pictures: Iterable[Picture], rate: int, path: Path) -> None:
    writer: cv2.VideoWriter | None = None
    for picture in pictures:
        if writer is None:
            height, width = picture.shape[:2]
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (width, height))
            if not writer.isOpened():
                raise EdgeTdnError(f"{path}: OpenCV cannot write an MPEG-4 video here")
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if writer is not None:
        writer.release()
