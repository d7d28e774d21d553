"""Another runtime takes over between two turns: no camera misses a clip, and a failure changes nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_tdn.inference.engine import Engine
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
    scheduler = Scheduler(fail)
    one = scheduler.add_lane(Engine(first, SPEC), 1, log)
    scheduler.start()
    for n in range(6):
        scheduler.submit(one, segment(n, still=still and n > 0))
        eventually(lambda n=n: len(log.received) == max(0, n - 2))  # type: ignore[misc]
    scheduler.exchange(Successor({one: Engine(second, SPEC)}), lambda: None)
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
    scheduler, before, after = Scheduler(fail), Engine(first, SPEC), Engine(second, SPEC)
    lanes = [scheduler.add_lane(before, 1, log) for log in logs]
    successor = Successor(dict.fromkeys(lanes, after))
    for one, count in zip(lanes, (5, 2), strict=True):
        compute([(one, [segment(n) for n in range(count)])])
    successor.catch_up()
    compute([(lanes[0], ["stream_lost", *(segment(n, 50 + n) for n in range(3))]), (lanes[1], [segment(2)])])
    scheduler.start()
    scheduler.exchange(successor, lambda: None)
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
    scheduler = Scheduler(fail)
    one = scheduler.add_lane(Engine(FakeRuntime(), SPEC), 1, log)
    scheduler.start()
    scheduler.submit(one, segment(0))
    eventually(lambda: not one.backlog.items and len(one.segments()) == 1)
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor({one: Engine(BrokenRuntime(), SPEC)}), lambda: fail(AssertionError()))
    for n in range(1, 4):
        scheduler.submit(one, segment(n))
    eventually(lambda: log.received == [[0, 1, 2, 3]])
    scheduler.stop(drop=True)


class MultiplyingRuntime(FakeRuntime):
    """A third model: its features are `factor` times those of a FakeRuntime."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self._factor = factor

    def encode(self, segments: Sequence[NDArray[np.uint8]], rings: Sequence[FeatureRing]) -> None:
        super().encode([self._factor * frames for frames in segments], rings)


def test_lanes_move_to_different_models_in_one_exchange_and_others_stay() -> None:
    """Those that stay keep their windows, and repeat the scores of a still scene without computing it again."""
    before, doubling, tripling = FakeRuntime(), DoublingRuntime(), MultiplyingRuntime(3)
    old, twice, thrice = (Engine(runtime, SPEC) for runtime in (before, doubling, tripling))
    scheduler, logs = Scheduler(fail), [ClipLog() for _ in range(4)]
    lanes = [scheduler.add_lane(old, 1, log) for log in logs]
    first, second, still = lanes[0], lanes[1], lanes[3]
    rings = [one.ring for one in lanes]
    for n in range(6):
        for one in lanes:
            scheduler.submit(one, segment(n, still=one is still))
        while any(one.backlog.items for one in lanes):
            scheduler.turn()
    encoded, gated = len(before.encoded), still.gated
    scheduler.start()
    scheduler.exchange(Successor({first: twice, second: thrice}), lambda: None)
    assert [one.engine for one in lanes] == [twice, thrice, old, old]
    assert [one.ring is ring for one, ring in zip(lanes, rings, strict=True)] == [False, False, True, True]
    for one in lanes:
        scheduler.submit(one, segment(6, still=one is still))
    eventually(lambda: [len(log.received) for log in logs] == [4] * 4)
    scheduler.stop(drop=True)
    last = [log.received[-1] for log in logs]
    assert last == [[6, 8, 10, 12], [9, 12, 15, 18], [3, 4, 5, 6], [0, 1, 2, 3]]
    assert len(before.encoded) == encoded + 1, "the segment of the lane that moves"
    assert still.gated == gated + 1


def test_model_that_serves_already_encodes_other_windows_between_turns() -> None:
    """A runtime is used by one thread: never by the one that prepares the exchange while it serves."""
    serving = DoublingRuntime()
    old, new = Engine(FakeRuntime(), SPEC), Engine(serving, SPEC)
    scheduler, logs = Scheduler(fail), [ClipLog(), ClipLog()]
    one, other = (scheduler.add_lane(engine, 1, log) for engine, log in zip((old, new), logs, strict=True))
    scheduler.start()
    for n in range(5):
        for lane in (one, other):
            scheduler.submit(lane, segment(n))
        eventually(lambda n=n: all(len(log.received) == max(0, n - 2) for log in logs))  # type: ignore[misc]
    scheduler.exchange(Successor({one: new}), lambda: None)
    for lane in (one, other):
        scheduler.submit(lane, segment(5))
    eventually(lambda: [log.received[-1] for log in logs] == [[4, 6, 8, 10]] * 2)
    scheduler.stop(drop=True)
    assert serving.threads == {"runtime"}


@pytest.mark.parametrize("moving", [0, 1, 2])
def test_an_exchange_that_fails_half_way_leaves_the_old_runtime_to_every_camera(moving: int) -> None:
    """Some lanes move; where the new model has another input, lanes leave and new ones come instead."""
    logs = [ClipLog(), ClipLog()]
    scheduler, before, after = Scheduler(fail), Engine(FakeRuntime(), SPEC), Engine(DoublingRuntime(), SPEC)
    lanes = [scheduler.add_lane(before, 1, log) for log in logs]

    def half_way() -> None:
        scheduler.remove_lane(lanes[0])
        scheduler.add_lane(after, 1, ClipLog())
        raise MemoryError

    scheduler.start()
    for n in range(5):
        for one in lanes:
            scheduler.submit(one, segment(n))
    eventually(lambda: all(one.segments()[-1:] and one.segments()[-1].index == 4 for one in lanes))
    with pytest.raises(MemoryError):
        scheduler.exchange(Successor(dict.fromkeys(lanes[:moving], after)), half_way)
    assert [one.engine for one in lanes] == [before, before]
    for one in lanes:
        scheduler.submit(one, segment(5))
    eventually(lambda: [log.received[-1] for log in logs] == [[2, 3, 4, 5]] * 2)
    scheduler.stop(drop=True)
