"""Which camera's clip the one runtime computes next, and what is shed when it cannot keep up.

Cameras take turns. A turn encodes every segment that waits and then classifies once, the newest clip: when the host is
too slow, more segments wait at each turn and every camera's hop grows, in whole segments. Nothing queues up: at most T
segments wait per camera, since older ones could no longer be part of a clip.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import EndReason, Scores, Segment
from edge_tdn.runtime import Runtime

log = logging.getLogger(__name__)


class Lane:
    """One camera at the runtime: its ring, the segments that wait, and what is told when a clip is scored or broken."""

    def __init__(
        self,
        runtime: Runtime,
        spec: InputSpec,
        hop: int,
        scored: Callable[[Scores], None],
        broken: Callable[[EndReason], None],
    ) -> None:
        self._runtime = runtime
        self._spec = spec
        self._ring = runtime.ring()
        self._hop = hop
        self._scored, self._broken = scored, broken
        self._window: deque[Segment] = deque(maxlen=spec.segments)
        self._since = 0  # segments since the last classified clip, or since the stretch began
        self._missed = 0  # of these, segments that were shed while they waited
        self._classified = False  # a clip of this stretch
        self.waiting: list[Segment | EndReason] = []
        self.shed = 0  # segments that were never encoded, and those by which hops grew
        self.achieved_hop = 0  # segments between the last two clips

    def put(self, item: Segment | EndReason) -> None:
        """Called under the scheduler's lock."""
        if isinstance(item, str) and self.waiting and isinstance(self.waiting[-1], str):
            return  # nothing came between: it is broken already
        self.waiting.append(item)
        segments = [i for i in self.waiting if isinstance(i, Segment)]
        if len(segments) > self._spec.segments:
            self.waiting.remove(segments[0])
            self.shed += 1

    def turn(self, items: list[Segment | EndReason]) -> None:
        """Computes what waited. Breaks are told in their place between the segments."""
        taken_ns = time.monotonic_ns()
        for item in items:
            if isinstance(item, Segment):
                self._encode(item)
            else:
                self._classify(taken_ns)
                self._forget()
                self._broken(item)
        self._classify(taken_ns)

    def _encode(self, segment: Segment) -> None:
        missed = segment.index - self._window[-1].index - 1 if self._window else 0
        if missed < 0:  # the grid began anew
            self._forget()
        elif missed:  # shed in `put`: the hop has grown by them
            self._ring.clear()
            self._window.clear()
            self._since += missed
            self._missed += missed
        self._runtime.encode([segment.frames], [self._ring])
        self._window.append(segment)
        self._since += 1

    def _classify(self, taken_ns: int) -> None:
        if not self._ring.full or self._since < self._hop:
            return
        logits = self._runtime.classify([self._ring])[0]
        newest = self._window[-1]
        if self._classified:
            self.achieved_hop = self._since
            self.shed += max(0, self._since - self._missed - self._hop)
        self._classified = True
        self._since = self._missed = 0
        self._scored(
            Scores(
                logits=logits,
                from_ns=self._window[0].from_ns,
                newest_ns=newest.from_ns,
                to_ns=newest.to_ns,
                wall_ns=newest.wall_ns,
                frames=len(self._window) * self._spec.frames,
                dropped=sum(segment.dropped for segment in self._window),
                received_ns=newest.received_ns,
                ready_ns=newest.ready_ns,
                taken_ns=taken_ns,
                scored_ns=time.monotonic_ns(),
            )
        )

    def _forget(self) -> None:
        self._ring.clear()
        self._window.clear()
        self._since, self._missed, self._classified = 0, 0, False


class Scheduler:
    """The runtime thread."""

    def __init__(self, runtime: Runtime, spec: InputSpec, failed: Callable[[BaseException], None]) -> None:
        self._runtime, self._spec, self._failed = runtime, spec, failed
        self._lanes: deque[Lane] = deque()  # the one whose turn comes next is in front
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="runtime")

    def lane(self, hop: int, scored: Callable[[Scores], None], broken: Callable[[EndReason], None]) -> Lane:
        """A place for one camera. `scored` and `broken` are called on the runtime thread."""
        lane = Lane(self._runtime, self._spec, hop, scored, broken)
        with self._changed:
            self._lanes.append(lane)
        return lane

    def submit(self, lane: Lane, item: Segment | EndReason) -> None:
        """A segment to compute, or a break in the stream. Never blocks."""
        with self._changed:
            lane.put(item)
            self._changed.notify()

    def start(self) -> None:
        self._thread.start()

    def stop(self, drop: bool) -> None:
        """Ends the thread when nothing waits. `drop`: segments that wait are given up; breaks are told in any case."""
        with self._changed:
            self._stopping = True
            for lane in self._lanes if drop else ():
                lane.waiting = [item for item in lane.waiting if isinstance(item, str)]
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (turn := self._next()) is not None:
                lane, items = turn
                lane.turn(items)
        except BaseException as error:  # the thread must not die unseen: the daemon stops and says why
            log.exception("runtime thread failed")
            self._failed(error)

    def _next(self) -> tuple[Lane, list[Segment | EndReason]] | None:
        """The next lane with work, and its work; None when stopping and all is done."""
        with self._changed:
            while True:
                for _ in range(len(self._lanes)):
                    lane = self._lanes[0]
                    self._lanes.rotate(-1)
                    if lane.waiting:
                        items, lane.waiting = lane.waiting, []
                        return lane, items
                if self._stopping:
                    return None
                self._changed.wait()
