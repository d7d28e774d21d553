"""Cut clips of equal length from the frames of a camera, with a countdown before each.

The pictures come from the same source as the daemon's, and keep their times. A clip that is interrupted by a stop or a
lost connection is deleted, and recorded again. All clips of one call are of one recording, by their names and
`dataset.toml`, so that none of them is evaluated on while others are trained on.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np

from edge_tdn.errors import EdgeTdnError, SourceError
from edge_tdn.media.video_writer import LIVE_ENCODERS, VideoWriter
from edge_tdn.messages import NS_PER_S, Frame, Rgbx

FINISH_TIMEOUT_S = 30.0  # for a slow disk to complete a clip
MAX_GAPS = 5  # that interrupt the same clip before the recording ends with an error
SCRATCH_SUFFIX = ".part"
REMEDY = "free some disk space, or choose another folder with --out"


@dataclass(frozen=True)
class CutProgress:
    """The current activity, and how far it is."""

    number: int  # of the clip, from 1
    count: int  # of all clips
    phase: Literal["ready", "recording"]  # ready: the countdown before the clip
    left_s: float  # seconds until the phase ends
    share: float  # of the phase that is done, 0 to 1

    @property
    def text(self) -> str:
        """The activity in a line."""
        doing = "recording" if self.phase == "recording" else f"get ready, {ceil(self.left_s)}"
        return f"{_name(self.number, self.count)}: {doing}"


Report = Callable[[CutProgress], None]


@dataclass(frozen=True)
class RecordingPlan:
    """The clips to record."""

    folder: Path  # of the class
    session: str  # start of the names of all clips
    count: int
    seconds: float  # of each clip
    pause: float  # seconds before each
    max_gap_s: float  # seconds between two frames above which a clip is recorded again
    first: int = 1  # number in the name of the first clip
    remedy: str = REMEDY  # where a clip cannot be written

    def clip(self, number: int) -> Path:
        """Return the path of clip `number`, from 1."""
        return clip_path(self.folder, self.session, self.first + number - 1)

    def remove_unfinished(self) -> None:
        """Delete the files of clips that were not completed."""
        for path in self.folder.glob(f".{self.session}-*{SCRATCH_SUFFIX}"):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def clip_path(folder: Path, session: str, number: int) -> Path:
    """Return the path of a clip in the folder of its class. `session`: start of the names of all clips of one call."""
    return folder / f"{session}-{number:03}.mp4"


def cut_clips(
    frames: Iterator[Frame],
    plan: RecordingPlan,
    report: Report = lambda progress: None,
    ring: Callable[[], object] = lambda: None,
) -> Iterator[Path]:
    """Yield each clip when its file is complete; return early when the frames end.

    `report` is called with every frame, `ring` at the start and end of a clip that follows a countdown. EdgeTdnError: a
    clip cannot be written. SourceError: gaps interrupt the same clip MAX_GAPS times.
    """
    number, from_ns = 1, 0
    gaps = _Gaps(plan.max_gap_s)
    clip: ClipWriter | None = None
    if not plan.pause:
        ring = lambda: None  # noqa: E731
    try:
        for frame in frames:
            if gaps.begins_run(frame, _name(number, plan.count)):
                if clip:
                    clip.discard()
                clip = None
                from_ns = frame.pts_ns + round(plan.pause * NS_PER_S)
            if frame.pts_ns < from_ns:
                left_s = (from_ns - frame.pts_ns) / NS_PER_S
                report(CutProgress(number, plan.count, "ready", left_s, 1 - left_s / plan.pause))
                continue
            if clip is None:
                clip = ClipWriter(plan.clip(number), frame, plan.remedy)
                ring()
            clip.write(frame)
            done_s = (frame.pts_ns - clip.from_ns) / NS_PER_S
            left_s, share = max(0.0, plan.seconds - done_s), min(1.0, done_s / plan.seconds)
            report(CutProgress(number, plan.count, "recording", left_s, share))
            if done_s < plan.seconds:
                continue
            ring()
            yield clip.keep()
            clip = None
            gaps.reset()
            if number == plan.count:
                return
            number, from_ns = number + 1, frame.pts_ns + round(plan.pause * NS_PER_S)
    finally:
        if clip:
            clip.discard()
        plan.remove_unfinished()  # a stop may come before `clip` is assigned


class _Gaps:
    """Finds the gaps in a stream, and counts them for each clip."""

    def __init__(self, max_gap_s: float) -> None:
        self._max_gap_s = max_gap_s
        self._last: Frame | None = None  # the last frame
        self.reset()

    def reset(self) -> None:
        """Count again: the clip is complete, or the connection is another one."""
        self._count = self._frames = self._span_ns = 0  # gaps; frames and the time from the first to the last of them

    def begins_run(self, frame: Frame, name: str) -> bool:
        """Return whether the frame is the first of a run. SourceError: gaps interrupt clip `name` again and again."""
        before, self._last = self._last, frame
        if before is None or frame.stream != before.stream:
            self.reset()
            return True
        distance_ns = frame.pts_ns - before.pts_ns
        self._frames, self._span_ns = self._frames + 1, self._span_ns + distance_ns
        if distance_ns <= self._max_gap_s * NS_PER_S:
            return False
        self._count += 1
        if self._count == MAX_GAPS:
            rate = self._frames * NS_PER_S / self._span_ns
            raise SourceError(
                f"{name}: interrupted {MAX_GAPS} times by more than {self._max_gap_s:g} s between two frames; the "
                f"camera sends {rate:.1f} frames a second: raise its frame rate, check the network, or set its "
                f"max_gap_s in a configuration (--config)",
                "stalled",
            )
        return True


class ClipWriter:
    """A video file that gets its name when it is complete. Used by one thread, which calls `discard` in any case."""

    def __init__(self, path: Path, first: Frame, remedy: str = REMEDY) -> None:
        """`first`: the first frame, which is not written yet. `remedy`: ends the text of an error."""
        self._path, self.from_ns, self._remedy = path, first.pts_ns, remedy
        self._scratch = path.with_name(f".{path.name}{SCRATCH_SUFFIX}")
        self._writer = VideoWriter(self._scratch, LIVE_ENCODERS)
        self._rgbx: Rgbx = np.empty((*first.decoded.size, 4), np.uint8)

    def write(self, frame: Frame) -> None:
        """Append a frame. EdgeTdnError: the file cannot be written."""
        frame.decoded.rgbx(self._rgbx)
        with self._reported():
            self._writer.write(self._rgbx, frame.pts_ns - self.from_ns)

    def keep(self) -> Path:
        """Complete the file, and return its path. EdgeTdnError: it cannot be written."""
        try:
            with self._reported():
                self._writer.finish(FINISH_TIMEOUT_S)
                with self._scratch.open("rb") as file:
                    os.fsync(file.fileno())  # before the name: a power cut must not leave an empty file under it
                return self._scratch.replace(self._path)
        finally:
            self.discard()

    def discard(self) -> None:
        """Stop the encoder, and delete the file unless it is complete."""
        self._writer.close()
        with suppress(OSError):
            self._scratch.unlink(missing_ok=True)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise errors under the name of the clip, with what to do."""
        try:
            yield
        except (EdgeTdnError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{self._scratch}: ")
            raise EdgeTdnError(f"{self._path}: {reason}; {self._remedy}") from error


def _name(number: int, count: int) -> str:
    return f"clip {number} of {count}"
