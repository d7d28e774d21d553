"""One camera, from its frames to its events: the only file that knows the order of the stages.

    source ─► window ─► scheduler (runtime) ─► decide ─► publish
         └──────────────────────────────────────► record ──┘
    or from the camera's main stream ────────────────┘

The camera's own thread takes frames, fills the window and submits segments (camera_thread.py, segment_feed.py); scores
come back on the runtime thread (recognition.py). None of these parts refers back to one before it, and the scheduler's
lane holds the recognition weakly, so that a camera that has left is freed at once, with its ring and its frames.
"""

from edge_tdn.capture.address import is_live
from edge_tdn.capture.source import Source
from edge_tdn.delivery.publisher import Publisher
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.errors import SourceError
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import Picture
from edge_tdn.recording.action_recorder import ActionRecorder
from edge_tdn.recording.open_recorder import open_main_stream, open_recorder
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window
from edge_tdn.service.camera_settings import CameraSettings
from edge_tdn.service.camera_status import CameraStatusTracker, ClipStatistics
from edge_tdn.service.camera_thread import CameraThread, state_report
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.recognition import Recognition
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.service.segment_feed import Pipeline, SegmentFeed
from edge_tdn.status_messages import CameraStatus


class Camera:
    """The parts of a served camera, put together. Any thread may use it, unless a method names one.

    `_settings` is replaced as one value, by the runtime thread, and `_recorded_spec` by the reload thread; all else is
    fixed.
    """

    def __init__(
        self, settings: CameraSettings, scheduler: Scheduler, publisher: Publisher, observe: Observe | None = None
    ) -> None:
        """`observe`: takes what each stage of a clip took. If it fails, nothing of it stays at work.

        ConfigError: this machine cannot record as configured. ValueError: [decide] names labels that the model lacks.
        """
        table, base = settings.table, settings.base
        self.name = settings.name
        self.table = table
        self._settings = settings
        self._scheduler = scheduler
        self._topics = CameraTopics(publisher, self.name)
        self._recorder_slot = RecorderSlot()
        clips = ClipStatistics()
        seq = publisher.last_seq(self.name)
        recognition = self._recognition = Recognition(settings, self._topics, self._recorder_slot, clips, seq, observe)
        main_stream = open_main_stream(table, settings.config, base, self._recorder_slot.frame, settings.timing.capture)
        self._recorder_slot.replace(self._open_recorder(settings))
        self._recorded_spec = settings.spec  # the input that the recorder was opened for
        try:
            self._feed = SegmentFeed(scheduler, self._open_pipeline(settings.spec))
        except BaseException:  # as where the device has no memory left
            self._close_recorder()
            raise
        self._status = CameraStatusTracker(
            table,
            self._topics,
            self._feed,
            clips,
            lambda: main_stream.trouble if main_stream else "",
            lambda: recognition.thresholds,
        )
        timing = settings.timing.capture
        source = Source(table, base, state_report(self._status, self._feed), timing)
        retry_s = timing.retry_max_s if is_live(table.source) else None
        self._thread = CameraThread(
            self.name, source, self._feed, self._status, self._recorder_slot, main_stream, retry_s
        )

    def start(self) -> None:
        """Start the camera's thread."""
        self._topics.action(None)
        self._thread.start()

    def stop(self, reason: str = "the daemon was stopped") -> None:
        """Ask the thread to end; `join` waits for it."""
        self._thread.demand.stop(reason)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, at most this long."""
        self._thread.join(timeout_s)
        if self.running:  # held by a library: its action ends nevertheless, the process does not wait
            self._feed.break_off("shutdown")

    @property
    def running(self) -> bool:
        """The thread was started, and has not ended."""
        return self._thread.running

    @property
    def stopped(self) -> bool:
        """Was asked to end, and does not start again; or could not even start."""
        return self._thread.demand.stopped or not self._thread.started

    @property
    def enabled(self) -> bool:
        """Is not switched off by command."""
        return self._thread.demand.enabled

    def set_enabled(self, enabled: bool) -> None:
        """Take frames, or none, soon."""
        self._thread.demand.set_enabled(enabled)

    def set_thresholds(
        self,
        enter: float,
        exit: float | None,  # noqa: A002  (as in TOML)
        label: str | None,
    ) -> tuple[float, float]:
        """Set the thresholds until the daemon ends, see `Decider.set_thresholds`, and publish them."""
        both = self._recognition.set_thresholds(enter, exit, label)
        self._status.publish()
        return both

    @property
    def picture(self) -> Picture | None:
        """The newest segment's centre frame, [H, W, 3], the model's size; None before the first."""
        return self._thread.picture

    @property
    def failure(self) -> SourceError | None:
        """Why the source ended for good; None if it did not."""
        return self._thread.failure

    @property
    def recorder(self) -> ActionRecorder | None:
        """The current recorder; None where recording is off."""
        return self._recorder_slot.recorder

    def status(self) -> CameraStatus:
        """Return the camera's state and figures as they are now."""
        return self._status.status()

    def publish_status(self) -> None:
        """Publish the status as it is now, unless the camera has left."""
        self._status.publish()

    def pipeline_for(self, spec: InputSpec) -> Pipeline:
        """Return the pipeline for a model with this input: the current one if that fits, else a new one for `change`.

        On the runtime thread. Fails where the device has no memory left.
        """
        return self._feed.pipeline if spec == self._settings.spec else self._open_pipeline(spec)

    def change(self, settings: CameraSettings, pipeline: Pipeline) -> None:
        """Continue with other settings, on the runtime thread, between two turns. The source keeps running.

        Actions continue where they can, see `Decider.change`. Another pipeline starts with an empty window.
        """
        if pipeline is not self._feed.pipeline:
            self._recognition.broken("shutdown")
            self._feed.leave()
            self._feed.replace(pipeline)
        self._settings = settings
        self._recognition.change(settings)

    @property
    def recorder_fits(self) -> bool:
        """The recorder was opened for the input of the current model."""
        return self._recorded_spec == self._settings.spec

    def replace_recorder(self) -> ActionRecorder | None:
        """Let a new recorder take over, as the current settings say. Return the previous one, which is to be closed."""
        settings = self._settings
        previous = self._recorder_slot.replace(self._open_recorder(settings))
        self._recorded_spec = settings.spec
        return previous

    def leave(self) -> None:
        """End its actions, and leave the scheduler. On the runtime thread, after it was stopped and joined."""
        self._feed.leave()

    def discard(self) -> None:
        """Give up a camera that was never started, and of which nothing was published. On the runtime thread."""
        self._feed.leave()
        self._close_recorder()

    def dismiss(self, removed: bool) -> None:
        """Publish nothing about it any more, after it has left. `removed`: no other camera takes its name."""
        self._thread.forget()
        if removed:
            self._thread.end()
            self._topics.action(None)
        self._topics.close()
        self._status.close()

    def _open_pipeline(self, spec: InputSpec) -> Pipeline:
        gate = MotionGate() if self.table.motion_gate else None
        lane = self._scheduler.add_lane(self.table.hop, self._recognition)
        return Pipeline(Window(spec, self.table.max_gap_s, gate=gate), lane)

    def _close_recorder(self) -> None:
        if recorder := self.recorder:
            recorder.close()

    def _open_recorder(self, settings: CameraSettings) -> ActionRecorder | None:
        return open_recorder(
            settings.table,
            settings.config,
            settings.spec,
            settings.base,
            self._topics.snapshot,
            settings.timing.recorder,
        )
