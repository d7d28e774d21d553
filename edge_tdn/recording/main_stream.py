"""A camera's second address, its main stream: large pictures for people, while the network looks at the small ones.

Its pictures go to the recorder alone. The two streams' own times have nothing to do with each other, so these frames
carry a time on the host's monotonic clock in place of theirs: as far apart as the camera says, and as late as the
quickest of them arrived.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from edge_tdn.capture.source import Source
from edge_tdn.config.tables import CameraConfig
from edge_tdn.errors import SourceError
from edge_tdn.messages import NS_PER_MS, Frame, State
from edge_tdn.process import heartbeat

JOIN_S = 0.5  # how long an end waits for the thread

log = logging.getLogger(__name__)


class MainStream(AbstractContextManager["MainStream"]):
    """Plays on a thread of its own within a `with`, as often as one begins. `take` gets each frame, there."""

    def __init__(self, camera: CameraConfig, base: Path, take: Callable[[Frame], None]) -> None:
        self.trouble = ""  # why no pictures come; empty: they do
        self._name, self._take = camera.name, take
        self._source = Source(camera.recorded, base, self._told)
        self._clock = ArrivalClock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

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
            pass  # it was told, and ends for good
        except Exception as error:  # recordings are no event's trouble
            log.exception("camera=%s record_source failed", self._name)
            self._told("unreachable", repr(error))

    def _told(self, state: State, reason: str) -> None:
        if state == "connecting":  # whatever was wrong is so until a picture comes
            return
        trouble = "" if state == "streaming" else f"record_source {state}: {reason}"
        if trouble != self.trouble:
            level = logging.WARNING if trouble else logging.INFO
            log.log(level, "camera=%s %s", self._name, trouble or "record_source streaming")
        self.trouble = trouble


class ArrivalClock:
    """Frames with times of their own -> frames whose PTS are on the host's monotonic clock."""

    def __init__(self) -> None:
        self._stream = 0
        self._late_ns = 0  # least that a frame of this stream arrived after its PTS
        self._last_ns = 0

    def timed(self, frame: Frame) -> Frame:
        late_ns = frame.received_ns - frame.pts_ns
        self._late_ns = min(self._late_ns, late_ns) if frame.stream == self._stream else late_ns
        self._stream = frame.stream
        self._last_ns = max(self._last_ns + NS_PER_MS, frame.pts_ns + self._late_ns)  # it grows, whatever comes
        return replace(frame, pts_ns=self._last_ns)
