"""Pictures from GStreamer: any source, decoded, converted to RGB, taken from a bounded appsink."""

import re
from typing import Any

import numpy as np

from edge_tdn import gstreamer
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_S, Picture
from edge_tdn.source import EndOfStream

BUFFERS = 2  # pictures that wait in the appsink; of a camera the oldest is dropped, a file waits
TO_RGB = "videoconvert ! video/x-raw,format=RGB"
SINK = f"appsink name=sink max-buffers={BUFFERS} drop={{drop}} sync={{sync}}"


class GstCapture:
    """A running pipeline. See `edge_tdn.source.Capture`."""

    def __init__(self, source: str) -> None:
        Gst, self._video = gstreamer.load()
        self._gst = Gst
        description, properties = _describe(source)
        try:
            self._pipeline = Gst.parse_launch(description)
        except Exception as error:  # GLib.Error, whose class only gi knows
            raise SourceError(f"{source}: {getattr(error, 'message', error)}") from error
        self._source = source
        for name, value in properties.items():
            self._pipeline.get_by_name("src").set_property(name, value)
        self._sink = self._pipeline.get_by_name("sink")
        self._bus = self._pipeline.get_bus()
        self.declared_s: float | None = None
        self._info: tuple[str, Any] = ("", None)  # caps as text, and parsed
        change = self._pipeline.set_state(Gst.State.PLAYING)
        if change == Gst.StateChangeReturn.FAILURE:
            self._raise_error()
        self.live = not source.startswith("/") or source.startswith("/dev/")
        if source.startswith("gst:"):
            self.live = change == Gst.StateChangeReturn.NO_PREROLL

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
        return self._picture(sample.get_caps(), buffer), buffer.pts

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
            raise SourceError(f"{self._source}: a decoded picture cannot be read", "stalled")
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
            self.live = self.declared_s == 0

    def _raise_error(self) -> None:
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return
        error, debug = message.parse_error()
        text = re.sub(r"\s+", " ", error.message).strip()
        detail = (debug or "").strip().splitlines()
        if len(detail) > 1:
            text += f" ({detail[-1].strip()})"
        refused = error.matches(self._gst.ResourceError.quark(), self._gst.ResourceError.NOT_AUTHORIZED)
        raise SourceError(_without_password(f"{self._source}: {text}"), "unauthorized" if refused else "unreachable")


def _describe(source: str) -> tuple[str, dict[str, str]]:
    """The pipeline, and what is set on its element `src` rather than written into it, so that no path needs quoting."""
    camera, file = SINK.format(drop="true", sync="false"), SINK.format(drop="false", sync="true")
    if source.startswith("gst:"):
        return f"{source.removeprefix('gst:').strip()} ! {TO_RGB} ! {camera}", {}
    if source.startswith("/dev/"):
        return f"v4l2src name=src ! decodebin ! {TO_RGB} ! {camera}", {"device": source}
    if source.startswith(("rtsp://", "rtsps://")):
        rtp = "application/x-rtp,media=video"
        return f"rtspsrc name=src protocols=tcp latency=200 ! {rtp} ! decodebin ! {TO_RGB} ! {camera}", {
            "location": source
        }
    if source.startswith("http"):
        return f"souphttpsrc name=src timeout=10 ! decodebin ! {TO_RGB} ! {file}", {"location": source}
    return f"filesrc name=src ! decodebin ! {TO_RGB} ! {file}", {"location": source}


def _without_password(text: str) -> str:
    return re.sub(r"(://[^/@\s:]+):[^/@\s]*@", r"\1:***@", text)
