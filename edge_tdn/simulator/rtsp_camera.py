"""A simulated camera: a film, encoded and served over RTSP by a server of its own, with faults on request.

    film (decoded, endless) ─► feed: one frame a tick, or what the fault requires ─► encoder ─► RTSP

The film is encoded only while a client watches, once for all of them.
"""

import threading
from collections.abc import Callable
from typing import Any

from edge_tdn.simulator.film import Film
from edge_tdn.simulator.film_feed import APPSRC, FilmFeed
from edge_tdn.simulator.rtsp_server import RtspServer
from edge_tdn.simulator.stream_faults import CORRUPTER, PAYLOADER, StreamFaults

H26X = f"stream-format=byte-stream,alignment=au ! breakmydata name={CORRUPTER}"
CODECS = {  # of constant quality, as in cameras; {key}: frames from one key frame to the next
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 pass=qual quantizer=24 key-int-max={key} ! "
    f"video/x-h264,{H26X} ! rtph264pay name={PAYLOADER} pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast qp=24 key-int-max={key} "
    "option-string=pools=1:frame-threads=1:log-level=none ! "
    f"video/x-h265,{H26X} ! rtph265pay name={PAYLOADER} pt=96 config-interval=-1",
    "mjpeg": f"jpegenc quality=75 ! rtpjpegpay name={PAYLOADER} pt=26",
}
INPUT = f"appsrc name={APPSRC} is-live=true format=time leaky-type=upstream max-buffers=4"
KEY_FRAME_S = 2  # from one key frame to the next


class SimulatedCamera:
    """Serves `film` at rtsp://ADDRESS:PORT/NAME. `report` is called with what happens, on any thread.

    Without a `user`, no password is required. Raises SourceError if the port cannot be opened.

    Owners: `_clients` is guarded by `_lock`; everything else belongs to the thread of GLib's main loop, once it runs,
    but for a new stream, which is configured on a thread of the server's.
    """

    def __init__(
        self,
        name: str,
        film: Film,
        report: Callable[[str], None],
        address: str = "127.0.0.1",
        port: int = 0,
        codec: str = "h264",
        user: str = "",
        password: str = "",
    ) -> None:
        self.name, self.film = name, film
        self._report = report
        self._launch = f"( {INPUT} ! {CODECS[codec].format(key=KEY_FRAME_S * film.rate)} )"
        self._clients, self._lock = 0, threading.Lock()
        self._faults = StreamFaults()
        self._feed = FilmFeed(name, film, report)
        self._server = RtspServer(name, address, port, user, password)
        self._server.on_client(lambda: self._count(1), lambda: self._count(-1))
        self._mount()
        self._server.require_password()
        self._server.listen()
        self._feed.start()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def fault(self) -> str:
        """The current fault; `ok`: none."""
        return self._feed.fault

    def set_fault(self, fault: str) -> None:
        """Set one of FAULTS in place of the one before; `ok`: none."""
        before, self._feed.fault = self._feed.fault, fault
        if before == fault:
            return
        self._report(fault)
        self._end_fault(before)
        self._begin_fault(fault)
        self._apply_fault()

    def close(self) -> None:
        """End the stream and close all connections."""
        self._feed.close()
        self._server.disconnect_all()
        self.film.close()

    def _end_fault(self, fault: str) -> None:
        match fault:
            case "drop":
                self._server.listen()
            case "password":
                self._server.require_password()
            case "size":
                self.film.resize(*self.film.size)

    def _begin_fault(self, fault: str) -> None:
        match fault:
            case "drop":
                self._server.stop_listening()
                self._server.disconnect_all()
            case "password":
                self._server.reject_all()
                self._server.disconnect_all()
            case "size":
                self.film.resize(*(max(2, side // 4 * 2) for side in self.film.size))
            case "eos":
                self._feed.end_stream()
                self._mount()

    def _apply_fault(self) -> None:
        """Apply the fault to the stream that is being watched."""
        elements = self._feed.elements
        if elements is not None:
            self._faults.apply(elements, self.fault)

    def _mount(self) -> None:
        self._server.mount(self._launch, self._configured)

    def _configured(self, media: Any) -> None:
        """Feed a new stream. Called on a thread of the server's when the first client watches."""
        elements = media.get_element()
        media.connect("unprepared", lambda _media: self._feed.detach(elements))
        media.connect("prepared", lambda _media: self._apply_fault())
        self._feed.attach(elements)

    def _count(self, more: int) -> None:
        with self._lock:
            self._clients += more
        self._report(f"{self._clients} connected")
