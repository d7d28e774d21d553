"""Frames from GStreamer: any source, decoded, from a bounded appsink as YUV 4:2:0, which most decoders deliver."""

import re
from typing import Any

from edge_tdn.capture.address import Address
from edge_tdn.capture.capture import CapturedFrame, EndOfStream
from edge_tdn.capture.crop import Crop
from edge_tdn.capture.decoders import Decoders, decoder, elements
from edge_tdn.capture.diagnosis import ask, diagnose
from edge_tdn.capture.frame_times import FrameTimes
from edge_tdn.capture.key_frames import KeyFrames
from edge_tdn.capture.pipeline import (
    SINK,
    decode_on_one_thread,
    decodebin,
    expect_one_stream,
    parse,
    skip_empty_edits,
    source_element,
)
from edge_tdn.capture.redirects import Redirected
from edge_tdn.capture.source_watch import SourceWatch
from edge_tdn.capture.yuv_reader import YuvReader
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import ExplainedError, SourceError
from edge_tdn.media import gstreamer
from edge_tdn.media.streams import StreamWatch
from edge_tdn.messages import NS_PER_S

NO_VIDEO = "no video in it"
RESOURCE_ERROR = "gst-resource-error-quark"  # domain of errors such as a closed connection, or status 404


class GstCapture:
    """A running pipeline. Implements `edge_tdn.capture.capture.Capture`.

    Owner: the thread that reads. GStreamer's threads reach `Decoders`, `KeyFrames`, `SourceWatch` and `StreamWatch`
    only.
    """

    def __init__(self, address: Address, camera: CameraConfig, paced: bool = True) -> None:
        Gst, _ = gstreamer.load()
        self.decoder = ""
        self.declared_s: float | None = None
        self._address, self._paced = address, paced
        self._crop = Crop.of(camera)
        self._pipeline = parse(address, camera)
        for configure in (expect_one_stream, skip_empty_edits):
            self._pipeline.connect("deep-element-added", configure)
        if paced and not address.live:
            self._pipeline.connect("deep-element-added", decode_on_one_thread)
        self._decoders = Decoders(camera.name, self._pipeline, camera.hardware and address.live)
        self._key_frames = KeyFrames(self._pipeline) if camera.frozen_s and address.live else None
        decoding = decodebin(self._pipeline, address)
        self._streams = StreamWatch(decoding) if decoding else None
        self._source = SourceWatch(source_element(self._pipeline, address))
        self._times = FrameTimes(self._pipeline, camera.name)
        self._frames = YuvReader()
        self._sink = self._pipeline.get_by_name(SINK)
        change = self._pipeline.set_state(Gst.State.PAUSED)
        if change == Gst.StateChangeReturn.FAILURE:
            try:
                self._raise_error()
                raise SourceError(address.message("does not start"))
            finally:
                self.close()
        self._set_live(change == Gst.StateChangeReturn.NO_PREROLL)
        if self._source.answer:  # a camera or a file: unknown until the first frame, see _query_duration
            self.live = True
            self._sink.set_property("sync", False)  # nor is its time waited for, which may be wrong: see FrameTimes
        self._pipeline.set_state(Gst.State.PLAYING)

    @property
    def silence(self) -> str:
        return self._source.silence

    def read(self, timeout_s: float) -> CapturedFrame | None:
        sample = self._sink.try_pull_sample(int(timeout_s * NS_PER_S))
        if sample is None:
            self._raise_error()
            if self._sink.is_eos():
                self._explain_answer()
                raise EndOfStream
            if not self._frames.any:
                self._check_streams()
            return None
        if self.declared_s is None:
            self._query_duration()
            self.decoder = decoder(self._pipeline)
        buffer = sample.get_buffer()
        try:
            decoded = self._crop(self._frames.read(sample.get_caps(), buffer))
        except SourceError as error:
            raise SourceError(self._address.message(str(error)), error.state) from error
        return CapturedFrame(
            decoded,
            self._times.shown_ns(sample),
            self._times.taken_ns(sample),
            self._key_frames.shown(buffer.pts) if self._key_frames else None,
        )

    def close(self) -> None:
        Gst, _ = gstreamer.load()
        if not self._frames.any:
            self._decoders.fruitless(self._pipeline)
        self._pipeline.set_state(Gst.State.NULL)

    def _query_duration(self) -> None:
        Gst, _ = gstreamer.load()
        known, duration = self._pipeline.query_duration(Gst.Format.TIME)
        self.declared_s = duration / NS_PER_S if known and duration > 0 else 0.0
        if self._source.answer:  # a camera's stream has no length, a file's has
            self._set_live(self.declared_s == 0 or self._source.answer.has_pictures)

    def _set_live(self, live: bool) -> None:
        """Deliver a camera's newest frame as soon as it is there, and a file's at its time."""
        self.live = live
        self._times.of_arrival = live and self._source.answer is not None
        self._sink.set_property("drop", live)
        self._sink.set_property("sync", self._paced and not live)

    def _check_streams(self) -> None:
        """Raise SourceError if no frame can come any more, though GStreamer has reported no error."""
        if self._streams and self._streams.without_video:
            raise SourceError(self._address.message(NO_VIDEO))
        if self._has_given_up():
            raise SourceError(self._address.message(f"{NO_VIDEO}, or damaged where it begins"))

    def _has_given_up(self) -> bool:
        """Return True if a demuxer has stopped without a report.

        Its error is lost if it comes while decodebin still starts it: for one in three files without an index.
        """
        Gst, _ = gstreamer.load()
        sinks = [element.get_static_pad("sink") for element in elements(self._pipeline) if not element.srcpads]
        return any(sink is not None and sink.get_task_state() == Gst.TaskState.PAUSED for sink in sinks)

    def _raise_error(self) -> None:
        """Raise SourceError, or Redirected, if the pipeline has failed."""
        Gst, _ = gstreamer.load()
        message = self._next_failure()
        if location := self._source.location:
            if location == self._address.location:  # as an rtspsrc also reports a location that it does not understand
                location = ask(self._address).location or location
            raise Redirected(location)
        if self._source.answer and self._source.answer.refused:
            self._explain_answer()
        if message is None:
            return
        if message.type == Gst.MessageType.PROGRESS:
            diagnose(self._address)
            raise SourceError(self._address.message("GStreamer cannot open it, without a reason"))
        self._decoders.blame(message.src)
        error, debug = message.parse_error()
        text = re.sub(r"\s+", " ", error.message).strip()
        detail = (debug or "").strip().splitlines()
        if len(detail) > 1:
            text += f" ({detail[-1].strip()})"
        if "reason not-linked" in text:  # from a demuxer none of whose streams is used
            text = NO_VIDEO
        unauthorized = error.matches(Gst.ResourceError.quark(), Gst.ResourceError.NOT_AUTHORIZED)
        if error.domain != RESOURCE_ERROR:
            self._explain_answer()
        if not self._frames.any:
            diagnose(self._address)
        raise SourceError(self._address.message(text), "unauthorized" if unauthorized else "unreachable")

    def _explain_answer(self) -> None:
        """Raise ExplainedError if an HTTP answer arrived that is not a video."""
        if self._source.answer and not self._frames.any:
            cause, remedy = self._source.answer.explanation()
            if cause:
                raise ExplainedError(self._address.message(cause), remedy)

    def _next_failure(self) -> Any:
        """Return the next message of a failure, or None. An rtspsrc may fail without an error."""
        Gst, _ = gstreamer.load()
        types = Gst.MessageType.ERROR | Gst.MessageType.PROGRESS | Gst.MessageType.ELEMENT
        while message := self._pipeline.get_bus().pop_filtered(types):
            if message.type == Gst.MessageType.ELEMENT:
                self._source.read(message.get_structure())
            elif message.type == Gst.MessageType.ERROR or message.parse_progress().type == Gst.ProgressType.ERROR:
                return message
        return None
