"""One time line for all connections of a camera."""

from dataclasses import replace

from edge_tdn.actions.stream_clock import StreamClock
from edge_tdn.messages import NS_PER_MS
from tests.support.decisions import HOP_MS, STILL, scores

HOP_NS = HOP_MS * NS_PER_MS


def test_within_a_run_the_clock_follows_the_timestamps() -> None:
    """Also if frames arrive late."""
    clock = StreamClock()
    clock.advance(scores(3, STILL))
    clock.advance(replace(scores(5, STILL), received_ns=99 * HOP_NS))
    assert clock.now_ns == 5 * HOP_NS


def test_across_a_break_the_clock_advances_by_the_time_that_passed() -> None:
    """The timestamps are 0 again after a reconnect."""
    clock = StreamClock()
    clock.advance(scores(8, STILL))
    clock.break_off()
    clock.advance(scores(12, STILL, stream_began=12))
    assert clock.now_ns == 12 * HOP_NS
    clock.advance(scores(13, STILL, stream_began=12))
    assert clock.now_ns == 13 * HOP_NS
