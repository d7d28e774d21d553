"""Which lane has the next turn, what waits in each, and the tasks for the runtime thread: everything that is locked."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from enum import Enum, auto

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.lane import Lane
from edge_tdn.messages import EndReason
from edge_tdn.process import heartbeat

Task = tuple[Callable[[], None], "Future[None]"]
Work = list[tuple[Lane, list[Item]]]  # each lane with the items that waited


class QueueState(Enum):
    """The life of the queue."""

    OPEN = auto()
    STOPPING = auto()  # the runtime thread ends when nothing waits
    ENDED = auto()  # the runtime thread has ended


class LaneQueue:
    """Passes items and tasks from any thread to the runtime thread. One lock guards everything here."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._lanes: list[Lane] = []  # the one whose last turn is longest ago is first
        self._served_ns = 0  # `served_ns` of the lane that had the last turn, before that turn
        self._tasks: deque[Task] = deque()
        self._state = QueueState.OPEN

    @property
    def state(self) -> QueueState:
        """The state at this moment."""
        return self._state

    @property
    def lanes(self) -> list[Lane]:
        """The lanes at this moment."""
        with self._changed:
            return list(self._lanes)

    def add(self, lane: Lane) -> None:
        """Give a lane its turns from now on."""
        with self._changed:
            self._lanes.append(lane)

    def remove(self, lane: Lane) -> list[EndReason]:
        """Give a lane no more turns. Return the breaks that waited in it."""
        with self._changed:
            self._lanes = [one for one in self._lanes if one is not lane]
            return lane.backlog.breaks

    def restore(self, lanes: Sequence[Lane]) -> None:
        """Serve exactly these lanes again, which `lanes` returned earlier."""
        with self._changed:
            self._lanes = list(lanes)

    def put(self, lane: Lane, item: Item) -> None:
        """Let an item wait for the lane's next turn. Never blocks."""
        with self._changed:
            lane.backlog.put(item)
            self._changed.notify()

    def put_task(self, run: Callable[[], None]) -> "Future[None]":
        """Let a task wait for the end of the current turn. CancelledError: the runtime thread has ended."""
        done: Future[None] = Future()
        with self._changed:
            if self._state is QueueState.ENDED:
                raise CancelledError
            self._tasks.append((run, done))
            self._changed.notify()
        return done

    def next_task(self) -> Task | None:
        """Return the oldest task that waits, or None."""
        with self._changed:
            return self._tasks.popleft() if self._tasks else None

    def next_turn(self) -> Work:
        """Return the lanes that have the next turn, and what waited in each. For the runtime thread.

        They have one engine, and are at most as many as it computes together. A turn counts for the segments up to the
        next clip that is due, however many waited, and the lane whose turns count for the least stream time has the
        next one. So where the host is too slow, all hops grow by the same factor, whatever the networks cost. A lane
        that had nothing to compute may catch up with T segments. Lanes of still scenes are added to every turn: they
        cost no inference.
        """
        with self._changed:
            waiting = [lane for lane in self._lanes if lane.backlog.items]
            turn = [lane for lane in waiting if lane.resting]
            if moving := [lane for lane in waiting if not lane.resting]:
                turn += self._share(moving)
            self._lanes = [lane for lane in self._lanes if lane not in turn] + turn
            return [(lane, lane.backlog.take()) for lane in turn]

    def _share(self, waiting: Sequence[Lane]) -> list[Lane]:
        """Return the lanes that are computed next, and count their turn."""
        for lane in waiting:
            lane.served_ns = max(lane.served_ns, self._served_ns - lane.engine.spec.segments * lane.segment_ns)
        first = min(waiting, key=lambda lane: lane.served_ns)
        self._served_ns = max(self._served_ns, first.served_ns)
        together = sorted((lane for lane in waiting if lane.engine is first.engine), key=lambda lane: lane.served_ns)
        chosen = together[: first.engine.runtime.batch]
        for lane in chosen:
            lane.served_ns += lane.hops.toward_clip(lane.backlog.segments) * lane.segment_ns
        return chosen

    def wait(self) -> bool:
        """Wait for an item or a task. Return False when the queue is stopping and nothing is left to do.

        For the runtime thread, which sends its heartbeat meanwhile.
        """
        with self._changed:
            while not (todo := self._has_work()) and self._state is QueueState.OPEN:
                self._changed.wait(heartbeat.beat_interval_s())
                heartbeat.beat()
            return todo

    def stop(self, drop: bool) -> None:
        """Have `wait` return False once nothing is left. `drop`: segments that wait are discarded, breaks are not."""
        with self._changed:
            if self._state is QueueState.OPEN:
                self._state = QueueState.STOPPING
            for lane in self._lanes if drop else ():
                lane.backlog.discard_segments()
            self._changed.notify()

    def end(self) -> None:
        """Refuse further tasks, and cancel those that wait: the runtime thread has ended."""
        with self._changed:
            self._state = QueueState.ENDED
            tasks, self._tasks = self._tasks, deque()
        for _, done in tasks:
            done.cancel()

    def _has_work(self) -> bool:
        return bool(self._tasks) or any(lane.backlog.items for lane in self._lanes)
