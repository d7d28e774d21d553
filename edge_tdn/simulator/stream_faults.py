"""Faults of a stream on its way: corrupt bytes, lost packets, a wrong clock."""

import random
from typing import Any

from edge_tdn.media import gstreamer
from edge_tdn.simulator.faults import FLIPPED, LOST

CORRUPTER, PAYLOADER = "wrong", "pay0"  # names of a stream's elements; RTSP prescribes the second


class StreamFaults:
    """Applies faults to one stream's elements. Owner: the thread that sets faults, or that prepares the stream."""

    def __init__(self) -> None:
        self._gst, _ = gstreamer.load()
        self._loss: tuple[Any, int] | None = None  # pad and probe

    def apply(self, elements: Any, fault: str) -> None:
        """Put this fault in place of the one before; other faults leave the stream intact."""
        corrupter = elements.get_by_name(CORRUPTER)
        if corrupter:
            corrupter.set_property("probability", FLIPPED if fault == "corrupt" else 0.0)
        if self._loss:
            self._loss[0].remove_probe(self._loss[1])
            self._loss = None
        if fault == "loss":
            types = self._gst.PadProbeType.BUFFER | self._gst.PadProbeType.BUFFER_LIST
            pad = elements.get_by_name(PAYLOADER).get_static_pad("src")
            self._loss = pad, pad.add_probe(types, self._drop_some)
        pipeline = elements.get_parent()
        for element in pipeline.children if pipeline else ():
            if element.find_property("ntp-time-source"):  # the rtpbin: seconds since 1970 instead of 1900
                element.set_property("ntp-time-source", "unix" if fault == "clock" else "ntp")

    def _drop_some(self, _pad: Any, _info: Any) -> Any:
        return self._gst.PadProbeReturn.DROP if random.random() < LOST else self._gst.PadProbeReturn.OK
