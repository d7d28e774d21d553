"""A real RTSP camera that can be killed, frozen, started again and given faults: `edge-tdn simulate` as a process."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.support.ports import free_port


class RtspCamera:
    """Always on the same free port of the loopback. With a password the user is `camera`.

    `source`: as of `edge-tdn simulate`, whose further arguments are `options`.
    """

    def __init__(self, password: str = "", source: str = "test:", *options: str, start: bool = True) -> None:
        self.port = free_port()
        self.name = Path(source.rstrip(":")).stem
        self._command = [sys.executable, "-m", "edge_tdn", "simulate", source, "--port", str(self.port), *options]
        self._secret = tempfile.NamedTemporaryFile("w", prefix="edge-tdn-test-")  # noqa: SIM115  (lives as long)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (likewise)
        if password:
            self._secret.write(f"{password}\n")
            self._secret.flush()
            self._command += ["--user", "camera", "--password-file", self._secret.name]
        if start:
            self.start()

    def start(self) -> None:
        """Returns when it listens."""
        self._fault = "ok"
        self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=self._said)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.05)
        raise AssertionError("the simulated camera did not start")

    def fault(self, name: str) -> None:
        """One of edge_tdn.simulator.faults; `ok`: none. Returns when the camera has heard it."""
        before, self._fault = self._fault, name
        times = self._heard(name)
        assert self.process.stdin
        self.process.stdin.write(f"{name}\n".encode())
        self.process.stdin.flush()
        deadline = time.monotonic() + 60
        while before != name and self._heard(name) == times:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _heard(self, fault: str) -> int:
        """Times that it told so."""
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), size, 0).count(f" {fault}\n".encode())

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
