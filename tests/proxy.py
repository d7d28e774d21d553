"""A wire between a client and a server that can be cut and mended, and remembers what the client said."""

import contextlib
import socket
import threading


class Proxy:
    """Forwards connections on `port` to 127.0.0.1:`target`, while it is not cut."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.said = bytearray()  # by clients, one after the other
        self._open: list[socket.socket] = []
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets what is connected, and whoever comes."""
        self._cut = True
        for one in self._open:
            _reset(one)
        self._open.clear()

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = None if self._cut else self._reached()
                if server is None:
                    _reset(client)
                    continue
                self._open += [client, server]
                for source, sink, said in ((client, server, self.said), (server, client, bytearray())):
                    threading.Thread(target=_copy, args=(source, sink, said), daemon=True).start()

    def _reached(self) -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            return None


def _copy(source: socket.socket, sink: socket.socket, said: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            said += data
            sink.sendall(data)
    for one in (source, sink):
        _reset(one)


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
