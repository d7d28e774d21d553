"""Turns a zone's frames into segments, and submits them to its lane."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_tdn.inference.lane import Lane
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.messages import EndReason, Frame, Segment
from edge_tdn.segments.window import Window


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A window, and the lane for its segments: they belong together, and are replaced together."""

    window: Window
    lane: Lane


@dataclass(frozen=True)
class PipelineCounts:
    """Counts over all pipelines that a zone has had, or all zones of a camera."""

    repeated: int = 0
    gated: int = 0
    shed: int = 0
    clips: int = 0

    def __add__(self, other: "PipelineCounts") -> "PipelineCounts":
        return PipelineCounts(
            self.repeated + other.repeated, self.gated + other.gated, self.shed + other.shed, self.clips + other.clips
        )


@dataclass(frozen=True)
class Pushed:
    """The effect of a frame."""

    segments: Sequence[Segment]
    run_began: bool  # the window was empty or has been emptied: this frame is the first of a run
    emptied: bool  # it has been emptied: by a gap, a reconnect, or another size


class SegmentFeed:
    """Hands the segments of one zone, and the breaks between them, to the scheduler.

    `_current` is replaced as one value, by the runtime thread; the camera's thread takes it once a frame, and any
    thread may read the counts.
    """

    def __init__(self, scheduler: Scheduler, pipeline: Pipeline) -> None:
        self._scheduler = scheduler
        self._current = pipeline, PipelineCounts()  # and the counts of the pipelines before

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that is in use."""
        return self._current[0]

    @property
    def counts(self) -> PipelineCounts:
        """The counts so far."""
        pipeline, before = self._current
        return PipelineCounts(
            repeated=before.repeated + pipeline.window.repeated,
            gated=before.gated + pipeline.lane.gated,
            shed=before.shed + pipeline.lane.shed,
        )

    def push(self, frame: Frame, pipeline: Pipeline) -> Pushed:
        """Submit the segments that a frame completes in the current or the last pipeline. On the camera's thread."""
        runs = pipeline.window.runs
        segments = pipeline.window.push(frame)
        run_began = pipeline.window.runs > runs
        emptied = run_began and runs > 0
        if emptied:
            self._scheduler.submit(pipeline.lane, "stream_lost")
        for segment in segments:
            self._scheduler.submit(pipeline.lane, segment)
        return Pushed(segments, run_began, emptied)

    def break_off(self, reason: EndReason) -> None:
        """Submit a break in the stream. From any thread."""
        self._scheduler.submit(self.pipeline.lane, reason)

    def replace(self, pipeline: Pipeline) -> None:
        """Continue with another pipeline, whose window is empty. On the runtime thread."""
        self._current = pipeline, self.counts

    def leave(self) -> None:
        """Report the breaks that wait, and leave the scheduler. On the runtime thread."""
        self._scheduler.remove_lane(self.pipeline.lane)
