"""The endpoint of a simulated camera: its address, its password, and the protocol of a server."""

import errno
import socket
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_tdn.errors import SourceError
from edge_tdn.simulator.certificate import ServerCertificate

REALM = "edge-tdn simulate"
SHA_256_ONLY = (
    f'Digest realm="{REALM}", nonce="c4f1a9e27d5b", algorithm=SHA-256, qop="auth"'  # a challenge of one scheme
)


@dataclass(frozen=True)
class Endpoint:
    """Where a simulated camera listens, and who may watch. Without a `user`, anyone may."""

    name: str
    address: str = "127.0.0.1"
    port: int = 0  # 0: any
    user: str = ""
    password: str = field(default="", repr=False)
    certificate: ServerCertificate | None = None  # None: plain text

    def refusal(self, port: int) -> SourceError:
        """Return why `port` cannot be opened: a server may not report it, the system does."""
        try:
            family, kind, protocol, _, where = socket.getaddrinfo(self.address, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(where)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return SourceError(
                    f"camera {self.name}: {self.address} port {port}: {error.strerror}; see --address and --port"
                )
        return SourceError(f"camera {self.name}: port {port} is taken; see --port")


class StreamOwner(Protocol):
    """Receives what happens at a server. Called on any thread."""

    def client_connected(self) -> None: ...

    def client_left(self) -> None: ...

    def stream_began(self, elements: Any) -> None:
        """Start to feed a new stream, whose first element is an appsrc. Called when its first client watches."""

    def stream_ready(self) -> None:
        """Apply the current fault: every element of the stream exists."""

    def stream_ended(self, elements: Any) -> None: ...


class CameraServer(Protocol):
    """A server of one stream. Used by the thread of GLib's main loop, once it runs."""

    scheme: str  # of its URL
    port: int  # 0 is replaced by a free one in `listen`

    def serve(self, key_frames: int) -> None:
        """Serve a new stream to the clients that connect from now on. `key_frames`: from one to the next."""

    def listen(self) -> None:
        """Open the port. Raises SourceError if that fails."""

    def stop_listening(self) -> None:
        """Close the port."""

    def disconnect_all(self) -> None:
        """Close all connections."""

    def require_password(self) -> None:
        """Accept clients with the configured password; every client if there is none."""

    def reject_all(self, challenge: str = "") -> None:
        """Reject every password, and ask for `challenge`; empty: the usual one."""

    def redirect(self, location: str) -> None:
        """Answer every request with this Location; empty: none."""

    def omit_first_boundary(self, omit: bool) -> None:
        """Start MJPEG over HTTP without a boundary before its first picture. Without effect over RTSP."""
