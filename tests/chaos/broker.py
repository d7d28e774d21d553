"""A real mosquitto that is killed, frozen and started again."""

import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import eventually

FORGETFUL = "persistence true"  # as Debian ships it: written when it stops, and every half hour
CAREFUL = f"{FORGETFUL}\nautosave_on_changes true\nautosave_interval 1"  # written after every turn of its loop


class Broker:
    """A mosquitto on a free loopback port, with unlimited queues for subscribers: only faults lose messages."""

    def __init__(self, folder: Path, memory: str = CAREFUL) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise SystemExit("mosquitto is not installed: make test-packages")
        self.port = free_port()
        (folder / "mosquitto.conf").write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            f"max_queued_messages 0\nmax_inflight_messages 0\npersistence_location {folder}/\n{memory}\n"
        )
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self.start()

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._is_listening, describe=lambda: "mosquitto did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _is_listening(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False
