"""One request to a camera over a plain socket or TLS, as it goes over the wire."""

import socket
import ssl
from pathlib import Path

from tests.support.waiting import PATIENCE_S


def ask(url: str, ca: Path | None = None, at_least: int = 1) -> str:
    """Return the answer to DESCRIBE or GET of `url`, as text: its head, and `at_least` bytes."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    host, _, port = place.partition(":")
    rtsp = f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n"
    http = f"GET /{path} HTTP/1.1\r\nHost: {place}\r\n\r\n"
    with socket.create_connection((host, int(port)), PATIENCE_S) as plain:
        trusting = ssl.create_default_context(cafile=ca)
        connection = trusting.wrap_socket(plain, server_hostname=host) if scheme in ("rtsps", "https") else plain
        connection.sendall((rtsp if scheme.startswith("rtsp") else http).encode())
        answer = b""
        while (len(answer) < at_least or b"\r\n\r\n" not in answer) and (more := connection.recv(4096)):
            answer += more
    return answer.decode(errors="replace")
