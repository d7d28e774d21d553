"""A camera that answers every RTSP or HTTP request with a given text, and records what it received."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.waiting import PATIENCE_S

Reply = Callable[[str], str]


class ScriptedCamera:
    """Listens on the loopback; `reply` returns the answer to a request, without its CSeq.

    Its threads append to `requests`; the test reads them.
    """

    def __init__(self, reply: Reply, scheme: str = "rtsp", host: str = "127.0.0.1") -> None:
        self.reply = reply
        self.requests: list[str] = []
        self._server = socket.create_server((host, 0))
        self._server.settimeout(0.05)
        self.url = f"{scheme}://{host}:{self._server.getsockname()[1]}/live"
        self._open = True
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def connections_with_password(self) -> int:
        """The number of requests that carried credentials."""
        return sum("Authorization:" in request for request in list(self.requests))

    def close(self) -> None:
        self._open = False
        self._thread.join(PATIENCE_S)
        self._server.close()

    def _accept(self) -> None:
        while self._open:
            with suppress(TimeoutError):
                connection = self._server.accept()[0]
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        received = b""
        with connection, suppress(OSError):
            while self._open:
                while b"\r\n\r\n" not in received:
                    if not (more := connection.recv(4096)):
                        return
                    received += more
                head, _, received = received.partition(b"\r\n\r\n")
                request = head.decode(errors="replace")
                self.requests.append(request)
                cseq = next((line for line in request.split("\r\n") if line.lower().startswith("cseq")), "")
                status, _, headers = self.reply(request).partition("\r\n")
                answer = "\r\n".join(part for part in (status, cseq, headers) if part)
                connection.sendall(f"{answer}\r\n\r\n".encode(errors="surrogateescape"))
                if status.startswith("HTTP"):
                    return


@contextmanager
def scripted(reply: Reply, scheme: str = "rtsp", host: str = "127.0.0.1") -> Iterator[ScriptedCamera]:
    """Run a ScriptedCamera."""
    camera = ScriptedCamera(reply, scheme, host)
    try:
        yield camera
    finally:
        camera.close()


def status(request: str, code: int, reason: str, headers: str = "") -> str:
    """Return an answer in the protocol of the request; OPTIONS is always answered."""
    protocol = "RTSP/1.0" if "RTSP/1.0" in request else "HTTP/1.1"
    if request.startswith("OPTIONS"):
        return f"{protocol} 200 OK\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY"
    return f"{protocol} {code} {reason}\r\n{headers}".rstrip()
