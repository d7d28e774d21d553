"""Pictures from GStreamer: any source, decoded, taken from a bounded appsink as YUV 4:2:0, which most decoders give."""

import logging
import re
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edge_tdn.capture.address import Address
from edge_tdn.capture.capture import EndOfStream
from edge_tdn.capture.crop import View
from edge_tdn.capture.decoders import Decoders, decoder, elements
from edge_tdn.capture.key_frames import KeyFrames
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.colour import Colorimetry, Yuv420
from edge_tdn.messages import NS_PER_S, Decoded

BUFFERS = 2  # pictures that wait in the appsink; of a camera the oldest is dropped, a file waits
# Each does nothing where there is nothing to do: the decoder gives one of these, pixels are square, and the file does
# not ask to be turned, as a telephone's does.
TO_420 = (
    "videoconvert ! videoscale ! videoflip video-direction=auto "
    "! video/x-raw,format=(string){I420,NV12},pixel-aspect-ratio=1/1"
)
LATENCY_MS = 200  # RTP packets wait so long for those before them
NTP_NS = 2_208_988_800 * NS_PER_S  # from 1900, where NTP begins, to 1970
TAKEN_NS = (-NS_PER_S // 2, 5 * NS_PER_S)  # a camera's clock is right if it took a picture so long before it came

log = logging.getLogger(__name__)
SINK = f"appsink name=sink max-buffers={BUFFERS}"


@dataclass(frozen=True)
class _Layout:
    """Where the planes lie in a buffer: Y, U, V; or Y and UV."""

    shapes: tuple[tuple[int, ...], ...]  # of each plane
    pixels: tuple[tuple[int, ...], ...]  # bytes from one pixel of a row to the next, and from U to V
    offsets: tuple[int, ...]  # bytes; more than there are planes
    strides: tuple[int, ...]  # bytes from one row to the next
    colorimetry: Colorimetry


class GstCapture:
    """A running pipeline. See `edge_tdn.capture.source.Capture`."""

    def __init__(self, address: Address, camera: CameraConfig, paced: bool = True) -> None:
        self._paced = paced
        Gst, self._video = gstreamer.load()
        self._gst = Gst
        self._address, self._camera = address, camera.name
        self._view = View.of(camera)
        self._pipeline = parse(address, camera)
        self._pipeline.connect("deep-element-added", _expect_one_stream)
        if paced and not address.live:
            self._pipeline.connect("deep-element-added", _decode_on_one_thread)
        self._decoders = Decoders(camera.name, self._pipeline, camera.hardware and address.live)
        self._key_frames = KeyFrames(self._pipeline) if camera.frozen_s and address.live else None
        self._sink = self._pipeline.get_by_name("sink")
        self._bus = self._pipeline.get_bus()
        self.decoder = ""
        self.declared_s: float | None = None
        self.wall_ns: int | None = None
        self.key: bool | None = None
        self._clock: Literal["camera", "host", "unknown"] = "unknown"
        self._ntp = Gst.Caps.from_string("timestamp/x-ntp")
        self._caps: Any = None  # of the last picture
        self._layout: _Layout | None = None  # what they say
        change = self._pipeline.set_state(Gst.State.PAUSED)
        if change == Gst.StateChangeReturn.FAILURE:
            try:
                self._raise_error()
                raise SourceError(address.told("does not start"))
            finally:
                self.close()
        self._set_live(change == Gst.StateChangeReturn.NO_PREROLL)
        if self._may_be_file:  # until the first picture nobody knows; see _ask_duration
            self.live = True
        self._pipeline.set_state(Gst.State.PLAYING)

    def read(self, timeout_s: float) -> tuple[Decoded, int] | None:
        sample = self._sink.try_pull_sample(int(timeout_s * NS_PER_S))
        if sample is None:
            self._raise_error()
            if self._sink.is_eos():
                raise EndOfStream
            if self._layout is None and self._has_given_up():
                raise SourceError(self._address.told("no video in it, or damaged where it begins"))
            return None
        if self.declared_s is None:
            self._ask_duration()
            self.decoder = decoder(self._pipeline)
        buffer = sample.get_buffer()
        self.wall_ns = self._taken_ns(buffer)
        self.key = self._key_frames.shown(buffer.pts) if self._key_frames else None
        # Running time, not the buffer's own: it begins at 0 and goes on growing where a file's own clock jumps.
        pts_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, buffer.pts)
        if pts_ns == self._gst.CLOCK_TIME_NONE:
            pts_ns = self._pipeline.get_current_running_time()
        return self._view(self._decoded(sample.get_caps(), buffer)), pts_ns

    def close(self) -> None:
        """Stops the pipeline and frees its threads."""
        if self._layout is None:
            self._decoders.fruitless(self._pipeline)
        self._pipeline.set_state(self._gst.State.NULL)

    def _taken_ns(self, buffer: Any) -> int | None:
        """When an RTSP camera took the picture, by its own clock; None: it does not say, or its clock is wrong."""
        told = buffer.get_reference_timestamp_meta(self._ntp)
        if told is None or self._clock == "host":
            return None
        wall_ns: int = told.timestamp - NTP_NS
        before_ns = time.time_ns() - wall_ns
        if not TAKEN_NS[0] <= before_ns <= TAKEN_NS[1]:
            self._clock = "host"  # for good: times that go to and fro help nobody
            log.warning(
                "camera=%s clock=host: the camera's own is %+.1f s off", self._camera, -before_ns / NS_PER_S
            )  # fmt: skip
            return None
        self._clock = "camera"
        return wall_ns

    def _decoded(self, caps: Any, buffer: Any) -> Yuv420:
        """Strides and offsets are the buffer's own where it has them, else those of its caps."""
        if self._layout is None or not caps.is_equal(self._caps):  # a camera may change its size at any time
            self._caps, self._layout = caps, _layout(self._video, caps)
        layout = self._layout
        own = self._video.buffer_get_video_meta(buffer)
        mapped, memory = buffer.map(self._gst.MapFlags.READ)
        if not mapped:
            raise SourceError(self._address.told("a decoded picture cannot be read"), "stalled")
        try:
            data = memory.data  # PyGObject hands out a copy, so it outlives the buffer
        finally:
            buffer.unmap(memory)
        planes = [
            np.ndarray(shape, np.uint8, data, offset, (stride, *pixel))
            for shape, pixel, offset, stride in zip(
                layout.shapes,
                layout.pixels,
                own.offset if own else layout.offsets,
                own.stride if own else layout.strides,
                strict=False,
            )
        ]
        return Yuv420(planes[0], planes[1:], layout.colorimetry)

    def _ask_duration(self) -> None:
        known, duration = self._pipeline.query_duration(self._gst.Format.TIME)
        self.declared_s = duration / NS_PER_S if known and duration > 0 else 0.0
        if self._may_be_file:  # a camera's stream has no length, a file's has
            self._set_live(self.declared_s == 0)

    @property
    def _may_be_file(self) -> bool:
        return self._address.location.startswith("http")

    def _set_live(self, live: bool) -> None:
        """A camera's pictures come when they come, and the newest counts; a file's wait for their time."""
        self.live = live
        self._sink.set_property("drop", live)
        self._sink.set_property("sync", self._paced and not live)

    def _has_given_up(self) -> bool:
        """Whether a demuxer found nothing and nobody was told.

        Its error is lost where it comes while decodebin still starts it: of a file without its index in one of three
        tries.
        """
        sinks = [element.get_static_pad("sink") for element in elements(self._pipeline) if not element.srcpads]
        return any(sink is not None and sink.get_task_state() == self._gst.TaskState.PAUSED for sink in sinks)

    def _raise_error(self) -> None:
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is None:
            return
        self._decoders.blame(message.src)
        error, debug = message.parse_error()
        text = re.sub(r"\s+", " ", error.message).strip()
        detail = (debug or "").strip().splitlines()
        if len(detail) > 1:
            text += f" ({detail[-1].strip()})"
        if "reason not-linked" in text:  # what a demuxer says whose pads nobody wanted
            text = "no video in it"
        refused = error.matches(self._gst.ResourceError.quark(), self._gst.ResourceError.NOT_AUTHORIZED)
        if self._layout is None and not refused:
            text = self._address.trouble() or text
        raise SourceError(self._address.told(text), "unauthorized" if refused else "unreachable")


