"""Frames of any rate -> segments on a fixed grid at the model's rate. A segment never spans a gap.

Tick n of a run (an unbroken part of a stream) is n / frame_rate after its first frame and takes the frame nearest to it
in time. Segment k is the five ticks from `segment_stride // 2 + k * segment_stride` on: for a video of
T * segment_stride + 4 frames at the model's rate these are the frames that the published sampling takes
(`int(tick / 2 + tick * i)`, tick = (N - 4) / T). A segment of an ensemble contains those of all its networks: the same
rule for each, with its own T and stride.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Frame, Picture, Segment
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.preprocess import Preprocessor

ROUNDING = 1e-3  # ticks: a PTS that is rounded to its clock's resolution is still on time


class _Grid:
    """The ticks of a run, as the model's input requires them."""

    def __init__(self, spec: InputSpec) -> None:
        self.rate = spec.frame_rate  # ticks a second
        self.stride = spec.segment_stride  # ticks from one segment to the next
        self.first = min(spec.starts)  # the first tick of segment 0
        self.span = spec.span  # ticks from a segment's first to its last
        self.starts = [start - self.first for start in spec.starts]  # of each network's five ticks in a segment


@dataclass(frozen=True, eq=False)
class _Tick:
    """One filled tick."""

    picture: Picture  # [H, W, 3], the model's size
    repeated: bool  # the tick before has the same frame


class _Run:
    """The state of one run."""

    def __init__(self, origin_ns: int, grid: _Grid) -> None:
        self.origin_ns = origin_ns  # PTS of tick 0
        self.ticks: deque[_Tick] = deque(maxlen=grid.span)  # the last filled ones
        self.tick = 0  # the next one to fill
        self.index = 0  # of the next segment
        self.moved = 0  # the last tick at which something moved
        self.chosen: Frame | None = None  # the last frame that a tick took
        self.resized: tuple[Frame, Picture] | None = None  # the last frame that was resized, and its picture

    def pts_ns(self, tick: int, grid: _Grid) -> int:
        """Return the PTS of a tick."""
        return self.origin_ns + round(tick * NS_PER_S / grid.rate)


class Window:
    """One camera's frames -> Segments. Used by one thread.

    `resize`: replaces the spec's own resizing, for comparisons. `gate`: marks still segments; without one, none is.
    """

    def __init__(
        self,
        spec: InputSpec,
        max_gap_s: float,
        clock: Callable[[], int] = time.monotonic_ns,
        resize: Callable[[Picture], Picture] | None = None,
        gate: MotionGate | None = None,
    ) -> None:
        self.runs = 0  # runs begun so far
        self.repeated = 0  # ticks that took the frame of the tick before
        self._grid = _Grid(spec)
        self._max_gap_ns = int(max_gap_s * NS_PER_S)
        self._clock = clock
        self._resize = resize
        self._preprocessor = Preprocessor(spec)
        self._gate = gate
        self._before: Frame | None = None  # the last frame
        self._run = _Run(0, self._grid)  # replaced with the first frame

    @property
    def frame_rate(self) -> float:
        """The frames per second that the model expects."""
        return self._grid.rate

    def push(self, frame: Frame) -> list[Segment]:
        """Return the segments that this frame completes: mostly none, sometimes one, after a short pause several."""
        if self._breaks(frame):
            self.runs += 1
            self._run, self._before = _Run(frame.pts_ns, self._grid), None
        position = self._position(frame)
        segments = []
        while self._run.tick <= position + ROUNDING:
            segment = self._fill(self._nearest(frame, position), frame)
            if segment:
                segments.append(segment)
        self._before = frame
        return segments

    def _breaks(self, frame: Frame) -> bool:
        before = self._before
        if before is None or frame.stream != before.stream:
            return True
        return not 0 <= frame.pts_ns - before.pts_ns <= self._max_gap_ns

    def _position(self, frame: Frame) -> float:
        """Return where the frame is on the grid, in ticks."""
        return (frame.pts_ns - self._run.origin_ns) * self._grid.rate / NS_PER_S

    def _nearest(self, frame: Frame, position: float) -> Frame:
        before, tick = self._before, self._run.tick
        if before is not None and tick - self._position(before) < position - tick:
            return before
        return frame

    def _fill(self, chosen: Frame, newest: Frame) -> Segment | None:
        """Give a frame to the next tick, and return the segment that is then complete."""
        run = self._run
        tick, run.tick = run.tick, run.tick + 1
        repeated = chosen is run.chosen
        run.chosen = chosen
        self.repeated += repeated
        if self._gate is None or (not repeated and self._gate.moved(chosen.decoded.luma)):
            run.moved = tick
        first = self._grid.first + run.index * self._grid.stride
        if tick < first:  # before the first segment, or between two: no segment contains it
            return None
        if run.resized is None or run.resized[0] is not chosen:
            run.resized = (chosen, self._fit(chosen))
        run.ticks.append(_Tick(run.resized[1], repeated))
        if tick < first + self._grid.span - 1:
            return None
        segment = self._complete(first, tick, newest)
        run.index += 1
        return segment

    def _fit(self, frame: Frame) -> Picture:
        """Return the frame's picture, [H, W, 3], in the model's size."""
        return self._resize(frame.picture) if self._resize else self._preprocessor.decoded(frame.decoded)

    def _complete(self, first: int, last: int, newest: Frame) -> Segment:
        """Return the segment from the tick `first` to the tick `last`."""
        grid, run = self._grid, self._run
        to_ns = run.pts_ns(last, grid)
        filled = tuple(run.ticks)
        ticks = [tick for start in grid.starts for tick in filled[start : start + FRAMES_PER_SEGMENT]]
        return Segment(
            frames=np.stack([tick.picture for tick in ticks]),
            index=run.index,
            from_ns=run.pts_ns(first, grid),
            to_ns=to_ns,
            received_ns=newest.received_ns,
            ready_ns=self._clock(),
            wall_ns=newest.wall_ns - (newest.pts_ns - to_ns),
            dropped=sum(tick.repeated for tick in ticks),
            still=run.moved < min(first, first - grid.stride + grid.span),
        )
