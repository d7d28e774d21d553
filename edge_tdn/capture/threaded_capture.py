"""A capture that blocks, on a thread of its own: the watchdog and a stop do not wait for it."""

import queue
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from edge_tdn.capture.capture import POLL_S, Capture
from edge_tdn.messages import Decoded

PICTURES = 2  # that wait to be read; of a camera the oldest is dropped, a file waits
CLOSE_S = 0.5  # how long `close` waits; what the library has not ended by then, it ends when it comes back


class Aside:
    """Opens a capture and reads it. See `edge_tdn.capture.source.Capture`."""

    def __init__(self, open_capture: Callable[[], Capture]) -> None:
        self.live = True  # until it is open nobody knows
        self.declared_s: float | None = None
        self.decoder = ""
        self.wall_ns: int | None = None
        self.key: bool | None = None
        self._open = open_capture
        self._pictures: queue.Queue[tuple[Decoded, int] | Exception] = queue.Queue(PICTURES)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        return self._thread.is_alive()

    def read(self, timeout_s: float) -> tuple[Decoded, int] | None:
        try:
            got = self._pictures.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(got, Exception):
            raise got
        return got

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            with closing(self._open()) as capture:
                self.live, self.declared_s, self.decoder = capture.live, capture.declared_s, capture.decoder
                while not self._closing.is_set():
                    got = capture.read(POLL_S)
                    if got is not None:
                        self._put(got)
        except Exception as error:  # whatever it is, the camera's thread raises it
            self._put(error)

    def _put(self, got: tuple[Decoded, int] | Exception) -> None:
        if self.live and self._pictures.full() and not isinstance(got, Exception):
            with suppress(queue.Empty):
                self._pictures.get_nowait()
        while not self._closing.is_set():
            with suppress(queue.Full):
                self._pictures.put(got, timeout=POLL_S)
                break
