"""The thread of one camera: takes frames from the source, and feeds zones and recorder."""

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext

from edge_tdn.capture.source import Source
from edge_tdn.errors import SourceError
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.messages import CENTRE, EndReason, Frame, Picture, State
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog
from edge_tdn.recording.action_recorder import RecordedStream
from edge_tdn.service.camera_status import CameraStatusTracker
from edge_tdn.service.camera_zones import CameraZones
from edge_tdn.service.demand import Demand, DemandSwitch
from edge_tdn.service.recorder_slot import RecorderSlot

log = logging.getLogger(__name__)

EMPTIED_LOG_EVERY_S = 60.0  # between two lines about a window that is emptied again and again


class CameraThread:
    """Plays one camera while it is enabled, until its source ends or it is stopped.

    Everything here belongs to the thread, but for `demand`, which any thread may change, and `_thread`, which belongs
    to the one that starts the camera. `picture` and `failure` may be read by any. Nothing that this object holds refers
    back to it, so that a camera that has left is freed at once.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        zones: CameraZones,
        status: CameraStatusTracker,
        recorder: RecorderSlot,
        main_stream: RecordedStream | None = None,
        retry_s: float | None = None,
        view: CameraView | None = None,
    ) -> None:
        """`source` reports its states to `state_report`. `main_stream` gives the recorder its frames, in its place.

        `retry_s`: time until a source with an unforeseen failure is played again; None: it has ended for good. `view`:
        shows the newest frame on the page.
        """
        self.demand = DemandSwitch()
        self.picture: Picture | None = None  # [H, W, 3], the model's size: the newest segment's centre frame
        self.failure: SourceError | None = None  # why the source ended for good
        self._name, self._source = name, source
        self._zones, self._status, self._recorder = zones, status, recorder
        self._main_stream, self._retry_s, self._view = main_stream, retry_s, view
        self._report = state_report(status, zones)
        self._emptied_log = RateLimitedLog(log, EMPTIED_LOG_EVERY_S)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        thread = threading.Thread(target=self._run, name=f"camera {self._name}", daemon=True)
        thread.start()  # fails where the process may have no more threads: the camera then counts as stopped
        self._thread = thread

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def forget(self) -> None:
        """Have the watchdog wait for the thread no more: it was stopped, and may hang in a library."""
        if self._thread is not None:
            heartbeat.forget(self._thread)

    @property
    def started(self) -> bool:
        """The thread was started."""
        return self._thread is not None

    @property
    def running(self) -> bool:
        """The thread was started, and has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def end(self) -> None:
        """Report that the camera has ended, and why it was stopped. After the thread was joined."""
        self._report("ended", self.demand.reason)

    @heartbeat.beating()
    def _run(self) -> None:
        while True:
            demand, changed = self.demand.follow()
            if demand is Demand.STOP:
                return
            if demand is Demand.PAUSE:
                self._report("disabled", "by command")
                heartbeat.wait(changed)
            elif not self._play(changed):
                return

    def _play(self, changed: threading.Event) -> bool:
        """Take frames until the source ends. Return False if it ended for good, and not because the demand changed."""
        retry = False
        lost: EndReason = "stream_lost"
        try:
            with self._main_stream or nullcontext():
                for frame in self._source.frames(changed):
                    self._take(frame)
            lost = "video_ended"
        except SourceError as error:
            self.failure = SourceError(str(error), error.state)  # the original refers to this frame, and so to us
        except Exception as error:  # one camera's trouble must not reach the others; it is reported, not hidden
            log.exception("camera=%s failed", self._name)
            failure = SourceError(f"camera {self._name} failed: {error!r}")
            self._report("unreachable", str(failure))
            retry = self._retry_s is not None
            self.failure = None if retry else failure
        finally:
            lost = "disabled" if changed.is_set() else lost  # before the next line reads
            stopped = self.demand.stopped
            self._zones.break_off("shutdown" if stopped else lost)
            if stopped and self._status.state == "streaming":
                self.end()
        if retry and self._retry_s is not None:
            heartbeat.wait(changed, self._retry_s)
        return retry or changed.is_set()

    def _take(self, frame: Frame) -> None:
        self._status.frame(frame, self._source.decoder, self._source.clock)
        if self._view:
            self._view.frame(frame)
        if self._main_stream is None:
            self._recorder.frame(frame)
        pushed = self._zones.push(frame)
        if pushed.run_began:
            self._begin_run(frame.decoded.size, pushed.emptied)
        for segment in pushed.segments:
            self._status.segment()
            self.picture = segment.frames[CENTRE]

    def _begin_run(self, size: tuple[int, int], emptied: bool) -> None:
        before = self._status.begin_run(size, emptied)
        if emptied:
            height, width = size
            was = f", was {before[1]}x{before[0]}" if before != size else ""
            text = "camera=%s window emptied, picture %dx%d%s"
            self._emptied_log.log(logging.INFO, text, self._name, width, height, was)


def state_report(status: CameraStatusTracker, zones: CameraZones) -> Callable[[State, str], None]:
    """Return what takes over the states of the source. One that stops streaming breaks the stream.

    From streaming to connecting, without a fault between them, comes only a file that begins again. The break of one
    that has ended follows: by the thread, or by the first frame of the next run.
    """

    def report(state: State, reason: str) -> None:
        if status.change(state, reason) and state != "ended":
            zones.break_off("video_ended" if state == "connecting" else "stream_lost")

    return report
