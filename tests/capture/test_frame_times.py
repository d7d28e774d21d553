"""The times of frames: accurate where the camera sends them, and in order where it does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from edge_tdn.capture.frame_times import MAX_BACK_NS, FrameTimes
from edge_tdn.media import gstreamer
from edge_tdn.messages import NS_PER_MS, NS_PER_S
from tests.support.waiting import eventually


@pytest.fixture
def pipeline() -> Iterator[Any]:
    """A pipeline whose running time has begun."""
    Gst, _ = gstreamer.load()
    playing = Gst.parse_launch("audiotestsrc is-live=true ! fakesink")
    playing.set_state(Gst.State.PLAYING)
    eventually(lambda: 2 * NS_PER_MS < playing.get_current_running_time() < 3600 * NS_PER_S)
    yield playing
    playing.set_state(Gst.State.NULL)


def sample(pts_ns: int | None) -> Any:
    """Return a sample with this presentation time; None: without one."""
    Gst, _ = gstreamer.load()
    segment, buffer = Gst.Segment(), Gst.Buffer.new()
    segment.init(Gst.Format.TIME)
    buffer.pts = Gst.CLOCK_TIME_NONE if pts_ns is None else pts_ns
    return Gst.Sample.new(buffer, None, segment, None)


def test_frame_that_arrived_before_the_clock_ran_is_not_after_the_next(pipeline: Any) -> None:
    """Its time is when it is read, and the next frame was taken before that."""
    times = FrameTimes(pipeline, "yard")
    first_ns = times.shown_ns(sample(None))
    assert first_ns > 0
    assert times.shown_ns(sample(first_ns - NS_PER_MS)) > first_ns
    assert times.shown_ns(sample(first_ns + NS_PER_S)) == first_ns + NS_PER_S


def test_times_grow_after_a_frame_that_was_read_long_after_it_arrived(pipeline: Any) -> None:
    """On a busy host; once they have caught up, a jump of the stream is one again."""
    eventually(lambda: pipeline.get_current_running_time() > 4 * MAX_BACK_NS)
    times = FrameTimes(pipeline, "yard")
    late_ns = times.shown_ns(sample(None))
    assert late_ns > 4 * MAX_BACK_NS
    assert [times.shown_ns(sample(n * 33 * NS_PER_MS)) - late_ns for n in range(3)] == [
        NS_PER_MS * n for n in (1, 2, 3)
    ]
    next_ns = late_ns + NS_PER_S
    assert [times.shown_ns(sample(one)) for one in (next_ns, NS_PER_MS)] == [next_ns, NS_PER_MS]


def test_times_of_arrival_that_lie_in_the_future_are_wrong(pipeline: Any) -> None:
    """They are those since the host's start; the pipeline had a clock, and no origin of its times yet."""
    times = FrameTimes(pipeline, "yard")
    times.of_arrival = True
    first_ns = times.shown_ns(sample(8 * 3600 * NS_PER_S))
    assert 0 < first_ns < 3600 * NS_PER_S
    assert times.shown_ns(sample(NS_PER_MS)) == first_ns + NS_PER_MS


def test_frames_that_arrive_together_have_times_of_their_own(pipeline: Any) -> None:
    times = FrameTimes(pipeline, "yard")
    shown = [times.shown_ns(sample(NS_PER_S)) for _ in range(3)]
    assert shown == [NS_PER_S, NS_PER_S + NS_PER_MS, NS_PER_S + 2 * NS_PER_MS]


@pytest.mark.parametrize("next_ns", [NS_PER_S + 1, NS_PER_S - MAX_BACK_NS - 1])
def test_times_that_grow_or_jump_are_kept(pipeline: Any, next_ns: int) -> None:
    times = FrameTimes(pipeline, "yard")
    assert [times.shown_ns(sample(NS_PER_S)), times.shown_ns(sample(next_ns))] == [NS_PER_S, next_ns]
