"""The queue, the window and the hops of one camera, or of one of its zones, at its runtime."""

import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_tdn.inference.backlog import Backlog
from edge_tdn.inference.clip_sink import ClipSink
from edge_tdn.inference.clip_window import ClipWindow
from edge_tdn.inference.engine import Engine
from edge_tdn.inference.pace import HopCounter, Pace
from edge_tdn.inference.runtime import Ring
from edge_tdn.messages import NS_PER_S, EndReason, Scores, Segment


class Lane:
    """Turns the segments of one camera or zone into clips, and hands their scores to `sink`, which it holds weakly.

    `backlog` and `served_ns` are guarded by the lock of the `LaneQueue`; everything else belongs to the runtime thread.
    Any thread may read `engine`, `segments`, the counters and `pace.trouble`.
    """

    def __init__(self, engine: Engine, hop: int, sink: ClipSink, clock: Callable[[], int] = time.monotonic_ns) -> None:
        spec = engine.spec
        self.engine = engine
        self.segment_ns = round(spec.segment_s * NS_PER_S)
        self.served_ns = 0  # stream time that its turns count for: see `LaneQueue.next_turn`
        self.backlog = Backlog(spec.segments)
        self.window = ClipWindow(engine.runtime.ring(), spec.segments)
        self.hops = HopCounter(hop)
        self.pace = Pace(hop, spec)
        self.gated = 0  # clips of a still scene, whose scores were repeated
        self._sink = weakref.ref(sink)
        self._clock = clock
        self._waited_ns = 0  # how long the oldest segment of the last turn had waited

    @property
    def ring(self) -> Ring:
        """The features of the window."""
        return self.window.ring

    def segments(self) -> list[Segment]:
        """Return the segments of the next clip, oldest first."""
        return self.window.segments()

    @property
    def achieved_hop(self) -> int:
        """Segments between the last two clips."""
        return self.hops.achieved

    @property
    def shed(self) -> int:
        """Segments that got no clip of their own because the host was too slow."""
        return self.backlog.dropped + self.hops.grown

    @property
    def resting(self) -> bool:
        """Computing the backlog costs no inference: the scene is still."""
        return self.window.still_logits is not None and self.backlog.still

    @property
    def due(self) -> bool:
        """The window is a clip that has to be classified."""
        return self.ring.full and self.hops.due

    def take(self, segments: Sequence[Segment], taken_ns: int) -> None:
        """Append segments to the window. A clip that is due while the scene is still gets its scores at once."""
        for segment in segments[:1]:
            self._waited_ns = taken_ns - segment.ready_ns
        for segment in segments:
            self._follow(segment)
            self.window.append(segment)
            self.hops.segment()
        if self.window.still_logits is not None and self.due:
            self.gated += 1
            self.report(self.window.still_logits, taken_ns, repeated=True)

    def report(self, logits: NDArray[np.float32], taken_ns: int, repeated: bool = False) -> None:
        """Hand over the scores of the window's clip. logits [classes]; `repeated`: those of the previous clip."""
        hop = self.hops.clip()
        if hop is not None:
            self.pace.push(hop, self._waited_ns)
        self.window.keep_if_still(logits)
        segments = self.window.segments()
        newest = segments[-1]
        scores = Scores(
            logits=logits,
            from_ns=segments[0].from_ns,
            newest_ns=newest.from_ns,
            to_ns=newest.to_ns,
            wall_ns=newest.wall_ns,
            frames=len(segments) * self.engine.spec.frames,
            dropped=sum(segment.dropped for segment in segments),
            received_ns=newest.received_ns,
            ready_ns=newest.ready_ns,
            taken_ns=taken_ns,
            scored_ns=self._clock(),
            repeated=repeated,
        )
        if sink := self._sink():
            sink.scored(scores)

    def move_to(self, engine: Engine, ring: Ring) -> None:
        """Continue with another runtime for the same input, in whose `ring` the window's segments are already."""
        self.engine = engine
        self.window.move_to(ring)

    def break_off(self, reason: EndReason) -> None:
        """End the run: the stream broke behind what was taken."""
        self._begin_run()
        if sink := self._sink():
            sink.broken(reason)

    def _follow(self, segment: Segment) -> None:
        """Empty the window at a jump in the grid: no clip spans one."""
        before = self.window.newest
        missed = segment.index - before.index - 1 if before is not None else 0
        if missed < 0:  # the grid began again
            self._begin_run()
        elif missed:  # dropped in the backlog
            self.window.clear()
            self.hops.skip(missed)

    def _begin_run(self) -> None:
        self.window.clear()
        self.pace.clear()
        self.hops.begin_run()
