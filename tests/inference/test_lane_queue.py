"""The locked queue: the order of turns, tasks, and how it stops."""

import threading
from concurrent.futures import CancelledError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.lane_queue import LaneQueue, QueueState
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, segment


def queue_of(count: int, batch: int = 1) -> tuple[LaneQueue, list[Lane]]:
    engine = Engine(FakeRuntime(batch=batch), SPEC)
    queue, lanes = LaneQueue(), [Lane(engine, 1, ClipLog()) for _ in range(count)]
    for one in lanes:
        queue.add(one)
    return queue, lanes


def turn(queue: LaneQueue) -> list[Lane]:
    """Return the lanes that have the next turn."""
    return [one for one, _ in queue.next_turn()]


def test_lanes_take_turns_and_those_without_work_are_passed_over() -> None:
    queue, (a, b, c) = queue_of(3)
    for one in (a, c):
        queue.put(one, segment(0))
    assert turn(queue) == [a]
    queue.put(a, segment(1))
    queue.put(b, segment(0))
    assert [turn(queue) for _ in range(4)] == [[b], [c], [a], []], "whose last turn is longest ago"


def test_a_turn_has_as_many_lanes_as_the_runtime_takes() -> None:
    queue, (a, b, c) = queue_of(3, batch=2)
    for one in (a, b, c):
        queue.put(one, segment(0))
    assert turn(queue) == [a, b]
    queue.put(a, segment(1))
    assert [turn(queue) for _ in range(2)] == [[c, a], []]


@given(count=st.integers(1, 6), batch=st.integers(1, 4), waiting=st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_busy_lanes_take_turns_in_a_circle(count: int, batch: int, waiting: list[int]) -> None:
    """However many segments wait in each."""
    queue, lanes = queue_of(count, batch)
    for segments in waiting:
        for place, one in enumerate(lanes):
            for n in range(1 + (segments + place) % 6):
                queue.put(one, segment(n))
        circle, lanes = lanes[:batch], lanes[batch:] + lanes[:batch]
        assert turn(queue) == circle


def test_lane_that_was_idle_for_long_catches_up_with_one_clip_at_most() -> None:
    queue, (busy, idle) = queue_of(2)
    for n in range(100):
        queue.put(busy, segment(n))
        assert turn(queue) == [busy]
    found = []
    for n in range(SPEC.segments + 11):
        for one in (busy, idle):
            queue.put(one, segment(n))
        found += turn(queue)
    assert found == [idle] * (SPEC.segments + 1) + [busy, idle] * 5


def test_lanes_of_two_models_have_separate_turns() -> None:
    queue, lanes = queue_of(2, batch=4)
    engine = Engine(FakeRuntime(batch=4), SPEC)
    others = [Lane(engine, 1, ClipLog()) for _ in range(2)]
    for one in others:
        queue.add(one)
    for expected in [lanes, others] * 3:
        for one in (*lanes, *others):
            queue.put(one, segment(0))
        assert turn(queue) == expected


def test_a_turn_takes_all_that_waits_in_a_lane() -> None:
    queue, (one,) = queue_of(1)
    items = [segment(0), segment(1)]
    for item in items:
        queue.put(one, item)
    assert queue.next_turn() == [(one, items)]
    assert one.backlog.items == []


def test_a_removed_lane_returns_its_breaks_and_gets_no_turn() -> None:
    queue, (one, other) = queue_of(2)
    for item in (segment(0), "stream_lost", segment(1), "shutdown"):
        queue.put(one, item)  # type: ignore[arg-type]
    assert queue.remove(one) == ["stream_lost", "shutdown"]
    assert queue.lanes == [other]
    assert turn(queue) == []
    queue.restore([one, other])
    assert turn(queue) == [one]


def test_waiting_ends_when_an_item_comes_from_another_thread() -> None:
    queue, (one,) = queue_of(1)
    threading.Timer(0.05, queue.put, (one, segment(0))).start()
    assert queue.wait()


def test_a_stopping_queue_is_emptied_first() -> None:
    queue, (one,) = queue_of(1)
    queue.put(one, segment(0))
    queue.stop(drop=False)
    assert queue.state is QueueState.STOPPING
    assert queue.wait()
    turn(queue)
    assert not queue.wait()


def test_a_stop_that_drops_keeps_only_breaks() -> None:
    queue, (one,) = queue_of(1)
    queue.put(one, segment(0))
    queue.put(one, "shutdown")
    queue.stop(drop=True)
    assert queue.next_turn() == [(one, ["shutdown"])]


def test_the_end_cancels_tasks_that_wait_and_refuses_others() -> None:
    queue = LaneQueue()
    done = queue.put_task(lambda: None)
    assert queue.wait()
    queue.end()
    assert done.cancelled()
    assert queue.next_task() is None
    with pytest.raises(CancelledError):
        queue.put_task(lambda: None)
    queue.stop(drop=True)
    assert queue.state is QueueState.ENDED
