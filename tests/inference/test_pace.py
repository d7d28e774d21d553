"""Pace: many hops decide whether the host is too slow; the counter says when a clip is due."""

from edge_tdn.inference.pace import MIN_LATE_HOPS, RECENT_HOPS, HopCounter, Pace
from edge_tdn.messages import NS_PER_MS
from tests.support.fakes import SPEC

FAST = SPEC.model_copy(update={"frame_rate": 40})  # a segment lasts 50 ms


def test_many_hops_decide_that_the_host_is_too_slow() -> None:
    pace = Pace(2, FAST)
    waited_ns = 2 * 50 * NS_PER_MS
    for _ in range(3):
        for _ in range(RECENT_HOPS):
            pace.push(2, 0)
        for _ in range(MIN_LATE_HOPS - 1):
            pace.push(8, waited_ns)
        assert pace.trouble == ""
    pace.push(8, waited_ns)
    assert pace.trouble == "host too slow: a clip every 2.9 segments instead of 2"
    for _ in range(RECENT_HOPS):
        assert pace.trouble
        pace.push(2, 0)
    assert pace.trouble == ""


def test_a_long_hop_without_a_wait_is_not_late() -> None:
    """The camera's frames came in a burst."""
    pace = Pace(1, FAST)
    for _ in range(RECENT_HOPS):
        pace.push(4, 10 * NS_PER_MS)
    assert pace.trouble == ""


def test_a_new_run_starts_without_trouble() -> None:
    pace = Pace(1, FAST)
    for _ in range(MIN_LATE_HOPS):
        pace.push(4, 200 * NS_PER_MS)
    assert pace.trouble
    pace.clear()
    assert pace.trouble == ""


def test_a_hop_grows_by_segments_without_a_clip_but_not_by_dropped_ones() -> None:
    """Dropped segments are counted where they were dropped."""
    counter = HopCounter(hop=2)
    for _ in range(2):
        counter.segment()
    assert counter.due
    assert counter.clip() is None, "the first clip of a run has no hop"
    assert not counter.due
    counter.skip(3)
    for _ in range(4):
        counter.segment()
    assert counter.clip() == 7
    assert (counter.achieved, counter.grown) == (7, 2)


def test_the_first_clip_behind_a_break_has_no_hop() -> None:
    counter = HopCounter(hop=1)
    for _ in range(2):
        counter.segment()
        counter.clip()
    counter.segment()
    counter.begin_run()
    assert not counter.due
    counter.segment()
    assert counter.clip() is None
    assert (counter.achieved, counter.grown) == (1, 0)
