"""Cameras and files over HTTP."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase

import cv2
import numpy as np

from tests.support.patterns import edge
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

RATE = 20  # frames per second of an MjpegCamera


class HttpCamera(BaseHTTPRequestHandler):
    """MJPEG at /live, and the file `video` at every other path."""

    video = b""

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/live":
            self._stream()
            return
        self.send_header("Content-Length", str(len(self.video)))
        self.end_headers()
        self.wfile.write(self.video)

    def _stream(self) -> None:
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        jpeg = cv2.imencode(".jpg", edge(96, 128))[1].tobytes()
        head = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
        with suppress(OSError):  # the reader has disconnected
            while True:
                self.wfile.write(head + jpeg + b"\r\n")
                time.sleep(1 / 30)


def answering(
    body: bytes | Callable[[BufferedIOBase], None],
    content_type: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> type[BaseHTTPRequestHandler]:
    """Return a handler that gives one answer at every path. `body`: all of it, or what writes it until the end."""

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            self.send_response(status)
            if content_type:
                self.send_header("Content-Type", content_type)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):  # the reader has disconnected
                if callable(body):
                    body(self.wfile)
                else:
                    self.wfile.write(body)

    return Answer


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve HTTP on the loopback, and yield its http:// address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class MjpegCamera:
    """A camera that sends MJPEG over HTTP, always on the same port, and fails as `mode` says.

    `live`, `frozen` (one picture), `hung` (sends nothing), `breaking` (closes each connection after a few frames),
    `booting` (closes the next connection, and is live then), `dropping` (closes the open connection, and is live then).
    The test writes `mode`; the camera's threads read it and append to `connected_s`.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.mode = "live"
        self.connected_s: list[float] = []  # monotonic seconds of each connection
        self._threads: list[threading.Thread] = []
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Open the port."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self._server.settimeout(0.05)
        self._on = True
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def kill(self) -> None:
        """Close the port and all connections."""
        self._on = False
        for thread in list(self._threads):
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        while self._on:
            with suppress(TimeoutError):
                connection = self._server.accept()[0]
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()
        self._server.close()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)  # a busy client may take long to ask
        with connection, suppress(OSError):
            if b"GET" not in connection.recv(4096):
                return  # a port probe
            self.connected_s.append(time.monotonic())
            if self.mode == "booting":
                self.mode = "live"
                return
            if self.mode != "hung":
                head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=next\r\n\r\n"
                connection.sendall(head)
            number = 0
            while self._on:
                if self.mode == "dropping":
                    self.mode = "live"
                    return
                if self.mode != "hung":
                    data = noisy_jpeg(number if self.mode == "live" else 0)
                    size = b"Content-Length: %d\r\n\r\n" % len(data)
                    connection.sendall(b"--next\r\nContent-Type: image/jpeg\r\n" + size + data + b"\r\n")
                    number += 1
                    if self.mode == "breaking" and number == 3:  # a decoder may wait for the frame after the first
                        return
                time.sleep(1 / RATE)


def noisy_jpeg(seed: int) -> bytes:
    """Return a JPEG of a still scene with sensor noise of this seed."""
    noise = np.random.default_rng(seed).integers(-9, 10, (96, 128, 1))
    return cv2.imencode(".jpg", (np.linspace(60, 180, 128)[:, None] + noise).astype(np.uint8))[1].tobytes()
