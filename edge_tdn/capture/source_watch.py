"""Reports of the network element at the head of a pipeline: redirects, and RTP streams that change as they play."""

from typing import Any

from edge_tdn.capture.diagnosis import REDIRECTS
from edge_tdn.capture.http_answer import HttpAnswer
from edge_tdn.media import gstreamer


class SourceWatch:
    """Watches an rtspsrc or souphttpsrc from before it starts; no other source reports anything.

    An rtspsrc that is redirected is stopped before it sends anything to the new address. If its stream continues under
    another SSRC, as after a restart of the camera's encoder, it stays connected to the decoder.

    Owners: threads of GStreamer's write, the thread that reads the capture reads. The pipeline itself is not kept: it
    holds its listeners, and neither would ever be freed.
    """

    def __init__(self, source: Any) -> None:
        self.location = ""  # where it is redirected to; empty: it is not
        self._unannounced: int | None = None  # a payload type whose packets are dropped, because no codec is known
        self._described = self._set_up = False
        name = source.get_factory().get_name() if source else ""
        self.answer = HttpAnswer(source) if name == "souphttpsrc" else None
        if name == "rtspsrc":
            self._methods = gstreamer.load_rtsp().RTSPMethod
            self._from = source.get_property("location")
            source.connect("before-send", self._may_send)
            source.connect("pad-added", _relink)
            source.connect("new-manager", self._watch_streams)

    @property
    def silence(self) -> str:
        """Why no frames arrive; empty if it is not known."""
        if self._unannounced is None:
            return ""
        return f"the camera sends RTP payload type {self._unannounced}, which its session description does not announce"

    def read(self, report: Any) -> None:
        """Read the location from the structure in which a souphttpsrc reports the headers of an answer."""
        if report.get_name() == "http-headers" and report.get_uint("http-status-code").value in REDIRECTS:
            headers = report.get_value("response-headers")
            names = (headers.nth_field_name(number) for number in range(headers.n_fields()))
            self.location = next((str(headers.get_value(name)) for name in names if name.lower() == "location"), "")

    def _may_send(self, source: Any, request: Any) -> bool:
        method = request.parse_request().method
        begins_again = method == self._methods.OPTIONS and self._described and not self._set_up
        location = source.get_property("location")
        if begins_again or location != self._from:
            self.location = self.location or location
        self._described |= method == self._methods.DESCRIBE
        self._set_up |= method == self._methods.SETUP
        return not self.location

    def _watch_streams(self, _source: Any, manager: Any) -> None:
        manager.set_property("autoremove", True)  # else every SSRC would keep two threads until the connection ends
        manager.connect_after("request-pt-map", self._note)  # called only for a payload type that rtspsrc does not know

    def _note(self, _manager: Any, _session: int, payload_type: int) -> None:
        self._unannounced = payload_type


def _relink(source: Any, pad: Any) -> None:
    """Pass a stream's new pad on in place of its last one. A pad's name is recv_rtp_src_SESSION_SSRC_TYPE."""
    session = pad.get_name().split("_")[3:4]
    before = [one for one in source.srcpads if one is not pad and one.get_name().split("_")[3:4] == session]
    linked = next((one for one in before if one.is_linked()), None)
    if linked and not pad.is_linked():
        sink = linked.get_peer()
        linked.unlink(sink)
        pad.link(sink)
