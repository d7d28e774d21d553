"""Clients of the page that come and go, break off, keep silent, or send nonsense, until they are terminated.

A process of its own, so that its memory and processor time are not the daemon's:
python -m tests.soak.restless PORT COOKIE CLIENTS CAMERA...
"""

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote

from tests.support.fuzzed_requests import RequestFuzzer

ANSWER_S = 30.0
STAY_S = 10.0  # at most, that a client stays
PAUSE_S = 2.0  # at most, from one client to the next
ROUTES = ("/api/state", "/api/events", "/api/camera/{camera}/scores", "/api/camera/{camera}/what-if", "/{anything}")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


class RestlessClient:
    """One client after another, each of a random kind."""

    def __init__(self, port: int, cookie: str, cameras: list[str], seed: int) -> None:
        self._port, self._cookie, self._cameras = port, cookie, cameras
        self._random = random.Random(seed)
        origin = f"http://127.0.0.1:{port}"
        headers = [f"Host: 127.0.0.1:{port}", f"Cookie: {cookie}", f"Origin: {origin}"]
        self._fuzzers = [RequestFuzzer(route, headers) for route in ROUTES]

    def run(self) -> None:
        """Come and go until the process ends."""
        kinds: list[Callable[[], None]] = [self._visit, self._break_off, self._keep_silent, self._drip, self._reset]
        kinds.append(self._send_nonsense)
        while True:
            with suppress(OSError, HTTPException):
                self._random.choice(kinds)()
            time.sleep(self._random.uniform(0, PAUSE_S))

    def _visit(self) -> None:
        """Load what a browser loads when it opens the page."""
        camera = quote(self._random.choice(self._cameras))
        targets = ("/", "/static/js/main.js", "/api/state", f"/api/camera/{camera}/scores", "/api/events")
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)) as connection:
            for target in (
                *targets,
                f"/api/camera/{camera}/what-if?enter=0.6&exit=0.4",
                f"/api/camera/{camera}/picture",
            ):
                connection.request("GET", target, headers={"Cookie": self._cookie})
                connection.getresponse().read()

    def _break_off(self) -> None:
        """Read the stream for a while, and leave without a word."""
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)) as connection:
            connection.request("GET", "/api/stream", headers={"Cookie": self._cookie})
            answer, until = connection.getresponse(), time.monotonic() + self._random.uniform(0, STAY_S)
            while time.monotonic() < until and answer.readline():
                pass

    def _keep_silent(self) -> None:
        with self._connect():
            time.sleep(self._random.uniform(0, STAY_S))

    def _drip(self) -> None:
        """Send a request byte by byte, slower than the page allows."""
        with self._connect() as connection:
            for byte in b"GET /api/state HTTP/1.1\r\nHost: x\r\n":
                connection.sendall(bytes([byte]))
                time.sleep(0.5)

    def _reset(self) -> None:
        """Ask for a picture, and reset the connection before the answer."""
        with self._connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            target = f"/api/camera/{quote(self._random.choice(self._cameras))}/picture"
            host = f"Host: 127.0.0.1:{self._port}\r\nCookie: {self._cookie}"
            connection.sendall(f"GET {target} HTTP/1.1\r\n{host}\r\n\r\n".encode())
            time.sleep(self._random.uniform(0, 0.1))

    def _send_nonsense(self) -> None:
        with self._connect() as connection:
            connection.sendall(self._random.choice(self._fuzzers).request().raw)
            connection.settimeout(self._random.uniform(0.1, STAY_S))
            while connection.recv(65536):
                pass

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), ANSWER_S)


def main(port: str, cookie: str, clients: str, *cameras: str) -> None:
    for seed in range(int(clients)):
        client = RestlessClient(int(port), cookie, list(cameras), seed)
        threading.Thread(target=client.run, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
