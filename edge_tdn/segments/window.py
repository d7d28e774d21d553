"""Frames of any rate -> segments on a fixed grid at the model's rate. A segment never spans a gap.

Tick n of a run (an unbroken part of a stream) is n / frame_rate after its first frame and takes the frame nearest to it
in time. Segment k is the five ticks from `segment_stride // 2 + k * segment_stride` on: for a video of
T * segment_stride + 4 frames at the model's rate these are the frames that the published sampling takes
(`int(tick / 2 + tick * i)`, tick = (N - 4) / T). A segment of an ensemble contains those of all its networks: the same
rule for each, with its own T and stride.

Where the view follows what moves (follow.py), the window keeps the pictures of a whole clip as the zone shows them.
When the view changes, the last T segments are returned once more, cut to the new view, with the indices that they had.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_tdn.config.checks import Region
from edge_tdn.config.zone_tables import WHOLE
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Frame, Picture, Segment
from edge_tdn.segments.follow import Follower
from edge_tdn.segments.motion_gate import MotionGate
from edge_tdn.segments.preprocess import Preprocessor

ROUNDING = 1e-3  # ticks: a PTS that is rounded to its clock's resolution is still on time
KEPT_SIDE = 4  # times the model's: the longer side, at most, of the pictures that are kept to be cut again


class _Grid:
    """The ticks of a run, as the model's input requires them."""

    def __init__(self, spec: InputSpec) -> None:
        self.rate = spec.frame_rate  # ticks a second
        self.stride = spec.segment_stride  # ticks from one segment to the next
        self.first = min(spec.starts)  # the first tick of segment 0
        self.span = spec.span  # ticks from a segment's first to its last
        self.starts = [start - self.first for start in spec.starts]  # of each network's five ticks in a segment
        self.segments = spec.segments  # T
        self.side = max(spec.height, spec.width)  # pixels
        self.step = min(self.stride, self.span)  # filled ticks that a segment adds to those of the one before
        self.filled = self.span + (self.segments - 1) * self.step  # filled ticks of a clip
        self.clip = self.span + (self.segments - 1) * self.stride  # ticks of a clip


@dataclass(frozen=True, eq=False)
class _Tick:
    """One filled tick."""

    picture: Picture  # [H, W, 3], the model's size; or the whole zone, if the view follows what moves
    repeated: bool  # the tick before has the same frame