def parse(address: Address, camera: CameraConfig) -> Any:
    """The pipeline of a source, not yet started. SourceError: the description is wrong, in the parser's own words."""
    Gst, _ = gstreamer.load()
    description, properties = _describe(address, camera)
    try:
        pipeline = Gst.parse_launch(description)
    except Exception as error:  # GLib.Error, whose class only gi knows; as a cause it would tell the password
        raise SourceError(address.told(str(getattr(error, "message", error))), "ended") from None
    for name, value in properties.items():
        pipeline.get_by_name("src").set_property(name, value)
    source = pipeline.get_by_name("src")
    if source and source.find_property("add-reference-timestamp-meta"):  # GStreamer 1.22
        source.set_property("add-reference-timestamp-meta", True)
    return pipeline


def _describe(address: Address, camera: CameraConfig) -> tuple[str, dict[str, str]]:
    """The pipeline, and what is set on its element `src` rather than written into it.

    So no path needs quoting, and a password is not in what GStreamer logs.
    """
    location = address.location
    if location.startswith("gst:"):
        return f"{location.removeprefix('gst:').strip()} ! {TO_420} ! {SINK}", {}
    if location.startswith("/dev/"):
        return f"v4l2src name=src ! decodebin ! {TO_420} ! {SINK}", {"device": location}
    properties = {"location": location}
    if address.username:
        properties |= {"user-id": address.username, "user-pw": address.password}
    if location.startswith("rtsp"):
        source = f"rtspsrc name=src protocols={camera.transport} latency={LATENCY_MS} ! application/x-rtp,media=video"
    elif location.startswith("http"):
        source = "souphttpsrc name=src timeout=10 do-timestamp=true"
    else:
        source = "filesrc name=src"
    return f"{source} ! decodebin ! {TO_420} ! {SINK}", properties


