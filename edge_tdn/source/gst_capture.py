"""Pictures from GStreamer: any source, decoded, converted to RGB, taken from a bounded appsink."""

import re
from typing import Any

import numpy as np

from edge_tdn import gstreamer
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S, Picture
from edge_tdn.source import EndOfStream, without_password

BUFFERS = 2  # pictures that wait in the appsink; of a camera the oldest is dropped, a file waits
TO_RGB = "videoconvert ! video/x-raw,format=RGB"
SINK = f"appsink name=sink max-buffers={BUFFERS}"


class GstCapture:
    """A running pipeline. See `edge_tdn.source.Capture`."""

    def __init__(self, source: str, paced: bool = True) -> None:
        self._paced = paced
        Gst, self._video = gstreamer.load()
        self._gst = Gst
        self._source = source
        self._pipeline = parse(source)
        self._pipeline.connect("deep-element-added", _expect_one_stream)
        self._sink = self._pipeline.get_by_name("sink")
        self._bus = self._pipeline.get_bus()
        self.declared_s: float | None = None
        self._info: tuple[str, Any] = ("", None)  # caps as text, and parsed
        change = self._pipeline.set_state(Gst.State.PAUSED)
        if change == Gst.StateChangeReturn.FAILURE:
            try:
                self._raise_error()
                raise SourceError(without_password(f"{source}: does not start"))
            finally:
                self.close()
        self._set_live(change == Gst.StateChangeReturn.NO_PREROLL)
        if source.startswith("http"):  # until the first picture nobody knows; see _ask_duration
            self.live = True
        self._pipeline.set_state(Gst.State.PLAYING)

    def read(self, timeout_s: float) -> tuple[Picture, int] | None:
        sample = self._sink.try_pull_sample(int(timeout_s * NS_PER_S))
        if sample is None:
            self._raise_error()
            if self._sink.is_eos():
                raise EndOfStream
            return None
        if self.declared_s is None:
            self._ask_duration()
        buffer = sample.get_buffer()
        # Running time, not the buffer's own: it begins at 0 and goes on growing where a file's own clock jumps.
        pts_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        if pts_ns == self._gst.CLOCK_TIME_NONE:
            pts_ns = self._pipeline.get_current_running_time()
        return self._picture(sample.get_caps(), buffer), pts_ns

    def close(self) -> None:
        """Stops the pipeline and frees its threads."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _picture(self, caps: Any, buffer: Any) -> Picture:
        """uint8 [H, W, 3]. Rows are padded: the stride is the buffer's own where it has one, else that of its caps."""
        text = caps.to_string()
        if self._info[0] != text:  # looked at on every sample: a camera may change its size at any time
            self._info = (text, self._video.VideoInfo.new_from_caps(caps))
        info = self._info[1]
        meta = self._video.buffer_get_video_meta(buffer)
        stride = meta.stride[0] if meta else info.stride[0]
        mapped, memory = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise SourceError(f"{without_password(self._source)}: a decoded picture cannot be read", "stalled")
        try:
            data = np.frombuffer(memory.data, np.uint8)  # PyGObject hands out a copy, so it outlives the buffer
        finally:
            buffer.unmap(memory)
        rows = np.lib.stride_tricks.as_strided(data, (info.height, info.width * 3), (stride, 1), writeable=False)
        return rows.reshape(info.height, info.width, 3)

    def _ask_duration(self) -> None:
        known, duration = self._pipeline.query_duration(self._gst.Format.TIME)
        self.declared_s = duration / NS_PER_S if known and duration > 0 else 0.0
        if self._source.startswith("http"):  # a camera's stream has no length, a file's has
            self._set_live(self.declared_s == 0)

    def _set_live(self, live: bool) -> None:
        """A camera's pictures come when they come, and the newest counts; a file's wait for their time."""
        self.live = live
        self._sink.set_property("drop", live)
        self._sink.set_property("sync", self._paced and not live)

    def _raise_error(self) -> None:
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return
        error, debug = message.parse_error()
        text = re.sub(r"\s+", " ", error.message).strip()
        detail = (debug or "").strip().splitlines()
        if len(detail) > 1:
            text += f" ({detail[-1].strip()})"
        if "reason not-linked" in text:  # what a demuxer says whose pads nobody wanted
            text = "no video in it"
        refused = error.matches(self._gst.ResourceError.quark(), self._gst.ResourceError.NOT_AUTHORIZED)
        raise SourceError(without_password(f"{self._source}: {text}"), "unauthorized" if refused else "unreachable")


def parse(source: str) -> Any:
    """The pipeline of a source, not yet started. SourceError: the description is wrong, in the parser's own words."""
    Gst, _ = gstreamer.load()
    description, properties = _describe(source)
    try:
        pipeline = Gst.parse_launch(description)
    except Exception as error:  # GLib.Error, whose class only gi knows; as a cause it would tell the password
        raise SourceError(without_password(f"{source}: {getattr(error, 'message', error)}"), "ended") from None
    for name, value in properties.items():
        pipeline.get_by_name("src").set_property(name, value)
    return pipeline


def _describe(source: str) -> tuple[str, dict[str, str]]:
    """The pipeline, and what is set on its element `src` rather than written into it, so that no path needs quoting."""
    if source.startswith("gst:"):
        return f"{source.removeprefix('gst:').strip()} ! {TO_RGB} ! {SINK}", {}
    if source.startswith("/dev/"):
        return f"v4l2src name=src ! decodebin ! {TO_RGB} ! {SINK}", {"device": source}
    if source.startswith(("rtsp://", "rtsps://")):
        rtp = "application/x-rtp,media=video"
        return f"rtspsrc name=src protocols=tcp latency=200 ! {rtp} ! decodebin ! {TO_RGB} ! {SINK}", {
            "location": source
        }
    if source.startswith("http"):
        return f"souphttpsrc name=src timeout=10 do-timestamp=true ! decodebin ! {TO_RGB} ! {SINK}", {
            "location": source
        }
    return f"filesrc name=src ! decodebin ! {TO_RGB} ! {SINK}", {"location": source}


def _expect_one_stream(_pipeline: Any, _bin: Any, element: Any) -> None:
    """MJPEG over HTTP has no list of its streams: decodebin would wait for 2 MB of pictures before the first."""
    if element.get_factory().get_name() == "multipartdemux":
        element.set_property("single-stream", True)
