"""A simulated camera: a film, encoded and served by a server of its own, with faults on request.

    film (decoded, endless) ─► feed: one frame a tick, or what the fault requires ─► encoder ─► RTSP or HTTP

The film is encoded only while a client watches, once for all of them.
"""

import threading
from collections.abc import Callable
from typing import Any

from edge_tdn.simulator.endpoint import SHA_256_ONLY, CameraServer, Endpoint
from edge_tdn.simulator.faults import DISCONNECTING, HTTP
from edge_tdn.simulator.film import Film
from edge_tdn.simulator.film_feed import FilmFeed
from edge_tdn.simulator.http_server import HttpServer
from edge_tdn.simulator.rtsp_server import RtspServer
from edge_tdn.simulator.stream_faults import StreamFaults

KEY_FRAME_S = 2  # from one key frame to the next


class SimulatedCamera:
    """Serves `film`, at `url`. `report` is called with what happens, on any thread.

    `codec`: h264, h265 or mjpeg over RTSP, or HTTP. Raises SourceError if the port cannot be opened.

    Owners: `_clients` is guarded by `_lock`; everything else belongs to the thread of GLib's main loop, once it runs,
    but for a new stream, which is configured on a thread of the server's.
    """

    def __init__(self, endpoint: Endpoint, film: Film, report: Callable[[str], None], codec: str = "h264") -> None:
        self.name, self.film = endpoint.name, film
        self.redirect_to = ""  # Location while the fault is redirect; empty: the camera itself
        self._report = report
        self._clients, self._lock = 0, threading.Lock()
        self._faults = StreamFaults()
        self._feed = FilmFeed(self.name, film, report)
        self._server: CameraServer = HttpServer(endpoint, self) if codec == HTTP else RtspServer(endpoint, codec, self)
        self._serve()
        self._server.require_password()
        self._server.listen()
        self._feed.start()

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{self._server.scheme}://{host}:{self._server.port}/{self.name}"

    @property
    def fault(self) -> str:
        """The current fault; `ok`: none."""
        return self._feed.fault

    def set_fault(self, fault: str) -> None:
        """Set one of FAULTS in place of the one before; `ok`: none. It is reported once it has its effect."""
        before, self._feed.fault = self._feed.fault, fault
        if before == fault:
            return
        self._end_fault(before)
        self._begin_fault(fault)
        self.stream_ready()
        self._report(fault)

    def close(self) -> None:
        """End the stream and close all connections."""
        self._feed.close()
        self._server.disconnect_all()
        self.film.close()

    def client_connected(self) -> None:
        self._count(1)

    def client_left(self) -> None:
        self._count(-1)

    def stream_began(self, elements: Any) -> None:
        self._feed.attach(elements)

    def stream_ready(self) -> None:
        """Apply the fault to the stream that is being watched."""
        elements = self._feed.elements
        if elements is not None:
            self._faults.apply(elements, self.fault)

    def stream_ended(self, elements: Any) -> None:
        self._feed.detach(elements)

    def _end_fault(self, fault: str) -> None:
        match fault:
            case "drop":
                self._server.listen()
            case "password" | "digest":
                self._server.require_password()
            case "redirect":
                self._server.redirect("")
            case "boundary":
                self._server.omit_first_boundary(False)
            case "size":
                self.film.resize(*self.film.size)

    def _begin_fault(self, fault: str) -> None:
        match fault:
            case "drop":
                self._server.stop_listening()
            case "password":
                self._server.reject_all()
            case "digest":
                self._server.reject_all(SHA_256_ONLY)
            case "redirect":
                self._server.redirect(self.redirect_to or self.url())
            case "boundary":
                self._server.omit_first_boundary(True)
            case "size":
                self.film.resize(*(max(2, side // 4 * 2) for side in self.film.size))
            case "eos":
                self._feed.end_stream()
                self._serve()
        if fault in DISCONNECTING:
            self._server.disconnect_all()

    def _serve(self) -> None:
        self._server.serve(KEY_FRAME_S * self.film.rate)

    def _count(self, more: int) -> None:
        with self._lock:
            self._clients += more
        self._report(f"{self._clients} connected")
