"""One lane: correct windows, breaks in their place, and a still scene that is computed once."""

import gc
import weakref
from collections.abc import Sequence

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.turn import compute
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, segment


def lane(log: ClipLog, hop: int = 1) -> Lane:
    return Lane(Engine(FakeRuntime(), SPEC), hop, log)


def turn(one: Lane, items: Sequence[Item]) -> None:
    compute([(one, items)])


def test_every_hop_classifies_the_last_segments() -> None:
    log = ClipLog()
    one = lane(log, hop=2)
    for n in range(9):
        turn(one, [segment(n)])
    assert log.received == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert (one.shed, one.achieved_hop) == (0, 2)
    last = log.scores[-1]
    assert (last.from_ns, last.newest_ns, last.to_ns) == (400, 700, 780)
    assert (last.frames, last.dropped) == (20, 4)


def test_a_clip_of_an_ensemble_counts_the_frames_of_all_its_networks() -> None:
    log = ClipLog()
    spec = SPEC.model_copy(update={"per_segment": (1, 2)})
    turn(Lane(Engine(FakeRuntime(), spec), 1, log), [segment(n) for n in range(4)])
    assert [scores.frames for scores in log.scores] == [4 * (5 + 10)]


def test_no_clip_spans_a_jump_in_the_grid() -> None:
    log = ClipLog()
    one = lane(log)
    for index in (0, 1, 2, 3, 4, 0, 1, 2, 3):
        turn(one, [segment(index)])
    assert log.received == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 1, 2, 3]]


def test_a_break_is_reported_between_the_segments_where_it_happened() -> None:
    log = ClipLog()
    one = lane(log)
    turn(one, [*(segment(n) for n in range(4)), "stream_lost", *(segment(n, 10 + n) for n in range(4))])
    assert log.received == [[0, 1, 2, 3], "stream_lost", [10, 11, 12, 13]]


def test_segments_that_waited_together_are_classified_once_and_count_as_shed() -> None:
    log = ClipLog()
    one = lane(log)
    turn(one, [segment(n) for n in range(4)])
    turn(one, [segment(n) for n in range(4, 7)])
    assert log.received == [[0, 1, 2, 3], [3, 4, 5, 6]]
    assert (one.shed, one.achieved_hop) == (2, 3)


def test_segments_that_were_never_encoded_count_as_shed_too() -> None:
    log = ClipLog()
    one = lane(log)
    turn(one, [segment(n) for n in range(4)])
    for n in range(4, 13):
        one.backlog.put(segment(n))
    turn(one, one.backlog.take())
    assert log.received == [[0, 1, 2, 3], [9, 10, 11, 12]]
    assert (one.shed, one.achieved_hop) == (8, 9)  # five never encoded, three encoded without a clip of their own


def test_a_still_scene_is_computed_once_and_its_scores_are_repeated() -> None:
    log, runtime = ClipLog(), FakeRuntime()
    one = Lane(Engine(runtime, SPEC), 1, log)
    for n in range(10):
        compute([(one, [segment(n, still=n > 1)])])
    moving, still = [[0, 1, 2, 3], [1, 2, 3, 4]], [2, 3, 4, 5]
    assert log.received == [*moving, still, still, still, still, still]
    assert (len(runtime.encoded), len(runtime.classified)) == (6, 3)
    assert (one.gated, one.shed, one.achieved_hop) == (4, 0, 1)
    assert [s.repeated for s in log.scores] == [False] * 3 + [True] * 4
    assert [s.to_ns for s in log.scores] == [n * 100 + 80 for n in range(3, 10)]
    assert [s.from_ns for s in log.scores] == [n * 100 for n in range(7)]


def test_the_first_movement_has_the_still_segments_before_it_in_its_clip() -> None:
    log, runtime = ClipLog(), FakeRuntime()
    one = Lane(Engine(runtime, SPEC), 1, log)
    for n in range(20):
        compute([(one, [segment(n, still=True)])])
    encoded = len(runtime.encoded)
    compute([(one, [segment(20)])])
    assert log.received[-2:] == [[0, 1, 2, 3], [17, 18, 19, 20]]
    assert len(runtime.encoded) - encoded == 4, "the others are not needed any more"
    assert (one.gated, one.shed, one.achieved_hop) == (16, 0, 1)


def test_a_lane_does_not_keep_its_sink_alive() -> None:
    """A camera that has left is freed at once; what its lane still computes is discarded."""
    gc.disable()
    try:
        log = ClipLog()
        freed = weakref.ref(log)
        one = lane(log)
        turn(one, [segment(n) for n in range(4)])
        del log
        assert freed() is None
        turn(one, [segment(4), "stream_lost"])
        assert one.achieved_hop == 1
    finally:
        gc.enable()
