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

ENCODERS = (  # the first that is installed
    "x264enc speed-preset=veryfast bitrate={kbps} ! h264parse",
    "openh264enc bitrate={bps} ! h264parse",
    "avenc_mpeg4 bitrate={bps}",
)
LIVE_ENCODERS = (  # on one thread, with nothing held back: a third of the processor time, and soon finished
    "x264enc speed-preset=superfast tune=zerolatency threads=1 pass=qual quantizer=24 key-int-max=60 ! h264parse",
    *ENCODERS[1:],
)
KBPS = 3000
WAITING_MOST = 8  # pictures before the encoder


def write_video(pictures: Iterable[Picture], rate: int, path: Path, encoders: Sequence[str] = ENCODERS) -> None:
    """Writes pictures, uint8 RGB [H, W, 3] of one size, as an MP4 of `rate` frames a second; whole or not at all.

    `encoders`: GStreamer's elements between 4:2:0 pictures and the MP4; the first that is here is taken.
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
    """An MP4 that grows with every picture, through GStreamer. Whoever opens it closes it, in any case.

    A file that was not finished is not playable. `encoders`: as of `write_video`. `rate`: frames a second as declared;
    the pictures' own times count.
    """

    def __init__(self, path: Path, encoders: Sequence[str] = ENCODERS, rate: int = 30) -> None:
        Gst, _ = gstreamer.load()
        encoder = next((e for e in encoders if Gst.ElementFactory.find(e.split()[0])), None)
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
        self._agreed = False

    def write(self, picture: Picture | Rgbx, pts_ns: int) -> None:
        """Adds a picture, uint8 RGB [H, W, 3] or RGBX [H, W, 4], all of one size, later than the one before.

        It is shown until the next one; the last one for 1 / `rate`. Waits while others are before the encoder.
        EdgeTdnError: the file cannot be written.
        """
        height, width, channels = picture.shape
        if not self._agreed:
            self._agree(height, width, channels)
        self._wait_for_room()
        rows = np.pad(picture.reshape(height, -1), ((0, 0), (0, -width * channels % 4)))  # GStreamer's rows of RGB
        buffer = self._gst.Buffer.new_wrapped(rows.tobytes())
        buffer.pts, buffer.duration = pts_ns, NS_PER_S // self._rate
        if self._source.emit("push-buffer", buffer) != self._gst.FlowReturn.OK:
            raise EdgeTdnError("the encoder stopped; see GST_DEBUG=3")

    def finish(self, within_s: float | None = None) -> None:
        """Writes what is left, and the index. EdgeTdnError: it cannot be written, or not in this time."""
        self._source.end_of_stream()
        Gst = self._gst
        limit = Gst.CLOCK_TIME_NONE if within_s is None else int(within_s * NS_PER_S)
        message = self._pipeline.get_bus().timed_pop_filtered(limit, Gst.MessageType.EOS | Gst.MessageType.ERROR)
        if message is None:
            raise EdgeTdnError(f"{self._path}: not finished within {within_s:g} s")
        self._check(message)

    def close(self) -> None:
        """Stops the pipeline and frees its threads."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _agree(self, height: int, width: int, channels: int) -> None:
        """What goes in; and 4:2:0 comes out, which every player and hardware decoder takes, unless a side is odd."""
        self._agreed = True
        layout = "RGB" if channels == 3 else "RGBx"
        caps = f"video/x-raw,format={layout},width={width},height={height},framerate={self._rate}/1"
        self._source.set_property("caps", self._gst.Caps.from_string(caps))
        if height % 2 == width % 2 == 0:
            caps = self._gst.Caps.from_string("video/x-raw,format=I420")
            self._pipeline.get_by_name("caps").set_property("caps", caps)

    def _wait_for_room(self) -> None:
        """Returns when few pictures wait (appsrc's own wait would never end where the file cannot be written)."""
        while True:
            self._check(self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR))
            if self._source.get_property("current-level-buffers") < WAITING_MOST:
                return
            time.sleep(0.002)

    def _check(self, message: Any) -> None:
        if message is not None and message.type == self._gst.MessageType.ERROR:
            raise EdgeTdnError(f"{self._path}: cannot be written: {message.parse_error()[0].message.strip()}")


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
