"""Waits between two connects to a camera, and does not wait to the end where one that was away is back.

A whole connect costs a pipeline, threads, and a session of the camera, so it is tried ever more seldom. To ask whether
anybody opens the door costs one packet: a port that takes connections again, or a device that is plugged in again, is
noticed within KNOCK_S, however long the camera has been away.
"""

import math
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from edge_tdn.capture.address import PORTS, find
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.process import heartbeat

KNOCK_S = 2.0
DYING_S = 0.5  # a camera that dies ends its streams first, and shuts its door a moment later
ANSWER_S = 1.0


class Door:
    """One camera's. Used by one thread. There is at most one other, that asks: a name may take long to resolve."""

    def __init__(self, camera: CameraConfig, base: Path) -> None:
        self._camera, self._base = camera, base
        self._asking: threading.Thread | None = None
        self._open: bool | None = None  # as the thread found it
        self._shut = False  # when last asked

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """So long, or until `stop`, or until what was shut opens; whether it did."""
        deadline, pause_s = time.monotonic() + seconds, DYING_S
        while not stop.is_set() and (left_s := deadline - time.monotonic()) > 0:
            heartbeat.wait(stop, min(left_s, pause_s))
            if left_s <= pause_s or stop.is_set():
                break
            answer = self._ask(stop)
            was_shut, self._shut = self._shut, answer is False
            if answer and was_shut:
                return True
            pause_s = math.inf if answer is None else KNOCK_S
        return False

    def _ask(self, stop: threading.Event) -> bool | None:
        if self._asking is None or not self._asking.is_alive():
            self._open = False
            self._asking = threading.Thread(target=self._knock, name="knock", daemon=True)
            self._asking.start()
        deadline = time.monotonic() + ANSWER_S
        while self._asking.is_alive() and not stop.is_set() and time.monotonic() < deadline:
            self._asking.join(0.05)
        return self._open

    def _knock(self) -> None:
        answer = None
        with suppress(SourceError):  # its password's file is away, too
            answer = is_open(find(self._camera, self._base).location)
        self._open = answer  # not before: who is asked and says nothing is shut


def is_open(source: str) -> bool | None:
    """Whether a camera's port takes connections, or its device is there; None: it has neither."""
    if source.startswith("/dev/"):
        return Path(source).exists()
    with suppress(ValueError):  # a password with odd letters in it
        parts = urlsplit(source)
        if parts.scheme in PORTS and parts.hostname:
            try:
                socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme]), ANSWER_S).close()
            except (OSError, UnicodeError):
                return False
            return True
    return None
