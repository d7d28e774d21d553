"""A camera's second address, its main stream: large frames for people, while the network sees the small ones.

Its frames go to the recorder alone. The times of the two streams are unrelated, so these frames carry a time on the
host's monotonic clock in place of their own: as far apart as the camera says, and as late as the quickest of them
arrived.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from edge_tdn.capture.source import Source
from edge_tdn.capture.timing import DEFAULT_TIMING, CaptureTiming
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_MS, Frame, State
from edge_tdn.process import heartbeat

JOIN_S = 0.5  # for the thread to end, when the stream is left

log = logging.getLogger(__name__)


class MainStream(AbstractContextManager["MainStream"]):
    """Plays on a thread of its own within a `with`, which may be entered again. `take` gets each frame, on that thread.

    `_stop` and `_thread` belong to the camera's thread, which enters and leaves; `_clock` belongs to the own thread.
    """

    def __init__(
        self, camera: CameraConfig, base: Path, take: Callable[[Frame], None], timing: CaptureTiming = DEFAULT_TIMING
    ) -> None:
        self._name, self._take = camera.name, take
        self._state = MainStreamState(camera.name)
        self._source = Source(camera.recorded, base, self._state.report, timing)
        self._clock = ArrivalClock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why no frames come; empty while they do."""
        return self._state.trouble

    def __enter__(self) -> "MainStream":
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name=f"main stream {self._name}", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(JOIN_S)
            heartbeat.forget(self._thread)

    @heartbeat.beating()
    def _run(self, stop: threading.Event) -> None:
        try:
            for frame in self._source.frames(stop):
                self._take(self._clock.timed(frame))
        except SourceError:
            pass  # the source has reported it, and plays no more
        except Exception as error:  # what fails in a recording must not end the camera
            log.exception("camera=%s record_source failed", self._name)
            self._state.report("unreachable", repr(error))


class MainStreamState:
    """The trouble of a main stream, as its source reports it. Written by the stream's thread, read by any."""

    def __init__(self, camera: str) -> None:
        self.trouble = ""  # why no frames come; empty while they do
        self._camera = camera

    def report(self, state: State, reason: str) -> None:
        """Take over a state of the source, and log it if it is another. What is wrong stays so until a frame comes."""
        if state == "connecting":
            return
        trouble = "" if state == "streaming" else f"record_source {state}: {reason}"
        if trouble != self.trouble:
            level = logging.WARNING if trouble else logging.INFO
            log.log(level, "camera=%s %s", self._camera, trouble or "record_source streaming")
        self.trouble = trouble


class ArrivalClock:
    """Replaces the PTS of frames by times on the host's monotonic clock. Used by one thread."""

    def __init__(self) -> None:
        self._stream = 0
        self._late_ns = 0  # the least that a frame of this stream arrived after its PTS
        self._last_ns = 0

    def timed(self, frame: Frame) -> Frame:
        """Return the frame with its new PTS, which always grows."""
        late_ns = frame.received_ns - frame.pts_ns
        self._late_ns = min(self._late_ns, late_ns) if frame.stream == self._stream else late_ns
        self._stream = frame.stream
        self._last_ns = max(self._last_ns + NS_PER_MS, frame.pts_ns + self._late_ns)
        return replace(frame, pts_ns=self._last_ns)
