"""`edge-tdn run` as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import PATIENCE_S, eventually


class DaemonProcess:
    """A running daemon whose log is kept beside its configuration; killed when the `with` block ends."""

    def __init__(self, config: Path, *options: str, **environment: str) -> None:
        self._log = config.with_suffix(".log")
        command = [sys.executable, "-m", "edge_tdn", *options, "run", "--config", str(config)]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, env=os.environ | environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end and return the exit status."""
        return self.process.wait(timeout_s)

    def terminate(self, timeout_s: float = PATIENCE_S) -> int:
        """Send SIGTERM, wait for its end and return the exit status."""
        self.process.terminate()
        return self.wait(timeout_s)

    def wait_for_log(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait until `text` is in the log."""

        def logged() -> bool:
            if text in self.log():
                return True
            assert self.is_alive or text in self.log(), self.log()
            return False

        eventually(logged, timeout_s, self.log)

    def log(self) -> str:
        """Return the log so far; a traceback in it fails the test."""
        text = self._log.read_text()
        assert "Traceback" not in text, text
        return text
