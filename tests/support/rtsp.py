"""A real camera that can be killed, frozen, restarted and given faults: `edge-tdn simulate` as a process."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, eventually


class RtspCamera:
    """A camera that keeps its port of the loopback. With a password, the user is `camera`.

    `source`: see `edge-tdn simulate`, whose further arguments are `options`.
    """

    def __init__(self, password: str = "", source: str = "test:", *options: str, start: bool = True) -> None:
        self.port = free_port()
        self.name = Path(source.rstrip(":")).stem
        self._scheme = "http" if "http" in options else "rtsp"
        self._command = [sys.executable, "-m", "edge_tdn", "simulate", source, "--port", str(self.port), *options]
        self._secret = tempfile.NamedTemporaryFile("w", prefix="edge-tdn-test-")  # noqa: SIM115  (lives as long)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (likewise)
        if password:
            self._secret.write(f"{password}\n")
            self._secret.flush()
            self._command += ["--user", "camera", "--password-file", self._secret.name]
        if start:
            self.start()

    def start(self) -> None:
        """Start the process, and return when it listens."""
        self._fault = "ok"
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=self._output)
        eventually(self._listens, describe=lambda: "the simulated camera does not listen")

    def fault(self, name: str) -> None:
        """Set one of edge_tdn.simulator.faults (`ok`: none), and return when the camera has reported it."""
        before, self._fault = self._fault, name
        reports = self._reports(name)
        assert self.process.stdin
        self.process.stdin.write(f"{name}\n".encode())
        self.process.stdin.flush()
        if before != name:
            eventually(lambda: self._reports(name) > reports)

    def freeze(self) -> None:
        """Stop the process: its connections stay open, and nothing arrives."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the process."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        if self.process.stdin:
            self.process.stdin.close()

    def url(self, credentials: str = "") -> str:
        return f"{self._scheme}://{credentials}127.0.0.1:{self.port}/{self.name}"

    def _listens(self) -> bool:
        assert self.process.poll() is None, "the simulated camera has ended"
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def _reports(self, fault: str) -> int:
        """Return how often the camera has reported this fault."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), size, 0).count(f" {fault}\n".encode())
