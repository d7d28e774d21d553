"""A GStreamer RTSP server with one stream, rtsp://ADDRESS:PORT/NAME."""

import secrets
from typing import Any

from edge_tdn.media import gstreamer
from edge_tdn.simulator.endpoint import Endpoint, StreamOwner
from edge_tdn.simulator.film_feed import INPUT
from edge_tdn.simulator.stream_faults import CORRUPTER, PAYLOADER

VIEWER = "viewer"  # role of the clients whose password is right
ANYONE = "anyone"  # user name while every password is wrong
H26X = f"stream-format=byte-stream,alignment=au ! breakmydata name={CORRUPTER}"
CODECS = {  # of constant quality, as in cameras; {key}: frames from one key frame to the next
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 pass=qual quantizer=24 key-int-max={key} ! "
    f"video/x-h264,{H26X} ! rtph264pay name={PAYLOADER} pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast qp=24 key-int-max={key} "
    "option-string=pools=1:frame-threads=1:log-level=none ! "
    f"video/x-h265,{H26X} ! rtph265pay name={PAYLOADER} pt=96 config-interval=-1",
    "mjpeg": f"jpegenc quality=75 ! rtpjpegpay name={PAYLOADER} pt=26",
}
MOVED, UNAUTHORIZED = 302, 401
ALL = -1  # index of every header of a name


class RtspServer:
    """Serves one stream. Implements `edge_tdn.simulator.endpoint.CameraServer`.

    Owner: the thread of GLib's main loop, once it runs. Callbacks come from GStreamer's threads.
    """

    def __init__(self, endpoint: Endpoint, codec: str, owner: StreamOwner) -> None:
        self._gst, _ = gstreamer.load()
        self._glib, self._rtsp = gstreamer.load_rtsp_server()
        self._endpoint, self._codec, self._owner = endpoint, codec, owner
        certificate = endpoint.certificate
        self._certificate = gstreamer.tls_certificate(certificate.cert, certificate.key) if certificate else None
        self._server = self._rtsp.RTSPServer(address=endpoint.address, service=str(endpoint.port))
        self._listening = 0  # GLib's source; 0: none
        self._location = ""  # of every answer; empty: no redirect
        self._challenge = ""  # of every rejection; empty: the server's own
        self.scheme = "rtsps" if certificate else "rtsp"
        self.port = endpoint.port
        self._server.connect("client-connected", lambda _server, client: self._welcome(client))

    def serve(self, key_frames: int) -> None:
        """Serve a new stream to the clients that connect from now on, who share it."""
        factory = self._rtsp.RTSPMediaFactory(shared=True)
        factory.set_launch(f"( {INPUT} ! {CODECS[self._codec].format(key=key_frames)} )")
        permissions = self._rtsp.RTSPPermissions()
        role = f"{VIEWER}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        permissions.add_role_from_structure(self._gst.Structure.new_from_string(role))
        factory.set_permissions(permissions)
        factory.connect("media-configure", lambda _factory, media: _begin(media, self._owner))
        mounts = self._server.get_mount_points()
        mounts.remove_factory(f"/{self._endpoint.name}")
        mounts.add_factory(f"/{self._endpoint.name}", factory)

    def listen(self) -> None:
        self._listening = self._server.attach(None)
        if not self._listening:
            raise self._endpoint.refusal(int(self._server.get_service()))
        self.port = self._server.get_bound_port()
        self._server.set_service(str(self.port))  # the same after `stop_listening`

    def stop_listening(self) -> None:
        self._glib.source_remove(self._listening)

    def require_password(self) -> None:
        auth, token = self._auth(), self._viewer()
        if self._endpoint.user:
            auth.add_basic(self._rtsp.RTSPAuth.make_basic(self._endpoint.user, self._endpoint.password), token)
        else:
            auth.set_default_token(token)
        self._challenge = ""
        self._server.set_auth(auth)

    def reject_all(self, challenge: str = "") -> None:
        auth = self._auth()
        auth.add_basic(self._rtsp.RTSPAuth.make_basic(ANYONE, secrets.token_hex()), self._viewer())
        self._challenge = challenge
        self._server.set_auth(auth)

    def redirect(self, location: str) -> None:
        self._location = location

    def omit_first_boundary(self, omit: bool) -> None:
        """Do nothing: RTSP has no boundaries."""

    def disconnect_all(self) -> None:
        self._server.client_filter(lambda _server, _client: self._rtsp.RTSPFilterResult.REMOVE)
        self._server.get_session_pool().filter(lambda _pool, _session: self._rtsp.RTSPFilterResult.REMOVE)

    def _welcome(self, client: Any) -> None:
        self._owner.client_connected()
        client.connect("closed", lambda _client: self._owner.client_left())
        client.connect("pre-describe-request", lambda _client, _context: MOVED if self._location else 200)
        client.connect("send-message", lambda _client, _session, message: self._rewrite(message))

    def _rewrite(self, message: Any) -> None:
        """Put the Location into an answer that redirects, and the challenge into one that rejects."""
        if message.type != message.type.RESPONSE:
            return
        code = int(message.parse_response().code)
        if code == MOVED and self._location:
            message.add_header_by_name("Location", self._location)
        if code == UNAUTHORIZED and self._challenge:
            message.remove_header_by_name("WWW-Authenticate", ALL)
            message.add_header_by_name("WWW-Authenticate", self._challenge)

    def _auth(self) -> Any:
        auth = self._rtsp.RTSPAuth()
        if self._certificate:
            auth.set_tls_certificate(self._certificate)
        return auth

    def _viewer(self) -> Any:
        token = self._rtsp.RTSPToken()
        token.set_string("media.factory.role", VIEWER)
        return token


def _begin(media: Any, owner: StreamOwner) -> None:
    """Announce a new stream. Called on a thread of the server's when the first client watches."""
    elements = media.get_element()
    media.connect("unprepared", lambda _media: owner.stream_ended(elements))
    media.connect("prepared", lambda _media: owner.stream_ready())
    owner.stream_began(elements)
