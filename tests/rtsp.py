"""A real RTSP camera that can be killed, frozen, started again and given faults: `edge-tdn simulate` as a process."""

import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

_told: set[int] = set()  # by free_port, on any thread
_telling = threading.Lock()


class RtspCamera:
    """Always on the same free port of the loopback. With a password the user is `camera`.

    `source`: as of `edge-tdn simulate`, whose further arguments are `options`.
    """

    def __init__(self, password: str = "", source: str = "test:", *options: str, start: bool = True) -> None:
        self.port = free_port()
        self.name = Path(source.rstrip(":")).stem
        self._command = [sys.executable, "-m", "edge_tdn", "simulate", source, "--port", str(self.port), *options]
        self._secret = tempfile.NamedTemporaryFile("w", prefix="edge-tdn-test-")  # noqa: SIM115  (lives as long)
        if password:
            self._secret.write(f"{password}\n")
            self._secret.flush()
            self._command += ["--user", "camera", "--password-file", self._secret.name]
        if start:
            self.start()

    def start(self) -> None:
        """Returns when it listens."""
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(1200):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.05)
        raise AssertionError("the simulated camera did not start")

    def fault(self, name: str) -> None:
        """One of edge_tdn.faults; `ok`: none."""
        assert self.process.stdin
        self.process.stdin.write(f"{name}\n".encode())
        self.process.stdin.flush()

    def freeze(self) -> None:
        """Its connections stay open, and nothing comes."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdin:
            self.process.stdin.close()

    def url(self, credentials: str = "") -> str:
        return f"rtsp://{credentials}127.0.0.1:{self.port}/{self.name}"


def free_port() -> int:
    """Another one each time: who was told one may not listen there yet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with _telling:
            if port not in _told:
                _told.add(port)
                return port
