"""Frames of any rate -> segments on a fixed grid at the model's rate. A segment never spans a gap.

Tick n of a stretch lies n / frame_rate after its first frame and takes the frame nearest to it in time. Segment k is
the five ticks from `segment_stride // 2 + k * segment_stride` on: for a video of T * segment_stride + 4 frames at the
model's rate these are the frames that the published sampling takes (`int(tick / 2 + tick * i)`, tick = (N - 4) / T).
For an ensemble a segment holds those of all its networks: the same rule for each, with its own T and stride.
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

ROUNDING = 1e-3  # ticks: a PTS rounded to its clock's grain still counts as on time


@dataclass(frozen=True, eq=False)
class _Tick:
    picture: Picture  # [H, W, 3], the model's size
    repeated: bool  # the tick before has the same frame


class Window:
    """One camera's frames -> Segments. Used by one thread.

    `resize`: another than the spec's own, to compare with. `gate`: tells still segments; without one none is still.
    """

    def __init__(
        self,
        spec: InputSpec,
        max_gap_s: float,
        clock: Callable[[], int] = time.monotonic_ns,
        resize: Callable[[Picture], Picture] | None = None,
        gate: MotionGate | None = None,
    ) -> None:
        self._spec = spec
        self._max_gap_ns = int(max_gap_s * NS_PER_S)
        self._clock = clock
        self._resize = resize
        self._preprocessor = Preprocessor(spec)
        self._gate = gate
        self._moved = 0  # the last tick at which something moved
        self._first = min(spec.starts)  # of the ticks that a segment looks at, from its beginning on
        self._span = spec.span
        self._starts = [start - self._first for start in spec.starts]
        self._ticks: deque[_Tick] = deque(maxlen=self._span)
        self._origin_ns = 0
        self._tick = 0  # the next one to fill
        self._before: Frame | None = None  # the last frame that came
        self._chosen: Frame | None = None  # the last frame that a tick took
        self._resized: tuple[Frame, Picture] | None = None  # the last frame that was resized, and what came of it
        self._index = 0  # of the next segment
        self.stretches = 0  # unbroken stretches begun so far
        self.repeated = 0  # ticks that took the frame of the tick before

    def push(self, frame: Frame) -> list[Segment]:
        """The segments that this frame completes: mostly none, sometimes one, after a short pause several."""
        if self._breaks(frame):
            self._begin(frame)
        position = self._position(frame)
        segments = []
        while self._tick <= position + ROUNDING:
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

    def _begin(self, frame: Frame) -> None:
        self.stretches += 1
        self._ticks.clear()
        self._origin_ns, self._tick, self._index, self._moved = frame.pts_ns, 0, 0, 0
        self._before = self._chosen = self._resized = None

    def _position(self, frame: Frame) -> float:
        """Where the frame lies on the grid, in ticks."""
        return (frame.pts_ns - self._origin_ns) * self._spec.frame_rate / NS_PER_S

    def _nearest(self, frame: Frame, position: float) -> Frame:
        before = self._before
        if before is not None and self._tick - self._position(before) < position - self._tick:
            return before
        return frame

    def _fill(self, chosen: Frame, newest: Frame) -> Segment | None:
        tick, self._tick = self._tick, self._tick + 1
        repeated = chosen is self._chosen
        self._chosen = chosen
        self.repeated += repeated
        if self._gate is None or (not repeated and self._gate.moved(chosen.decoded.luma)):
            self._moved = tick
        first = self._first + self._index * self._spec.segment_stride
        if tick < first:  # before the first segment, or between two of them: nobody looks at it
            return None
        if self._resized is None or self._resized[0] is not chosen:
            self._resized = (chosen, self._fit(chosen))
        self._ticks.append(_Tick(self._resized[1], repeated))
        last = first + self._span - 1
        return self._complete(first, last, newest) if tick == last else None

    def _fit(self, frame: Frame) -> Picture:
        """[H, W, 3], the model's size."""
        return self._resize(frame.picture) if self._resize else self._preprocessor.decoded(frame.decoded)

    def _complete(self, first: int, last: int, newest: Frame) -> Segment:
        to_ns = self._time(last)
        seen = tuple(self._ticks)
        ticks = [tick for start in self._starts for tick in seen[start : start + FRAMES_PER_SEGMENT]]
        segment = Segment(
            frames=np.stack([tick.picture for tick in ticks]),
            index=self._index,
            from_ns=self._time(first),
            to_ns=to_ns,
            received_ns=newest.received_ns,
            ready_ns=self._clock(),
            wall_ns=newest.wall_ns - (newest.pts_ns - to_ns),
            dropped=sum(tick.repeated for tick in ticks),
            still=self._moved < min(first, first - self._spec.segment_stride + self._span),
        )
        self._index += 1
        return segment

    def _time(self, tick: int) -> int:
        """PTS of a tick."""
        return self._origin_ns + round(tick * NS_PER_S / self._spec.frame_rate)
