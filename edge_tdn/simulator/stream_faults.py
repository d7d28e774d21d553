"""Faults of a stream on its way: corrupt bytes, lost and renumbered packets, a wrong clock."""

import random
import struct
from typing import Any

from edge_tdn.media import gstreamer
from edge_tdn.simulator.faults import FLIPPED, LOST

CORRUPTER, PAYLOADER = "wrong", "pay0"  # names of a stream's elements; RTSP prescribes the second


SEQUENCE_JUMP, TIMESTAMP_JUMP = 20_000, 0x5000_0000  # of 2**16 and 2**32; about 4 hours
UNANNOUNCED = 126  # payload type; those of CODECS are 96 and 26
COLLISION = "GstRTPCollision, ssrc=(uint){}"  # event that makes a payloader choose another SSRC


class StreamFaults:
    """Applies faults to one stream's elements. Owner: the thread that sets faults, or that prepares the stream."""

    def __init__(self) -> None:
        self._gst, _ = gstreamer.load()
        self._probe: tuple[Any, int] | None = None  # pad and probe
        self._payload_type = 0  # announced, while another is sent

    def apply(self, elements: Any, fault: str) -> None:
        """Put this fault in place of the one before; other faults leave the stream intact."""
        corrupter = elements.get_by_name(CORRUPTER)
        if corrupter:
            corrupter.set_property("probability", FLIPPED if fault == "corrupt" else 0.0)
        payloader = elements.get_by_name(PAYLOADER)
        if payloader:
            self._change_packets(payloader, fault)
        pipeline = elements.get_parent()
        for element in pipeline.children if pipeline else ():
            if element.find_property("ntp-time-source"):  # the rtpbin: seconds since 1970 instead of 1900
                element.set_property("ntp-time-source", "unix" if fault == "clock" else "ntp")

    def _change_packets(self, payloader: Any, fault: str) -> None:
        if self._probe:
            self._probe[0].remove_probe(self._probe[1])
            self._probe = None
        pad = payloader.get_static_pad("src")
        if change := {"loss": self._drop_some, "jump": self._renumber}.get(fault):
            types = self._gst.PadProbeType.BUFFER | self._gst.PadProbeType.BUFFER_LIST
            self._probe = pad, pad.add_probe(types, change)
        announced = payloader.get_property("pt")
        if fault == "payload":
            payloader.set_property("pt", UNANNOUNCED)
        elif announced == UNANNOUNCED:
            payloader.set_property("pt", self._payload_type)
        if announced != UNANNOUNCED:
            self._payload_type = announced
        if fault == "ssrc" and (stats := payloader.get_property("stats")):
            collision = self._gst.Structure.new_from_string(COLLISION.format(stats.get_uint("ssrc").value))
            pad.send_event(self._gst.Event.new_custom(self._gst.EventType.CUSTOM_UPSTREAM, collision))

    def _drop_some(self, _pad: Any, _info: Any) -> Any:
        return self._gst.PadProbeReturn.DROP if random.random() < LOST else self._gst.PadProbeReturn.OK

    def _renumber(self, pad: Any, info: Any) -> Any:
        """Send copies of the packets, because those that Python receives cannot be changed."""
        packets = [info.get_buffer()] if info.type & self._gst.PadProbeType.BUFFER else _listed(info.get_buffer_list())
        for packet in packets:
            data = bytearray(packet.extract_dup(0, packet.get_size()))
            sequence, timestamp = struct.unpack_from(">HI", data, 2)
            jumped = (sequence + SEQUENCE_JUMP) % 2**16, (timestamp + TIMESTAMP_JUMP) % 2**32
            struct.pack_into(">HI", data, 2, *jumped)
            copy = self._gst.Buffer.new_wrapped(bytes(data))
            copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
            pad.get_peer().chain(copy)
        return self._gst.PadProbeReturn.HANDLED


def _listed(buffers: Any) -> list[Any]:
    return [buffers.get(number) for number in range(buffers.length())]
