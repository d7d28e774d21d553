"""A camera that is none: a film, encoded and served over RTSP by a server of its own, with faults on request.

    film (decoded, endless) ─► pace: a picture a tick, or what the fault wants ─► encoder ─► RTSP

It encodes while somebody watches, once for all who do.
"""

import errno
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_S
from edge_tdn.simulator.faults import FLIPPED, LOST, OK
from edge_tdn.simulator.film import Film

LATE_S = 0.5  # a film that is so late leaves pictures out, rather than to hurry
CODECS = {  # of a fixed quality, as cameras have it; {key}: frames from one whole picture to the next
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 pass=qual quantizer=24 key-int-max={key} ! "
    "video/x-h264,stream-format=byte-stream,alignment=au ! breakmydata name=wrong ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast qp=24 key-int-max={key} "
    "option-string=pools=1:frame-threads=1:log-level=none ! "
    "video/x-h265,stream-format=byte-stream,alignment=au ! breakmydata name=wrong ! "
    "rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc quality=75 ! rtpjpegpay name=pay0 pt=26",
}
VIEWER = "viewer"  # the role of those whom a password lets in


class SimulatedCamera:
    """`film` at rtsp://ADDRESS:PORT/NAME. `told` hears, on any thread, what happens to it, in a word or two.

    `user`: empty, and everybody may watch. SourceError: it cannot listen there.
    """

    def __init__(
        self, name: str, film: Film, told: Callable[[str], None], address: str = "127.0.0.1", port: int = 0,
        codec: str = "h264", user: str = "", password: str = "",
    ) -> None:  # fmt: skip
        self._gst, _ = gstreamer.load()
        self._glib, self._rtsp = gstreamer.load_rtsp_server()
        self.name, self.film, self._codec, self._told = name, film, codec, told
        self._user, self._password = user, password
        self.fault = OK  # as it is now
        self._watchers = 0
        self._media: Any = None  # its elements, while somebody watches
        self._loss: tuple[Any, int] | None = None  # pad and probe
        self._changed = threading.Condition()
        self._stop = False
        self._server = self._rtsp.RTSPServer(address=address, service=str(port))
        self._server.connect("client-connected", self._connected)
        self._mount()
        self._admit(user, password)
        self._listen()
        self.port: int = self._server.get_bound_port()
        self._server.set_service(str(self.port))  # the same after a drop
        self._thread = threading.Thread(target=self._play, name=f"film {name}", daemon=True)
        self._thread.start()

    def set_fault(self, fault: str) -> None:
        """One of FAULTS, in place of the one before; `ok`: none."""
        before, self.fault = self.fault, fault
        if before == fault:
            return
        self._told(fault)
        if before == "drop":
            self._listen()
        elif before == "password":
            self._admit(self._user, self._password)
        elif before == "size":
            self.film.resize(*self.film.size)
        if fault == "drop":
            self._glib.source_remove(self._listening)
            self._throw_out()
        elif fault == "password":
            self._admit("nobody", secrets.token_hex())
            self._throw_out()
        elif fault == "size":
            self.film.resize(*(max(2, side // 4 * 2) for side in self.film.size))
        elif fault == "eos":
            self._end()
        self._disturb()

    def close(self) -> None:
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join()
        self._throw_out()
        self.film.close()

    def _mount(self) -> None:
        """Whoever comes from now on shares a new stream."""
        encoder = CODECS[self._codec].format(key=2 * self.film.rate)
        factory = self._rtsp.RTSPMediaFactory(shared=True)
        factory.set_launch(
            f"( appsrc name=film is-live=true format=time leaky-type=upstream max-buffers=4 ! {encoder} )"
        )
        permissions = self._rtsp.RTSPPermissions()
        role = f"{VIEWER}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        permissions.add_role_from_structure(self._gst.Structure.new_from_string(role))
        factory.set_permissions(permissions)
        factory.connect("media-configure", self._configured)
        mounts = self._server.get_mount_points()
        mounts.remove_factory(f"/{self.name}")
        mounts.add_factory(f"/{self.name}", factory)

    def _admit(self, user: str, password: str) -> None:
        auth, token = self._rtsp.RTSPAuth(), self._rtsp.RTSPToken()
        token.set_string("media.factory.role", VIEWER)
        if user:
            auth.add_basic(self._rtsp.RTSPAuth.make_basic(user, password), token)
        else:
            auth.set_default_token(token)
        self._server.set_auth(auth)

    def _listen(self) -> None:
        self._listening: int = self._server.attach(None)
        if not self._listening:
            raise SourceError(f"camera {self.name}: {self._refusal()}")

    def _refusal(self) -> str:
        """Why the server cannot listen: it does not say, the system does."""
        address, port = self._server.get_address(), int(self._server.get_service())
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"{address} port {port}: {error.strerror}; see --address and --port"
        return f"port {port} is taken; see --port"

    def _throw_out(self) -> None:
        self._server.client_filter(lambda server, client: self._rtsp.RTSPFilterResult.REMOVE)
        self._server.get_session_pool().filter(lambda pool, session: self._rtsp.RTSPFilterResult.REMOVE)

    def _end(self) -> None:
        with self._changed:
            media, self._media = self._media, None
        if media:
            media.get_by_name("film").end_of_stream()
        self._mount()

    def _connected(self, server: Any, client: Any) -> None:
        self._count(1)
        client.connect("closed", lambda client: self._count(-1))

    def _count(self, more: int) -> None:
        with self._changed:
            self._watchers += more
        self._told(f"{self._watchers} connected")

    def _configured(self, factory: Any, media: Any) -> None:
        """Somebody watches, whom others may join."""
        elements = media.get_element()
        media.connect("unprepared", lambda media: self._unwatched(elements))
        media.connect("prepared", lambda media: self._disturb())
        with self._changed:
            self._media = elements
            self._changed.notify_all()

    def _unwatched(self, elements: Any) -> None:
        with self._changed:
            if self._media is elements:
                self._media = None

    def _disturb(self) -> None:
        """The faults of what is on the way."""
        media = self._media
        if media is None:
            return
        wrong = media.get_by_name("wrong")
        if wrong:
            wrong.set_property("probability", FLIPPED if self.fault == "corrupt" else 0.0)
        if self._loss:
            self._loss[0].remove_probe(self._loss[1])
            self._loss = None
        if self.fault == "loss":
            types = self._gst.PadProbeType.BUFFER | self._gst.PadProbeType.BUFFER_LIST
            pad = media.get_by_name("pay0").get_static_pad("src")
            self._loss = pad, pad.add_probe(types, self._lose)
        pipeline = media.get_parent()
        for element in pipeline.children if pipeline else ():
            if element.find_property("ntp-time-source"):  # the rtpbin: since 1970 in place of 1900
                element.set_property("ntp-time-source", "unix" if self.fault == "clock" else "ntp")

    def _lose(self, pad: Any, info: Any) -> Any:
        return self._gst.PadProbeReturn.DROP if random.random() < LOST else self._gst.PadProbeReturn.OK

    def _play(self) -> None:
        try:
            picture = self.film.next()
            while not self._stop:
                with self._changed:
                    self._changed.wait_for(lambda: self._media is not None or self._stop)
                    media = self._media
                if media is not None:
                    picture = self._show(media, picture)
        except SourceError as error:
            self._told(str(error))

    def _show(self, media: Any, picture: Any) -> Any:
        """Feeds one stream, from this picture on, until it is over; the picture at its end."""
        source, caps = media.get_by_name("film"), None
        began, number = time.monotonic(), 0
        while self._media is media and not self._stop:
            if self.fault != "stall":
                if caps is None or not picture.get_caps().is_equal(caps):
                    caps = picture.get_caps()
                    source.set_property("caps", caps)
                buffer = picture.get_buffer().copy()
                buffer.pts, buffer.duration = number * NS_PER_S // self.film.rate, NS_PER_S // self.film.rate
                source.emit("push-buffer", buffer)
            number += 1
            wait_s = began + number / self.film.rate - time.monotonic()
            if wait_s < -LATE_S:
                number -= int(wait_s * self.film.rate)
            time.sleep(max(0.0, wait_s))
            if self.fault != "freeze":
                picture = self.film.next()
        return picture
