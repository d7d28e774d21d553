"""A capture on a thread of its own, for a library whose calls block: neither the watchdog nor a stop waits for it."""

import queue
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from edge_tdn.capture.capture import POLL_S, Capture, CapturedFrame

MAX_WAITING = 2  # frames in the queue; when it is full, a camera's oldest is dropped and a file waits
CLOSE_S = 0.5  # longest wait in `close`; a call that blocks for longer ends later, on its own


class ThreadedCapture:
    """Opens a capture and reads it on another thread. Implements `edge_tdn.capture.capture.Capture`.

    Owners: `live`, `declared_s` and `decoder` are written by that thread only; the queue and the event are shared.
    """

    def __init__(self, open_capture: Callable[[], Capture]) -> None:
        self.live = True  # until it is open
        self.declared_s: float | None = None
        self.decoder = ""
        self.silence = ""
        self._open_capture = open_capture
        self._frames: queue.Queue[CapturedFrame | Exception] = queue.Queue(MAX_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Return True while the thread runs, perhaps in a blocking call."""
        return self._thread.is_alive()

    def read(self, timeout_s: float) -> CapturedFrame | None:
        try:
            received = self._frames.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if not isinstance(received, Exception):
            return received
        try:
            raise received
        finally:
            del received  # else error and frame refer to each other, and keep the camera

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        try:
            with closing(self._open_capture()) as capture:
                self.live, self.declared_s, self.decoder = capture.live, capture.declared_s, capture.decoder
                while not self._closing.is_set():
                    frame = capture.read(POLL_S)
                    if frame is not None:
                        self._put(frame)
        except Exception as error:  # of any kind: the camera's thread raises it
            self._put(error)

    def _put(self, received: CapturedFrame | Exception) -> None:
        if self.live and self._frames.full() and not isinstance(received, Exception):
            with suppress(queue.Empty):
                self._frames.get_nowait()
        while not self._closing.is_set():
            with suppress(queue.Full):
                self._frames.put(received, timeout=POLL_S)
                break
