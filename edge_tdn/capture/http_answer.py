"""The answer of a web server, as it arrives: refused where it is not a video, and MJPEG brought into form."""

from typing import Any

from edge_tdn.capture.content import ADDRESS, HEAD_BYTES, not_stream, not_video
from edge_tdn.capture.mjpeg import START, MjpegForm, is_jpeg
from edge_tdn.media import gstreamer

NO_PICTURE = "no JPEG picture in it"


class HttpAnswer:
    """Watches what one HTTP source element receives, from before it starts.

    Owners: GStreamer's streaming thread writes everything, the thread that reads the capture reads. The pipeline itself
    is not kept: it holds its listeners, and neither would ever be freed.
    """

    def __init__(self, source: Any) -> None:
        self._gst, _ = gstreamer.load()
        self._arrived = False  # the headers have come
        self._head = b""  # the first bytes
        self.refused = False  # it is not a video, and nothing of it is decoded
        self._mjpeg: MjpegForm | None = None  # of multipart content
        pad = source.get_static_pad("src")
        pad.add_probe(self._gst.PadProbeType.EVENT_DOWNSTREAM, self._event)
        pad.add_probe(self._gst.PadProbeType.BUFFER, self._buffer)

    @property
    def has_pictures(self) -> bool:
        """Return True for JPEGs, one or many. They have no length, whatever GStreamer computes from their bytes."""
        return self._mjpeg is not None or self._head.startswith(START)

    def explanation(self) -> tuple[str, str]:
        """Return what the answer is and what to do, if it is not a video or was not played; empty if not known."""
        if not self._arrived:
            return "", ""
        if not self._head:
            return "an empty answer", ADDRESS
        if self._mjpeg and (self._mjpeg.regular or self._mjpeg.pictures):
            return "", ""
        cause, remedy = not_stream(self._head)
        return cause or (NO_PICTURE if self._mjpeg else ""), remedy

    def _event(self, _pad: Any, info: Any) -> Any:
        """Take the headers. Called on GStreamer's thread."""
        fields = info.get_event().get_structure()
        if fields is not None and fields.get_name() == "http-headers" and not self._arrived:
            self._arrived = True
            kind = media_type(fields.get_value("response-headers"))
            self._mjpeg = MjpegForm() if kind.startswith("multipart/") or is_jpeg(kind) else None
        return self._gst.PadProbeReturn.OK

    def _buffer(self, pad: Any, info: Any) -> Any:
        """Examine the first bytes. Called on GStreamer's thread, until that is done."""
        if self.refused:  # GStreamer's demuxer of GIF, for one, could not be stopped any more
            return self._gst.PadProbeReturn.DROP
        if len(self._head) == HEAD_BYTES and self._mjpeg is None:
            return self._gst.PadProbeReturn.REMOVE
        buffer = info.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + data)[:HEAD_BYTES]
            whole = len(self._head) == HEAD_BYTES and self._mjpeg is None  # text may come before a picture
            self.refused = bool(not_video(self._head, whole))
        if self.refused:
            return self._gst.PadProbeReturn.DROP
        return self._rewrite(self._mjpeg, pad, buffer, data) if self._mjpeg else self._gst.PadProbeReturn.OK

    def _rewrite(self, mjpeg: MjpegForm, pad: Any, buffer: Any, data: bytes) -> Any:
        """Replace the bytes of a buffer by those that GStreamer understands."""
        before = mjpeg.regular
        parts = mjpeg.feed(data)
        if mjpeg.regular and parts == [data]:
            return self._gst.PadProbeReturn.REMOVE
        if mjpeg.regular is False and before is None:
            decodebin = pad.get_peer().get_parent_element()
            decodebin.set_property("sink-caps", self._gst.Caps.from_string("image/jpeg"))
        for part in parts:
            replaced = self._gst.Buffer.new_wrapped(part)
            replaced.pts, replaced.dts = buffer.pts, buffer.dts
            pad.get_peer().chain(replaced)
        return self._gst.PadProbeReturn.DROP


def media_type(headers: Any) -> str:
    """Return the media type in the headers of an answer, in small letters and without parameters; empty if none."""
    names = [headers.nth_field_name(number) for number in range(headers.n_fields())] if headers else []
    name = next((name for name in names if name.lower() == "content-type"), "")
    given: str = headers.get_string(name) or "" if name else ""  # None for several values
    return given.partition(";")[0].strip().lower()
