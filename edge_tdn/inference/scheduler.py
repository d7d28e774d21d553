"""The runtime thread: which lanes' clips are computed next, and what is shed when the host is too slow.

A lane is a camera, or one zone of it. Lanes take turns; lanes of one engine share a turn, up to the number that its
runtime computes efficiently together. A turn encodes every segment that waits and then classifies the newest clip of
each lane: when the host is too slow, more segments wait at each turn and every lane's hop grows, in whole segments, and
all by the same factor, whatever their networks cost. Nothing queues up: at most T segments wait per lane, since older
ones could not be part of a clip any more.

A still scene costs no inference (see segments/motion_gate.py). The first clip that is still from end to end is
computed; after it its scores are repeated, and segments stay unencoded until one moves. Then those of the last T are
encoded, so that every clip with something moving in it is the one that would have been computed anyway.

Another engine takes over lanes between two turns (`exchange`). Its features are different: what the lanes' windows
hold is encoded again, beside the turns, so that every lane's next clip comes when it would have come.

    any thread ── submit, run_between_turns ──► LaneQueue ──► runtime thread: turn.compute ──► ClipSink of each lane
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from edge_tdn.inference.backlog import Item
from edge_tdn.inference.clip_sink import ClipSink
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.lane_queue import LaneQueue
from edge_tdn.inference.successor import Successor
from edge_tdn.inference.turn import compute
from edge_tdn.process import heartbeat
from edge_tdn.process.log import RateLimitedLog

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SchedulerTiming:
    """Time limits of the runtime thread, seconds."""

    exchange_s: float = 60.0  # for encoding the newest segments of all lanes with other engines
    log_every_s: float = 10.0  # between two log lines on whether the host keeps up


class Scheduler:
    """Serves the lanes of all cameras, on a thread of its own.

    `_queue` has a lock of its own. `_slow` belongs to the runtime thread. All else is fixed.
    """

    def __init__(
        self,
        failed: Callable[[BaseException], None],
        timing: SchedulerTiming = SchedulerTiming(),
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`failed`: called on the runtime thread with the error that ends it. `clock`: monotonic nanoseconds."""
        self._failed = failed
        self._timing, self._clock = timing, clock
        self._queue = LaneQueue()
        self._slow = False  # as last logged
        self._pace_log = RateLimitedLog(log, timing.log_every_s)
        self._thread = threading.Thread(target=self._run, name="runtime")

    def add_lane(self, engine: Engine, hop: int, sink: ClipSink) -> Lane:
        """Return a new lane, whose clips `engine` computes and which go to `sink`.

        From any thread. Fails where the device has no memory left.
        """
        lane = Lane(engine, hop, sink, self._clock)
        self._queue.add(lane)
        return lane

    def remove_lane(self, lane: Lane) -> None:
        """Report the breaks that wait in a lane, and give it no more turns. On the runtime thread."""
        for reason in self._queue.remove(lane):
            lane.break_off(reason)

    @property
    def engines(self) -> set[Engine]:
        """The engines that lanes have at this moment."""
        return {lane.engine for lane in self._queue.lanes}

    def submit(self, lane: Lane, item: Item) -> None:
        """Queue a segment to compute, or a break in the stream. Never blocks."""
        self._queue.put(lane, item)

    def run_between_turns(self, task: Callable[[], None]) -> None:
        """Run a task on the runtime thread, and wait for its end. Raises what the task raises.

        CancelledError: the runtime thread ended before it.
        """
        done = self._queue.put_task(task)
        try:
            done.result()
        finally:
            del done, task  # the error that it raises refers to this frame

    def exchange(self, successor: Successor, meanwhile: Callable[[], None]) -> None:
        """Let other engines take over lanes, and wait until that is done. `meanwhile` is called on the runtime thread.

        It may remove other lanes and add new ones. If a new runtime fails at its first segments, or `meanwhile` fails,
        nothing has changed; raises that error.
        """

        def exchange() -> None:
            lanes = self._queue.lanes
            with heartbeat.patience(self._timing.exchange_s):
                successor.catch_up()
            try:
                meanwhile()
            except BaseException:
                self._queue.restore(lanes)
                raise
            successor.take_over()

        busy = {lane.engine for lane in self._queue.lanes}  # those encode between two turns
        for _ in range(2):  # the first pass takes long; what has come meanwhile does not
            successor.catch_up(busy)
        self.run_between_turns(exchange)

    def start(self) -> None:
        """Start the runtime thread."""
        self._thread.start()

    def stop(self, drop: bool, timeout_s: float | None = None) -> bool:
        """End the thread when nothing waits. `drop`: segments that wait are discarded; breaks are always reported.

        Return False if it has not ended within `timeout_s`.
        """
        self._queue.stop(drop)
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def turn(self) -> None:
        """Run the tasks that wait, then one turn of computing. On the runtime thread."""
        while task := self._queue.next_task():
            _run_task(*task)
        if work := self._queue.next_turn():
            compute(work, self._clock)
            self._log_pace()

    @heartbeat.beating()
    def _run(self) -> None:
        try:
            while self._queue.wait():
                self.turn()
        except BaseException as error:  # the thread must not die unnoticed: the daemon stops and reports it
            log.exception("runtime thread failed")
            try:
                for lane in self._queue.lanes:
                    lane.break_off("failed")
            finally:
                self._failed(error)
        finally:
            self._queue.end()

    def _log_pace(self) -> None:
        """Log once that the host is too slow, and once that it keeps up again."""
        troubles = [lane.pace.trouble for lane in self._queue.lanes if lane.pace.trouble]
        if bool(troubles) == self._slow:
            return
        self._slow = bool(troubles)
        if self._slow:
            hint = "fewer cameras or zones, a larger hop or a faster precision would help"
            self._pace_log.log(logging.WARNING, "%s; %s", troubles[0], hint)
        else:
            self._pace_log.log(logging.INFO, "the host keeps up again")


def _run_task(task: Callable[[], None], done: "Future[None]") -> None:
    try:
        task()
        done.set_result(None)
    except Exception as error:  # it belongs to the thread that waits for the task
        done.set_exception(error)
        del done, task  # the error refers to this frame, which would keep it and all that the task holds