class _Run:
    """The state of one run."""

    def __init__(self, origin_ns: int, grid: _Grid, follows: bool) -> None:
        self.origin_ns = origin_ns  # PTS of tick 0
        self.ticks: deque[_Tick] = deque(maxlen=grid.filled if follows else grid.span)  # the last filled ones
        self.segments: deque[Segment] = deque(maxlen=grid.segments)  # the last ones, if the view follows what moves
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
    `follow`: the view follows what moves.
    """

    def __init__(
        self,
        spec: InputSpec,
        max_gap_s: float,
        clock: Callable[[], int] = time.monotonic_ns,
        resize: Callable[[Picture], Picture] | None = None,
        gate: MotionGate | None = None,
        follow: bool = False,
    ) -> None:
        self.runs = 0  # runs begun so far
        self.repeated = 0  # ticks that took the frame of the tick before
        self._grid = _Grid(spec)
        self._max_gap_ns = int(max_gap_s * NS_PER_S)
        self._clock = clock
        self._resize = resize
        self._preprocessor = Preprocessor(spec)
        self._marks_still = gate is not None
        self._gate = gate or (MotionGate() if follow else None)
        self._follower = Follower(self._grid.clip) if follow else None
        self._before: Frame | None = None  # the last frame
        self._run = _Run(0, self._grid, follow)  # replaced with the first frame

    @property
    def frame_rate(self) -> float:
        """The frames per second that the model expects."""
        return self._grid.rate

    @property
    def view(self) -> Region:
        """The part of the zone that the network sees, in shares of it: left, top, width and height."""
        return self._follower.view if self._follower else WHOLE

    def push(self, frame: Frame) -> list[Segment]:
        """Return the segments that this frame completes: mostly none, sometimes one, after a short pause several.

        Where the view has changed, they are the last T, cut again, with the indices that they had.
        """
        if self._breaks(frame):
            self.runs += 1
            self._run, self._before = _Run(frame.pts_ns, self._grid, self._follower is not None), None
            if self._follower:
                self._follower.begin_run()
        position = self._position(frame)
        segments: list[Segment] = []
        while self._run.tick <= position + ROUNDING:
            segments += self._fill(self._nearest(frame, position), frame)
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

    def _fill(self, chosen: Frame, newest: Frame) -> list[Segment]:
        """Give a frame to the next tick, and return the segment that is then complete, or the last T, cut again."""
        run = self._run
        tick, run.tick = run.tick, run.tick + 1
        repeated = chosen is run.chosen
        run.chosen = chosen
        self.repeated += repeated
        if (not repeated and self._gate and self._gate.moved(chosen.decoded.luma)) or not self._marks_still:
            run.moved = tick
        if self._follower and self._gate:
            self._follower.tick(None if repeated or tick == 0 else self._gate.moving)
        first = self._grid.first + run.index * self._grid.stride
        if tick < first:  # before the first segment, or between two: no segment contains it
            return []
        if run.resized is None or run.resized[0] is not chosen:
            run.resized = (chosen, self._fit(chosen))
        run.ticks.append(_Tick(run.resized[1], repeated))
        if tick < first + self._grid.span - 1:
            return []
        view_changed = self._follower is not None and self._follower.choose()
        segment = self._complete(first, tick, newest)
        run.index += 1
        if self._follower:
            run.segments.append(segment)
        return self._cut_again() if view_changed else [segment]

    def _fit(self, frame: Frame) -> Picture:
        """Return the frame's picture as the ticks keep it, [H, W, 3]."""
        if self._follower:
            return self._kept(frame.picture)
        return self._resize(frame.picture) if self._resize else self._preprocessor.decoded(frame.decoded)

    def _kept(self, picture: Picture) -> Picture:
        """Return a picture of the zone, large enough for the smallest view."""
        height, width = picture.shape[:2]
        scale = KEPT_SIDE * self._grid.side / max(height, width)
        if scale >= 1:
            return picture
        size = round(width * scale), round(height * scale)
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    def _seen(self, kept: Picture) -> Picture:
        """Return what the network sees of a kept picture, [H, W, 3], in the model's size."""
        return self._preprocessor(self._follower.cut(kept)) if self._follower else kept

    def _frames(self, filled: Sequence[_Tick]) -> NDArray[np.uint8]:
        """Return the frames of the segment of these ticks, as in `Segment`."""
        return np.stack([self._seen(tick.picture) for tick in self._ticks(filled)])

    def _ticks(self, filled: Sequence[_Tick]) -> list[_Tick]:
        """Return the five ticks of each network in a segment."""
        return [tick for start in self._grid.starts for tick in filled[start : start + FRAMES_PER_SEGMENT]]

    def _cut_again(self) -> list[Segment]:
        """Return the last segments, as the view shows them now."""
        grid, run = self._grid, self._run
        filled, count = tuple(run.ticks), len(run.segments)
        ends = [len(filled) - (count - 1 - number) * grid.step for number in range(count)]
        parts = zip(run.segments, ends, strict=True)
        now = self._clock()
        return [replace(one, frames=self._frames(filled[end - grid.span : end]), ready_ns=now) for one, end in parts]

    def _complete(self, first: int, last: int, newest: Frame) -> Segment:
        """Return the segment from the tick `first` to the tick `last`."""
        grid, run = self._grid, self._run
        to_ns = run.pts_ns(last, grid)
        filled = tuple(run.ticks)[-grid.span :]
        return Segment(
            frames=self._frames(filled),
            index=run.index,
            from_ns=run.pts_ns(first, grid),
            to_ns=to_ns,
            received_ns=newest.received_ns,
            ready_ns=self._clock(),
            wall_ns=newest.wall_ns - (newest.pts_ns - to_ns),
            dropped=sum(tick.repeated for tick in self._ticks(filled)),
            still=run.moved < min(first, first - grid.stride + grid.span),
        )