def _layout(video: Any, caps: Any) -> _Layout:
    info = video.VideoInfo.new_from_caps(caps)
    half = ((info.height + 1) // 2, (info.width + 1) // 2)
    interleaved = info.finfo.n_planes == 2
    return _Layout(
        shapes=((info.height, info.width), (*half, 2)) if interleaved else ((info.height, info.width), half, half),
        pixels=((1,), (2, 1)) if interleaved else ((1,), (1,), (1,)),
        offsets=tuple(info.offset),
        strides=tuple(info.stride),
        colorimetry=_colorimetry(video, caps, info),
    )


def _colorimetry(video: Any, caps: Any, info: Any) -> Colorimetry:
    """As the caps say; what they leave open is 16 to 235, BT.601 up to 576 lines and BT.709 above."""
    told = video.VideoColorimetry()
    # VideoInfo forgets the range of a stream that tells no matrix, such as a webcam's recording.
    if not told.from_string(caps.get_structure(0).get_string("colorimetry") or ""):
        told = info.colorimetry
    _, kr, kb = video.video_color_matrix_get_Kr_Kb(info.colorimetry.matrix)
    return Colorimetry(kr, kb, full_range=told.range == getattr(video.VideoColorRange, "0_255"))


def _expect_one_stream(_pipeline: Any, _bin: Any, element: Any) -> None:
    """MJPEG over HTTP has no list of its streams: decodebin would wait for 2 MB of pictures before the first."""
    if element.get_factory().get_name() == "multipartdemux":
        element.set_property("single-stream", True)


def _decode_on_one_thread(_pipeline: Any, _bin: Any, element: Any) -> None:
    """As GStreamer does with a camera's pictures: to hand each to another thread costs more than it gains."""
    if element.find_property("max-threads"):
        element.set_property("max-threads", 1)
