"""Pictures -> a video file: H.264 through GStreamer, MPEG-4 through OpenCV where GStreamer is missing."""

import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_tdn import gstreamer
from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import NS_PER_S, Picture

ENCODERS = (  # the first that is installed
    "x264enc speed-preset=veryfast bitrate={kbps} ! h264parse",
    "openh264enc bitrate={bps} ! h264parse",
    "avenc_mpeg4 bitrate={bps}",
)
KBPS = 3000
WAITING_MOST = 8  # pictures before the encoder


def write_video(pictures: Iterable[Picture], rate: int, path: Path, encoder: str | None = None) -> None:
    """Writes pictures, uint8 RGB [H, W, 3] of one size, as an MP4 of `rate` frames a second; whole or not at all.

    `encoder`: GStreamer's elements between 4:2:0 pictures and the MP4, instead of the first of `ENCODERS` that is here.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".mp4", dir=path.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        if encoder or gstreamer.available():
            _with_gstreamer(pictures, rate, scratch, encoder)
        else:
            _with_opencv(pictures, rate, scratch)
        scratch.replace(path)
    except OSError as error:
        raise EdgeTdnError(f"{path}: {error.strerror}") from error
    finally:
        scratch.unlink(missing_ok=True)


def _with_gstreamer(pictures: Iterable[Picture], rate: int, path: Path, encoder: str | None) -> None:
    Gst, _ = gstreamer.load()
    here = (e.format(kbps=KBPS, bps=KBPS * 1000) for e in ENCODERS if Gst.ElementFactory.find(e.split()[0]))
    encoder = encoder or next(here, None)
    if encoder is None:
        raise EdgeTdnError("GStreamer has no H.264 or MPEG-4 encoder; install gstreamer1.0-plugins-ugly")
    pipeline = Gst.parse_launch(
        f"appsrc name=src format=time ! videoconvert ! capsfilter name=caps ! {encoder} ! mp4mux ! filesink name=sink"
    )
    pipeline.get_by_name("sink").set_property("location", str(path))
    source = pipeline.get_by_name("src")
    pipeline.set_state(Gst.State.PLAYING)
    try:
        for number, picture in enumerate(pictures):
            if number == 0:
                _agree(Gst, pipeline, picture, rate)
            _wait_for_room(Gst, pipeline, source, path)
            _push(Gst, source, picture, rate, number)
        source.end_of_stream()
        done = Gst.MessageType.EOS | Gst.MessageType.ERROR
        message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, done)
        if message.type == Gst.MessageType.ERROR:
            raise EdgeTdnError(f"{path}: cannot be written: {message.parse_error()[0].message.strip()}")
    finally:
        pipeline.set_state(Gst.State.NULL)


def _agree(Gst: Any, pipeline: Any, picture: Picture, rate: int) -> None:
    """What goes in; and 4:2:0 comes out, which every player and hardware decoder takes, unless a side is odd."""
    height, width = picture.shape[:2]
    caps = f"video/x-raw,format=RGB,width={width},height={height},framerate={rate}/1"
    pipeline.get_by_name("src").set_property("caps", Gst.Caps.from_string(caps))
    if height % 2 == width % 2 == 0:
        pipeline.get_by_name("caps").set_property("caps", Gst.Caps.from_string("video/x-raw,format=I420"))


def _wait_for_room(Gst: Any, pipeline: Any, source: Any, path: Path) -> None:
    """Returns when few pictures wait. EdgeTdnError: the file cannot be written (appsrc's own wait would never end)."""
    while True:
        message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if message is not None:
            raise EdgeTdnError(f"{path}: cannot be written: {message.parse_error()[0].message.strip()}")
        if source.get_property("current-level-buffers") < WAITING_MOST:
            return
        time.sleep(0.002)


def _push(Gst: Any, source: Any, picture: Picture, rate: int, number: int) -> None:
    height, width = picture.shape[:2]
    rows = np.pad(picture.reshape(height, width * 3), ((0, 0), (0, -width * 3 % 4)))  # GStreamer's rows of RGB
    buffer = Gst.Buffer.new_wrapped(rows.tobytes())
    buffer.pts, buffer.duration = number * NS_PER_S // rate, NS_PER_S // rate
    if source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
        raise EdgeTdnError("the encoder stopped; see GST_DEBUG=3")


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
