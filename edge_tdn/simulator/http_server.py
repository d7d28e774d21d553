"""An HTTP server with one MJPEG stream, http://ADDRESS:PORT/NAME."""

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from edge_tdn.errors import SourceError, last_line
from edge_tdn.media import gstreamer
from edge_tdn.simulator.endpoint import REALM, Endpoint, StreamOwner
from edge_tdn.simulator.film_feed import INPUT

PICTURES = "pictures"  # name of the stream's last element
LAUNCH = f"{INPUT} ! jpegenc quality=75 ! appsink name={PICTURES} sync=false emit-signals=true"
BOUNDARY = "next"
CLIENT_TIMEOUT_S = 10.0  # of a client that neither sends its request nor takes its pictures
WAIT_S = 0.5  # between two looks at a stream without pictures


class HttpServer:
    """Serves one stream. Implements `edge_tdn.simulator.endpoint.CameraServer`.

    Owners: `_stream`, its viewers and `_connections` are guarded by `_lock`; the settings are written by the thread of
    GLib's main loop and read by the threads of the clients.
    """

    def __init__(self, endpoint: Endpoint, owner: StreamOwner) -> None:
        self._endpoint, self._owner = endpoint, owner
        self._listener: ThreadingHTTPServer | None = None
        self._location = self._challenge = ""  # as in RtspServer
        self._required = ""  # value of the header Authorization; empty: none is required
        self._first_boundary = True
        self._stream: JpegStream | None = None  # None while no client watches
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.scheme = "https" if endpoint.certificate else "http"
        self.port = endpoint.port

    def serve(self, key_frames: int) -> None:
        """Serve a new stream to the clients that connect from now on, who share it. Every picture is a key frame."""
        with self._lock:
            self._stream = None

    def listen(self) -> None:
        server = self

        class Client(BaseHTTPRequestHandler):
            timeout = CLIENT_TIMEOUT_S

            def log_message(self, *_: object) -> None:
                """Log nothing."""

            def do_GET(self) -> None:
                with server.connected(self.connection), suppress(OSError):  # the client has left
                    server.answer(self)

        try:
            self._listener = _Listener((self._endpoint.address, self.port), Client)
        except OSError as error:
            raise self._endpoint.refusal(self.port) from error
        if certificate := self._endpoint.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            try:
                context.load_cert_chain(certificate.cert, certificate.key)
            except ssl.SSLError as error:
                raise SourceError(
                    f"{certificate.cert}, {certificate.key}: not a certificate and its key: {last_line(error)}"
                ) from error
            plain = self._listener.socket
            self._listener.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.port = self._listener.server_port
        threading.Thread(target=self._listener.serve_forever, args=(WAIT_S,), daemon=True).start()

    def stop_listening(self) -> None:
        if self._listener:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None

    def disconnect_all(self) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # it has just closed
                    connection.shutdown(socket.SHUT_RDWR)

    def require_password(self) -> None:
        login = f"{self._endpoint.user}:{self._endpoint.password}".encode()
        self._required = f"Basic {b64encode(login).decode()}" if self._endpoint.user else ""
        self._challenge = ""

    def reject_all(self, challenge: str = "") -> None:
        self._required, self._challenge = "none", challenge

    def redirect(self, location: str) -> None:
        self._location = location

    def omit_first_boundary(self, omit: bool) -> None:
        self._first_boundary = not omit

    @contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Count a client while its request is answered."""
        with self._lock:
            self._connections.add(connection)
        self._owner.client_connected()
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)
            self._owner.client_left()

    def answer(self, client: BaseHTTPRequestHandler) -> None:
        """Answer a client's request. Called on its thread."""
        if self._required and client.headers.get("Authorization") != self._required:
            challenge = self._challenge or f'Basic realm="{REALM}"'
            _reply(client, HTTPStatus.UNAUTHORIZED, "WWW-Authenticate", challenge)
        elif client.path.partition("?")[0] != f"/{self._endpoint.name}":
            _reply(client, HTTPStatus.NOT_FOUND)
        elif self._location:
            _reply(client, HTTPStatus.FOUND, "Location", self._location)
        else:
            client.send_response(HTTPStatus.OK)
            client.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            client.end_headers()
            self._send_pictures(client)

    def _send_pictures(self, client: BaseHTTPRequestHandler) -> None:
        boundary = f"--{BOUNDARY}\r\n".encode() if self._first_boundary else b""
        with self._viewing() as stream:
            for picture in stream.pictures(lambda: client.connection in self._connections):
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                client.wfile.write(boundary + head + picture + b"\r\n")
                boundary = f"--{BOUNDARY}\r\n".encode()

    @contextmanager
    def _viewing(self) -> Iterator["JpegStream"]:
        """Start the stream for the first viewer, and stop it behind the last."""
        with self._lock:
            stream = self._stream = self._stream or JpegStream(self._owner)
            stream.viewers += 1
        try:
            yield stream
        finally:
            with self._lock:
                stream.viewers -= 1
                last = stream.viewers == 0
                if last and self._stream is stream:
                    self._stream = None
            if last:
                stream.close()


class JpegStream:
    """The pictures of one pipeline, for any number of viewers.

    Owners: `viewers` belongs to the server; `_picture`, `_number` and `_ended` are guarded by `_changed`, and written
    by a thread of GStreamer's.
    """

    def __init__(self, owner: StreamOwner) -> None:
        self._gst, _ = gstreamer.load()
        self.viewers = 0
        self._owner = owner
        self._picture, self._number, self._ended = b"", 0, False
        self._changed = threading.Condition()
        self._pipeline = self._gst.parse_launch(LAUNCH)
        sink = self._pipeline.get_by_name(PICTURES)
        sink.connect("new-sample", self._take)
        sink.connect("eos", lambda _sink: self._end())
        owner.stream_began(self._pipeline)
        self._pipeline.set_state(self._gst.State.PLAYING)
        owner.stream_ready()

    def pictures(self, is_open: Callable[[], bool]) -> Iterator[bytes]:
        """Yield each new JPEG until the stream has ended, or `is_open` returns False."""
        number = 0
        while is_open():
            with self._changed:
                if self._number == number and not self._ended:
                    self._changed.wait(WAIT_S)
                if self._ended:
                    return
                if self._number == number:
                    continue
                number, picture = self._number, self._picture
            yield picture

    def close(self) -> None:
        """Stop the pipeline."""
        self._end()
        self._owner.stream_ended(self._pipeline)
        self._pipeline.set_state(self._gst.State.NULL)

    def _take(self, sink: Any) -> Any:
        buffer = sink.emit("pull-sample").get_buffer()
        with self._changed:
            self._picture, self._number = buffer.extract_dup(0, buffer.get_size()), self._number + 1
            self._changed.notify_all()
        return self._gst.FlowReturn.OK

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], client: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, client)

    def handle_error(self, *_: object) -> None:
        """Print nothing: a client has left, or rejects the certificate."""


def _reply(client: BaseHTTPRequestHandler, status: HTTPStatus, header: str = "", value: str = "") -> None:
    client.send_response(status)
    if header:
        client.send_header(header, value)
    client.send_header("Content-Length", "0")
    client.end_headers()
