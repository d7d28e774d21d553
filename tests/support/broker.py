"""A real mosquitto, and clients of the project that talk to it."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge_tdn.config.tables import BrokerConfig, OutboxConfig
from edge_tdn.delivery.mqtt import Acknowledged, Connected, Connection, Link, Message
from edge_tdn.delivery.outbox.outbox import Outbox
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.timing import ConnectionTiming
from edge_tdn.subscriber import Subscriber
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S, PROGRAM_S, eventually

# a busy broker answers late, and a busy thread sends the last messages late
PATIENT = ConnectionTiming(connect_s=PATIENCE_S, connack_s=PATIENCE_S, close_s=PATIENCE_S)


class Mosquitto:
    """Debian's broker on a free loopback port, open to all clients; `guarded_port` has the rules given by `guard`."""

    def __init__(self, folder: Path, guard: str = "") -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed: make test-packages")
        self.port, self.guarded_port = free_port(), free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._settings = folder / "mosquitto.conf"
        self._command = [program, "-c", str(self._settings)]
        self.guard(guard)
        self.start()

    def guard(self, lines: str) -> None:
        """Set the lines of mosquitto.conf for `guarded_port`, from the next start on; no lines close it."""
        text = f"listener {self.port} 127.0.0.1\nallow_anonymous true\n"
        if lines:
            text = f"user root\nper_listener_settings true\n{text}listener {self.guarded_port} 127.0.0.1\n{lines}\n"
        self._settings.write_text(text)
        self._listens = (self.port, self.guarded_port) if lines else (self.port,)

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self._is_listening, describe=lambda: f"mosquitto does not listen on {self._listens}")

    def _is_listening(self) -> bool:
        assert self.process.poll() is None, "mosquitto ended"
        with suppress(OSError):
            for port in self._listens:
                socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    def stop(self) -> None:
        """End the process. The signal is repeated: mosquitto loses one that comes before its main loop."""
        self.process.send_signal(signal.SIGCONT)
        eventually(self._has_ended, describe=lambda: "mosquitto does not end")

    def _has_ended(self) -> bool:
        self.process.terminate()
        return self.process.poll() is not None

    def config(self, protocol: str = "5") -> BrokerConfig:
        return BrokerConfig.model_validate({"url": self.url, "protocol": protocol})

    def link(self, client_id: str = "test") -> tuple[Connection, Link]:
        """Connect a client of its own."""
        connection = Connection(self.config(), client_id, timing=PATIENT)
        note = connection.notes.get(timeout=PROGRAM_S)
        assert isinstance(note, Connected), note
        return connection, note.link

    def publisher(self, base: str, failed: Callable[[BaseException], None]) -> Publisher:
        """Return a publisher that is not started yet, its outbox in memory."""
        config = self.config()
        return Publisher(
            base,
            "b007",
            Outbox(None, OutboxConfig()),
            lambda will, inbox: Connection(config, "publisher", None, will, inbox, timing=PATIENT),
            failed,
        )

    def subscriber(self, base: str) -> Subscriber:
        """Return a subscriber whose subscription is in force, after what was retained until then."""
        connection = Connection(self.config(), f"subscriber-{time.monotonic_ns()}", timing=PATIENT)
        subscriber = Subscriber(base, connection)
        eventually(lambda: not list(subscriber.messages(0.05)) and subscriber.connected)
        assert subscriber._link
        subscriber._link.publish(Message("subscribed", b""))  # the broker handles a client's packets in turn
        while not isinstance(connection.notes.get(timeout=PROGRAM_S), Acknowledged):
            pass
        return subscriber
