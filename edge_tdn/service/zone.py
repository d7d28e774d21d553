"""One served zone of a camera: its window, its lane, and the decisions on its clips."""

import logging
from dataclasses import replace

from edge_tdn.actions.event_numbers import EventNumbers
from edge_tdn.delivery.stopwatch import Observe
from edge_tdn.hub.camera_view import CameraView
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.messages import EndReason, Frame
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.window import Window
from edge_tdn.service.camera_settings import ZoneSettings
from edge_tdn.service.camera_topics import CameraTopics
from edge_tdn.service.clip_statistics import ClipStatistics
from edge_tdn.service.recognition import Recognition
from edge_tdn.service.recorder_slot import RecorderSlot
from edge_tdn.service.segment_feed import Pipeline, PipelineCounts, Pushed, SegmentFeed

log = logging.getLogger(__name__)


class Zone:
    """A zone, or the whole picture of a camera without zones.

    `settings` is replaced as one value, by the runtime thread; `size` and `_too_small` are replaced by the camera's
    thread. Any thread may read them. All else is fixed, and has an owner of its own.
    """

    def __init__(
        self,
        settings: ZoneSettings,
        max_gap_s: float,
        scheduler: Scheduler,
        topics: CameraTopics,
        recorder: RecorderSlot,
        numbers: EventNumbers,
        observe: Observe | None = None,
        view: CameraView | None = None,
    ) -> None:
        """`numbers`: of the camera's events. `view`: of the camera, for the page.

        Fails where the device has no memory left.
        """
        self.settings = settings
        self.size = (0, 0)  # height and width of its part of the last frame
        self._too_small = ""  # why it cannot be analysed; empty: it can
        self.clips = ClipStatistics()
        self.recognition = Recognition(settings, topics, recorder, self.clips, numbers, observe, view)
        self._max_gap_s, self._scheduler = max_gap_s, scheduler
        self.feed = SegmentFeed(scheduler, self._open_pipeline(settings))

    @property
    def name(self) -> str | None:
        """Its name; None: the camera has no zones."""
        return self.settings.name

    @property
    def trouble(self) -> str:
        """The reason why it is not analysed as configured, although frames arrive; empty: it is."""
        return self._too_small or self.clips.trouble or self.feed.pipeline.lane.pace.trouble

    @property
    def counts(self) -> PipelineCounts:
        """Its counts so far."""
        return replace(self.feed.counts, clips=self.clips.clips)

    def measure(self, size: tuple[int, int], too_small: str) -> None:
        """Set the height and width of its part of the frames, and why that is too small; empty: it is not.

        On the camera's thread.
        """
        self.size = size
        if too_small == self._too_small:
            return
        if too_small:
            self.break_off("stream_lost")
            log.warning("camera=%s not analysed: %s", self.settings.log_name, too_small)
        self._too_small = too_small

    def push(self, frame: Frame, pipeline: Pipeline) -> Pushed:
        """Submit the segments that a frame, cropped to this zone, completes in a pipeline. On the camera's thread."""
        return self.feed.push(frame, pipeline)

    def break_off(self, reason: EndReason) -> None:
        """Submit a break in the stream. From any thread."""
        self.feed.break_off(reason)

    def pipeline_for(self, settings: ZoneSettings) -> Pipeline:
        """Return the pipeline for other settings: the current one if it fits them, else a new one.

        On the runtime thread. Fails where the device has no memory left.
        """
        return self.feed.pipeline if settings.sees_as(self.settings) else self._open_pipeline(settings)

    def change(self, settings: ZoneSettings, pipeline: Pipeline) -> None:
        """Continue with other settings, on the runtime thread, between two turns.

        Actions continue where they can, see `Decider.change`. Another pipeline starts with an empty window.
        """
        if pipeline is not self.feed.pipeline:
            self.recognition.broken("shutdown")
            self.feed.leave()
            self.feed.replace(pipeline)
        self.settings = settings
        self.recognition.change(settings)

    def leave(self) -> None:
        """End its actions, and leave the scheduler. On the runtime thread."""
        self.recognition.broken("shutdown")
        self.feed.leave()

    def _open_pipeline(self, settings: ZoneSettings) -> Pipeline:
        gate = MotionGate() if settings.zone.motion_gate else None
        lane = self._scheduler.add_lane(settings.engine, settings.zone.hop, self.recognition)
        return Pipeline(Window(settings.spec, self._max_gap_s, gate=gate, follow=settings.zone.follow), lane)
