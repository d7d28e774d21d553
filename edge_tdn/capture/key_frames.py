"""Which decoded frames come from key frames: a decoder does not report it, but the packets it receives are marked."""

from collections import deque
from typing import Any

from edge_tdn.capture.decoders import decodes, elements
from edge_tdn.media import gstreamer

MAX_PENDING = 64  # key frames whose decoded frame was never pulled


class KeyFrames:
    """The key frames of one pipeline, from before it starts.

    Owners: GStreamer's threads append to `_pts` and set `_any`; the thread that reads the capture removes.
    """

    def __init__(self, pipeline: Any) -> None:
        # The pipeline itself is not kept: it holds its listeners, and neither would ever be freed.
        self._gst, _ = gstreamer.load()
        self._pts: deque[int] = deque(maxlen=MAX_PENDING)  # ns, in the order of presentation
        self._any = False
        pipeline.connect("deep-element-added", lambda _pipeline, _bin, element: self._listen(element))
        for element in elements(pipeline):
            self._listen(element)

    def shown(self, pts_ns: int) -> bool | None:
        """Return whether there was a key frame since the last call, up to this PTS; None if nothing is decoded.

        A frame that was dropped counts as the next one, which still shows what the key frame brought.
        """
        if not self._any:
            return None
        shown = False
        while self._pts and self._pts[0] <= pts_ns:
            self._pts.popleft()
            shown = True
        return shown

    def _listen(self, element: Any) -> None:
        if decodes(element.get_factory()):
            element.get_static_pad("sink").add_probe(self._gst.PadProbeType.BUFFER, self._pass)

    def _pass(self, _pad: Any, info: Any) -> Any:
        """Record a key frame among the compressed frames. Called on a thread of GStreamer's."""
        buffer = info.get_buffer()
        if not buffer.has_flags(self._gst.BufferFlags.DELTA_UNIT):
            self._any = True
            self._pts.append(buffer.pts)
        return self._gst.PadProbeReturn.OK
