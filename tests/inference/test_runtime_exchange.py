"""Another runtime takes over between two turns: no camera misses a clip, and a failure changes nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.inference.feature_ring import FeatureRing
from edge_tdn.inference.scheduler import Scheduler
from edge_tdn.inference.successor import Successor
from edge_tdn.inference.turn import compute
from tests.support.fakes import SPEC, ClipLog, DoublingRuntime, FakeRuntime, fail, segment
from tests.support.waiting import eventually


@pytest.mark.parametrize("still", [False, True])
def test_an_exchange_costs_no_clip(still: bool) -> None:
    """The first clip has the segments of before in it, in the new features; a still scene is computed again."""
    first, second, log = FakeRuntime(), DoublingRuntime(), ClipLog()
    scheduler = Scheduler(first, SPEC, fail)
    one = scheduler.add_lane(1, log)
    scheduler.start()
    for n in range(6):
        scheduler.submit(one, segment(n, still=still and n > 0))
        eventually(lambda n=n: len(log.received) == max(0, n - 2))  # type: ignore[misc]
    scheduler.exchange(Successor(second), SPEC, lambda: None)
    scheduler.submit(one, segment(6, still=still))
    eventually(lambda: len(log.received) == 4)
    scheduler.stop(drop=True)
    assert log.received[:3] == [[0, 1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4] if still else [2, 3, 4, 5]]
    assert log.received[3] == [6, 8, 10, 12]
    assert one.shed == 0
    assert second.threads >= {"runtime"}


def test_segments_that_come_while_another_runtime_catches_up_are_in_its_clips_too() -> None:
    """A run that ends meanwhile is forgotten; another camera, before its first clip, continues."""
    first, second, logs = FakeRuntime(), DoublingRuntime(), [ClipLog(), ClipLog()]
    scheduler = Scheduler(first, SPEC, fail)
    lanes = [scheduler.add_lane(1, log) for log in logs]
    successor = Successor(second)
    for one, count in zip(lanes, (5, 2), strict=True):
        compute(first, [(one, [segment(n) for n in range(count)])])
    successor.catch_up(lanes)
    compute(first, [(lanes[0], ["stream_lost", *(segment(n, 50 + n) for n in range(3))]), (lanes[1], [segment(2)])])
    scheduler.start()
    scheduler.exchange(successor, SPEC, lambda: None)
    for one, items in zip(lanes, (segment(3, 53), segment(3)), strict=True):
        scheduler.submit(one, items)
    eventually(lambda: [len(log.scores) for log in logs] == [2, 1])
    scheduler.stop(drop=True)
    assert logs[0].received == [[1, 2, 3, 4], "stream_lost", [100, 102, 104, 106]]
    assert logs[1].received == [[0, 2, 4, 6]]


def test_a_runtime_that_fails_at_its_first_segment_does_not_take_over() -> None:
    class BrokenRuntime(FakeRuntime):
        def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
            raise MemoryError

    log = ClipLog()
    scheduler = Scheduler(FakeRuntime(), SPEC, fail)
    one = scheduler.add_lane(1, log)
    scheduler.start()
    scheduler.submit(one, segment(0))
    eventually(lambda: not one.backlog.items and len(one.segments()) == 1)
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor(BrokenRuntime()), SPEC, lambda: fail(AssertionError()))
    for n in range(1, 4):
        scheduler.submit(one, segment(n))
    eventually(lambda: log.received == [[0, 1, 2, 3]])
    scheduler.stop(drop=True)


@pytest.mark.parametrize("rate", [10, 20])
def test_an_exchange_that_fails_half_way_leaves_the_old_runtime_to_every_camera(rate: int) -> None:
    """At another frame rate the model has another input, so that lanes leave and new ones come."""
    logs = [ClipLog(), ClipLog()]
    scheduler = Scheduler(FakeRuntime(), SPEC, fail)
    lanes = [scheduler.add_lane(1, log) for log in logs]

    def half_way() -> None:
        scheduler.remove_lane(lanes[0])
        scheduler.add_lane(1, ClipLog())
        raise MemoryError

    scheduler.start()
    for n in range(5):
        for one in lanes:
            scheduler.submit(one, segment(n))
    eventually(lambda: all(one.segments()[-1:] and one.segments()[-1].index == 4 for one in lanes))
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor(DoublingRuntime()), SPEC.model_copy(update={"frame_rate": rate}), half_way)
    for one in lanes:
        scheduler.submit(one, segment(5))
    eventually(lambda: [log.received[-1] for log in logs] == [[2, 3, 4, 5]] * 2)
    scheduler.stop(drop=True)
