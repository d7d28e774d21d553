"""Records clips to learn from, from the frames of a served camera: no second connection to it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from edge_tdn.capture.zone_view import seen_in
from edge_tdn.errors import EdgeTdnError, SourceError, with_type
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.hub.teaching_access import RecordRequest, RecordState, TeachingRefused
from edge_tdn.media.outline import Outline
from edge_tdn.messages import Frame
from edge_tdn.process.passwords import without_password
from edge_tdn.service.tapped_runs import TappedRuns
from edge_tdn.teaching.clip_cutter import CutProgress, RecordingPlan, cut_clips

log = logging.getLogger(__name__)

REPORT_EVERY_S = 0.25  # between two states of one phase
MAX_TAPPED = 30  # frames that wait for the encoder
MAX_LOST = 5  # times that frames are lost during one clip, because the encoder is too slow
STOP_S = 1.0  # that a stop waits for the clip under way to be deleted


@dataclass(frozen=True, eq=False)
class RecorderJob:
    """Clips to record, and the camera that they are of."""

    request: RecordRequest
    view: CameraView
    outline: Outline | None  # of the zone; None: the whole picture
    plan: RecordingPlan


class TeachRecorder:
    """Records from one camera at a time, on the thread `teach`.

    Any thread may use it. `_state` is replaced as one value, under the lock; `_thread` and `_stop` belong to the
    recording under way, or to the last one.
    """

    def __init__(self, publish: Callable[[RecordState], None], silence_s: float = 15.0) -> None:
        """`publish`: takes each state, at most 4 a second. `silence_s`: without a frame ends a recording."""
        self._publish, self._silence_s = publish, silence_s
        self._state = RecordState()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> RecordState:
        """The recording under way, or the last one."""
        return self._state

    @property
    def busy(self) -> bool:
        """A recording is under way."""
        return self._state.state in ("ready", "recording")

    def start(self, job: RecorderJob) -> RecordState:
        """Begin to record. TeachingRefused: another recording is under way."""
        with self._lock:
            if self.busy:
                raise TeachingRefused(f"{self._state.camera} is being recorded; wait for its end, or stop it")
            request = job.request
            stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(job, stop), name="teach", daemon=True)
            thread.start()  # it cannot report before the lock is free; fails where the process may have no more threads
            self._thread, self._stop = thread, stop
            self._state = RecordState(
                state="ready" if request.pause else "recording",
                camera=request.camera,
                zone=request.zone,
                label=request.label,
                number=1,
                count=request.count,
                left_s=request.pause or request.seconds,
            )
            self._publish(self._state)
            return self._state

    def stop(self) -> RecordState:
        """Stop recording, and return the state after that; finished clips stay."""
        self.close()
        self.join(STOP_S)
        return self._state

    def close(self) -> None:
        """Ask the thread to end."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, job: RecorderJob, stop: threading.Event) -> None:
        progress = _Progress(job, self._report)
        try:
            with job.view.tap(MAX_TAPPED) as tap:
                runs = TappedRuns()
                shown = _steady(runs, tap.frames(stop, self._silence_s), job.request.camera)
                if job.outline:
                    shown = seen_in(job.outline, shown, f"zone {job.request.zone}")
                for path in cut_clips(shown, job.plan, progress.take):
                    log.info("camera=%s taught clip=%s", job.request.camera, path)
                    progress.made += 1
                    runs.lost = 0
            complete = progress.made == job.request.count
            if not complete and not stop.is_set():
                raise SourceError(f"{job.request.camera} sends no pictures any more", "stalled")
        except EdgeTdnError as error:
            progress.end("failed", str(error))
        except Exception as error:  # a fault in the code; the daemon has other things to do
            log.exception("camera=%s recording of clips failed", job.request.camera)
            progress.end("failed", f"{with_type(error)}; the log says where")
        else:
            made, count = progress.made, job.request.count
            progress.end("done", "" if complete else f"stopped after {made} of {count} clips")
        finally:
            with suppress(OSError):  # it stays if it has a clip
                job.plan.folder.rmdir()

    def _report(self, state: RecordState) -> None:
        with self._lock:
            self._state = state
        self._publish(state)


class _Progress:
    """Turns the progress of a recording into states. Belongs to its thread."""

    def __init__(self, job: RecorderJob, report: Callable[[RecordState], None]) -> None:
        self.made = 0
        self._report = report
        request = job.request
        self._state = RecordState(
            camera=request.camera, zone=request.zone, label=request.label, number=1, count=request.count
        )
        self._reported_s = 0.0

    def take(self, now: CutProgress) -> None:
        """Report a new phase at once, and further progress from time to time."""
        before = self._state
        if (before.state, before.number) != (now.phase, now.number) or self._silent_s > REPORT_EVERY_S:
            self._set(state=now.phase, number=now.number, left_s=round(now.left_s, 2), share=round(now.share, 3))

    def end(self, phase: str, text: str) -> None:
        """Report the last state."""
        self._set(state=phase, left_s=0.0, share=0.0, text=without_password(text))

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._reported_s

    def _set(self, **changed: object) -> None:
        self._reported_s = time.monotonic()
        self._state = self._state.model_copy(update={**changed, "made": self.made})
        self._report(self._state)


def _steady(runs: TappedRuns, frames: Iterator[Frame], camera: str) -> Iterator[Frame]:
    """Yield the frames of a tap. SourceError: some are lost again and again."""
    for frame in runs.of(frames):
        if runs.lost == MAX_LOST:
            raise SourceError(
                f"this host is too busy to write a clip of {camera} without a gap; use a smaller stream, or disable "
                "other cameras meanwhile",
                "stalled",
            )
        yield frame
