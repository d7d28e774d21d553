"""The wait between two connections to a camera, cut short when a port that was closed is open again.

A whole connect costs a pipeline, threads and a session of the camera, so the back-off grows. To check whether a port is
open costs one packet: a port that takes connections again, or a device that is plugged in again, is noticed within
`CaptureTiming.port_probe_s`, however long the camera has been away.
"""

import math
import random
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from edge_tdn.capture.address import PORTS, find
from edge_tdn.capture.timing import CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.process import heartbeat

JITTER = 0.25  # share of a wait: many cameras that failed together do not reconnect together


class BackOff:
    """The length of the waits between failed connections of one camera. Used by one thread."""

    def __init__(self, timing: CaptureTiming) -> None:
        self._timing = timing
        self._attempt = 0  # failed connections in a row

    def next_s(self, fault: SourceError, lasted_s: float) -> float:
        """Return the wait after a connection that failed with `fault` after `lasted_s`, with jitter."""
        timing = self._timing
        self._attempt = 1 if lasted_s >= timing.backoff_reset_s else self._attempt + 1
        first_s = timing.unauthorized_retry_s if fault.state == "unauthorized" else timing.retry_min_s
        wait_s: float = min(first_s * timing.retry_growth ** min(self._attempt - 1, 10), timing.retry_max_s)
        return wait_s * random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._attempt = 0


class PortWatcher:
    """Waits while it watches the port, or the device, of one camera.

    Used by the camera's thread. At most one other thread probes the port, because resolving a name may take long; it
    alone writes `_answer` while it runs.
    """

    def __init__(self, camera: CameraConfig, base: Path, timing: CaptureTiming) -> None:
        self._camera, self._base, self._timing = camera, base, timing
        self._probe: threading.Thread | None = None
        self._answer: bool | None = None  # see `is_open`; False until a probe has finished
        self.closed = False  # at the last check

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait until the time is over, `stop` is set, or a closed port has opened. Return True for the last."""
        deadline_s, pause_s = time.monotonic() + seconds, self._timing.first_port_probe_s
        while not stop.is_set() and (left_s := deadline_s - time.monotonic()) > 0:
            heartbeat.wait(stop, min(left_s, pause_s))
            if left_s <= pause_s or stop.is_set():
                break
            answer = self._check(stop)
            was_closed, self.closed = self.closed, answer is False
            if answer and was_closed:
                return True
            pause_s = math.inf if answer is None else self._timing.port_probe_s
        return False

    def _check(self, stop: threading.Event) -> bool | None:
        if self._probe is None or not self._probe.is_alive():
            self._answer = False
            self._probe = threading.Thread(target=self._run_probe, name="port probe", daemon=True)
            self._probe.start()
        deadline_s = time.monotonic() + self._timing.port_timeout_s
        while self._probe.is_alive() and not stop.is_set() and time.monotonic() < deadline_s:
            self._probe.join(0.05)
        return self._answer

    def _run_probe(self) -> None:
        answer = None
        with suppress(SourceError):  # its password file is missing, too
            answer = is_open(find(self._camera, self._base).location, self._timing.port_timeout_s)
        self._answer = answer


def is_open(source: str, timeout_s: float) -> bool | None:
    """Return whether a camera's port accepts connections or its device exists; None if it has neither."""
    if source.startswith("/dev/"):
        return Path(source).exists()
    with suppress(ValueError):  # a password with unusual characters
        parts = urlsplit(source)
        if parts.scheme in PORTS and parts.hostname:
            try:
                socket.create_connection((parts.hostname, parts.port or PORTS[parts.scheme]), timeout_s).close()
            except (OSError, UnicodeError):
                return False
            return True
    return None
