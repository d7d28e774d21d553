"""The items that wait in one lane: bounded, with every break in its place."""

from edge_tdn.inference.backlog import Backlog
from edge_tdn.messages import Segment
from tests.support.fakes import segment


def indices(backlog: Backlog) -> list[int]:
    return [item.index for item in backlog.items if isinstance(item, Segment)]


def test_at_most_one_clip_waits_and_breaks_are_kept() -> None:
    backlog = Backlog(max_segments=4)
    backlog.put("stream_lost")
    for n in range(10):
        backlog.put(segment(n))
    assert backlog.items[0] == "stream_lost"
    assert indices(backlog) == [6, 7, 8, 9]
    assert backlog.dropped == 6


def test_consecutive_breaks_are_one() -> None:
    backlog = Backlog(max_segments=4)
    for _ in range(100):
        backlog.put("stream_lost")
    assert backlog.items == ["stream_lost"]


def test_taking_leaves_nothing() -> None:
    backlog = Backlog(max_segments=4)
    backlog.put(one := segment(0))
    assert backlog.take() == [one]
    assert backlog.items == []


def test_discarding_segments_keeps_breaks() -> None:
    backlog = Backlog(max_segments=4)
    for item in (segment(0), "stream_lost", segment(1), "shutdown"):
        backlog.put(item)  # type: ignore[arg-type]
    assert backlog.breaks == ["stream_lost", "shutdown"]
    backlog.discard_segments()
    assert backlog.items == ["stream_lost", "shutdown"]


def test_a_backlog_is_still_while_no_segment_moves_and_no_break_waits() -> None:
    backlog = Backlog(max_segments=4)
    backlog.put(segment(0, still=True))
    assert backlog.still
    backlog.put(segment(1))
    assert not backlog.still
    backlog.take()
    backlog.put("stream_lost")
    assert not backlog.still
