"""Frames become segments on the scheduler's lane, with a break at every gap."""

from edge_tdn.inference.engine import Engine
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.segments.window import Window
from edge_tdn.service.segment_feed import Pipeline, SegmentFeed
from tests.support.actions import numbered_frame
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, fail


class Fed:
    """A feed whose scheduler computes when the test asks for it."""

    def __init__(self) -> None:
        self.scheduler, self._engine = Scheduler(fail), Engine(FakeRuntime(), SPEC)
        self.log = ClipLog()
        self.feed = SegmentFeed(self.scheduler, self.pipeline())

    def pipeline(self) -> Pipeline:
        return Pipeline(Window(SPEC, max_gap_s=0.5), self.scheduler.add_lane(self._engine, 1, self.log))

    def compute(self) -> None:
        self.scheduler.turn()


def test_frames_become_clips_and_a_gap_is_a_break_between_them() -> None:
    fed = Fed()
    pushed = [fed.feed.push(numbered_frame(n, n / 10), fed.feed.pipeline) for n in range(20)]
    assert [one.run_began for one in pushed] == [True] + [False] * 19
    assert not any(one.emptied for one in pushed)
    assert sum(len(one.segments) for one in pushed) >= SPEC.segments
    after_gap = fed.feed.push(numbered_frame(30, 3.0), fed.feed.pipeline)
    assert (after_gap.run_began, after_gap.emptied) == (True, True)
    fed.compute()
    *clips, last = fed.log.received
    assert clips
    assert last == "stream_lost"


def test_counts_continue_when_the_pipeline_is_replaced() -> None:
    """Another model may be fed in another way; what the camera has done so far stays in its status."""
    fed = Fed()
    for n in range(10):
        fed.feed.push(numbered_frame(n, n / 5), fed.feed.pipeline)  # half the model's rate: every second tick repeats
    before = fed.feed.counts
    assert before.repeated > 0
    fed.feed.leave()
    fed.feed.replace(fed.pipeline())
    assert fed.feed.counts == before
    assert fed.feed.push(numbered_frame(10, 2.0), fed.feed.pipeline).run_began
    for n in range(11, 20):
        fed.feed.push(numbered_frame(n, n / 5), fed.feed.pipeline)
    assert fed.feed.counts.repeated > before.repeated


def test_a_feed_that_has_left_reports_its_breaks_and_no_clip_more() -> None:
    fed = Fed()
    for n in range(20):
        fed.feed.push(numbered_frame(n, n / 10), fed.feed.pipeline)
    fed.feed.break_off("shutdown")
    fed.feed.leave()
    assert fed.log.received == ["shutdown"]
    fed.feed.push(numbered_frame(20, 2.0), fed.feed.pipeline)
    fed.compute()
    assert fed.log.received == ["shutdown"]
