"""The frames that are kept for an action: bounded in memory, and thinned out evenly."""

from itertools import pairwise

import pytest

from edge_tdn.messages import NS_PER_S
from edge_tdn.recording.recent_frames import RecentFrames
from tests.support.actions import numbered_frame

RATE = 30


def test_memory_is_bounded_and_frames_are_thinned_out_evenly() -> None:
    bytes_each = numbered_frame(0, 0).decoded.nbytes
    recent = RecentFrames(seconds=4, max_bytes=30 * bytes_each)
    needed = [recent.push(numbered_frame(n % 256, n / RATE)) for n in range(300)]
    kept = recent.after(-1)
    assert recent.nbytes == len(kept) * bytes_each <= 30 * bytes_each
    assert needed[:30] == [0] * 30
    assert needed[-1] == pytest.approx(4 * RATE * bytes_each, rel=0.02)
    assert kept[-1].pts_ns - kept[0].pts_ns > 3.5 * NS_PER_S
    steps = [round((later.pts_ns - earlier.pts_ns) * RATE / NS_PER_S) for earlier, later in pairwise(kept)]
    assert steps[-6:] == [1] * 6, "the newest are complete"
    assert max(steps) <= 10, steps


def test_a_new_stream_replaces_the_frames_of_the_previous_one() -> None:
    recent = RecentFrames(seconds=4, max_bytes=1 << 30)
    for n in range(10):
        recent.push(numbered_frame(n, n / RATE))
    recent.push(numbered_frame(1, 0.0, stream=2))
    assert len(recent.after(-1)) == 1
    assert recent.nearest(0, (0, NS_PER_S)) is None, "not there yet, so these scores are of the previous stream"


def test_the_nearest_frame_lies_within_the_limits() -> None:
    recent = RecentFrames(seconds=4, max_bytes=1 << 30)
    for n in range(60):
        recent.push(numbered_frame(n, n / 10))
    found = recent.nearest(round(4.04 * NS_PER_S), (3 * NS_PER_S, 5 * NS_PER_S))
    assert found is not None
    assert found.seq == 40
    assert recent.nearest(NS_PER_S, (0, NS_PER_S)) is None, "those frames have left"
