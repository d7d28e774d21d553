"""The locked queue: the order of turns, tasks, and how it stops."""

import threading
from concurrent.futures import CancelledError

import pytest

from edge_tdn.inference.lane import Lane
from edge_tdn.inference.lane_queue import LaneQueue, QueueState
from tests.support.fakes import SPEC, ClipLog, FakeRuntime, segment


def lane() -> Lane:
    return Lane(FakeRuntime().ring(), SPEC, 1, ClipLog())


def queue_of(count: int) -> tuple[LaneQueue, list[Lane]]:
    queue, lanes = LaneQueue(), [lane() for _ in range(count)]
    for one in lanes:
        queue.add(one)
    return queue, lanes


def test_lanes_take_turns_and_those_without_work_are_passed_over() -> None:
    queue, (a, b, c) = queue_of(3)
    for one in (a, c):
        queue.put(one, segment(0))
    assert [one for one, _ in queue.next_turn(1)] == [a]
    queue.put(a, segment(1))
    queue.put(b, segment(0))
    assert [one for one, _ in queue.next_turn(1)] == [b], "whose last turn is longest ago"
    assert [one for one, _ in queue.next_turn(2)] == [c, a]
    assert queue.next_turn(2) == []


def test_a_turn_takes_all_that_waits_in_a_lane() -> None:
    queue, (one,) = queue_of(1)
    items = [segment(0), segment(1)]
    for item in items:
        queue.put(one, item)
    assert queue.next_turn(1) == [(one, items)]
    assert one.backlog.items == []


def test_a_removed_lane_returns_its_breaks_and_gets_no_turn() -> None:
    queue, (one, other) = queue_of(2)
    for item in (segment(0), "stream_lost", segment(1), "shutdown"):
        queue.put(one, item)  # type: ignore[arg-type]
    assert queue.remove(one) == ["stream_lost", "shutdown"]
    assert queue.lanes == [other]
    assert queue.next_turn(1) == []
    queue.restore([one, other])
    assert [served for served, _ in queue.next_turn(2)] == [one]


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
    queue.next_turn(1)
    assert not queue.wait()


def test_a_stop_that_drops_keeps_only_breaks() -> None:
    queue, (one,) = queue_of(1)
    queue.put(one, segment(0))
    queue.put(one, "shutdown")
    queue.stop(drop=True)
    assert queue.next_turn(1) == [(one, ["shutdown"])]


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
