"""A GStreamer RTSP server with one stream, rtsp://ADDRESS:PORT/NAME."""

import errno
import secrets
import socket
from collections.abc import Callable
from typing import Any

from edge_tdn.errors import SourceError
from edge_tdn.media import gstreamer

VIEWER = "viewer"  # role of the clients whose password is right
ANYONE = "anyone"  # user name while every password is wrong


class RtspServer:
    """Serves one stream. With a `user`, clients need the password.

    Owner: the thread of GLib's main loop, once it runs. Callbacks come from GStreamer's threads.
    """

    def __init__(self, name: str, address: str, port: int, user: str, password: str) -> None:
        self._gst, _ = gstreamer.load()
        self._glib, self._rtsp = gstreamer.load_rtsp_server()
        self._name = name
        self._user, self._password = user, password
        self._server = self._rtsp.RTSPServer(address=address, service=str(port))
        self._listening = 0  # GLib's source; 0: none
        self.port = port  # 0 is replaced by a free one in `listen`

    def on_client(self, connected: Callable[[], None], disconnected: Callable[[], None]) -> None:
        """Call `connected` for every new client, and `disconnected` when it has left."""

        def begin(_server: Any, client: Any) -> None:
            connected()
            client.connect("closed", lambda _client: disconnected())

        self._server.connect("client-connected", begin)

    def mount(self, launch: str, configured: Callable[[Any], None]) -> None:
        """Serve this pipeline to clients that connect from now on, who share one stream.

        `configured` is called with each new stream's media.
        """
        factory = self._rtsp.RTSPMediaFactory(shared=True)
        factory.set_launch(launch)
        permissions = self._rtsp.RTSPPermissions()
        role = f"{VIEWER}, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        permissions.add_role_from_structure(self._gst.Structure.new_from_string(role))
        factory.set_permissions(permissions)
        factory.connect("media-configure", lambda _factory, media: configured(media))
        mounts = self._server.get_mount_points()
        mounts.remove_factory(f"/{self._name}")
        mounts.add_factory(f"/{self._name}", factory)

    def listen(self) -> None:
        """Open the port. Raises SourceError if that fails."""
        self._listening = self._server.attach(None)
        if not self._listening:
            raise SourceError(f"camera {self._name}: {self._refusal()}")
        self.port = self._server.get_bound_port()
        self._server.set_service(str(self.port))  # the same after `stop_listening`

    def stop_listening(self) -> None:
        """Close the port."""
        self._glib.source_remove(self._listening)

    def require_password(self) -> None:
        """Accept clients with the configured password; every client if there is none."""
        auth, token = self._rtsp.RTSPAuth(), self._viewer()
        if self._user:
            auth.add_basic(self._rtsp.RTSPAuth.make_basic(self._user, self._password), token)
        else:
            auth.set_default_token(token)
        self._server.set_auth(auth)

    def reject_all(self) -> None:
        """Reject every password."""
        auth = self._rtsp.RTSPAuth()
        auth.add_basic(self._rtsp.RTSPAuth.make_basic(ANYONE, secrets.token_hex()), self._viewer())
        self._server.set_auth(auth)

    def disconnect_all(self) -> None:
        """Close all connections and sessions."""
        self._server.client_filter(lambda _server, _client: self._rtsp.RTSPFilterResult.REMOVE)
        self._server.get_session_pool().filter(lambda _pool, _session: self._rtsp.RTSPFilterResult.REMOVE)

    def _viewer(self) -> Any:
        token = self._rtsp.RTSPToken()
        token.set_string("media.factory.role", VIEWER)
        return token

    def _refusal(self) -> str:
        """Return why the port cannot be opened: the server does not report it, the system does."""
        address, port = self._server.get_address(), int(self._server.get_service())
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"{address} port {port}: {error.strerror}; see --address and --port"
        return f"port {port} is taken; see --port"
