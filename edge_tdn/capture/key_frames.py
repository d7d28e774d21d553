"""Which decoded pictures come from key frames: a decoder does not say, but what goes into it does."""

from collections import deque
from typing import Any

from edge_tdn.capture.decoders import decodes, elements
from edge_tdn.media import gstreamer

KEPT = 64  # key frames that no picture was taken of


class KeyFrames:
    """Of one camera's pipeline, from before it starts."""

    def __init__(self, pipeline: Any) -> None:
        # The pipeline itself is not kept: it holds what listens to it, and neither would ever be freed.
        self._gst, _ = gstreamer.load()
        self._pts: deque[int] = deque(maxlen=KEPT)  # ns, in the order in which they are shown
        self._any = False
        pipeline.connect("deep-element-added", lambda _pipeline, _bin, element: self._listen(element))
        for element in elements(pipeline):
            self._listen(element)

    def shown(self, pts_ns: int) -> bool | None:
        """Whether one was, since this was last asked, up to this picture's time; None: nothing decodes, nobody knows.

        A picture that was dropped counts as the next one: what a key frame brought is still to be seen there.
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
        """On a thread of GStreamer's, for each compressed picture."""
        buffer = info.get_buffer()
        if not buffer.has_flags(self._gst.BufferFlags.DELTA_UNIT):
            self._any = True
            self._pts.append(buffer.pts)
        return self._gst.PadProbeReturn.OK
