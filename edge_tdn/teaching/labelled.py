"""An action that was recognised, cut out of its recording as a clip to learn from."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.capture.video_file import read_file
from edge_tdn.capture.zone_view import seen_in
from edge_tdn.errors import EdgeTdnError
from edge_tdn.media.outline import Outline
from edge_tdn.messages import NS_PER_S, Frame
from edge_tdn.teaching.clip_cutter import REMEDY, ClipWriter

MIN_SHARE = 0.9  # of the frame rate that the model reads
LENGTH_TOLERANCE_S = 0.5


@dataclass(frozen=True)
class RecordedAction:
    """An action, and how its recording was to be made."""

    seconds: float  # from its start to its end
    pre_roll_s: float
    post_roll_s: float  # 0: the stream broke
    max_clip_s: float

    def within(self, length_s: float) -> tuple[float, float]:
        """Return from when to when a recording of this length shows the action for certain.

        A recording is shorter than it was to be if the stream began, or broke, close to the action.
        """
        cut_short = self.pre_roll_s + self.seconds + self.post_roll_s > self.max_clip_s - LENGTH_TOLERANCE_S
        end_s = length_s if cut_short else length_s - self.post_roll_s
        return self.pre_roll_s, min(self.pre_roll_s + self.seconds, end_s)


def widened(span_s: tuple[float, float], seconds: float, length_s: float) -> tuple[float, float]:
    """Return a span with as much around it as makes it `seconds` long, as far as a recording of this length has it.

    A model sees more than a brief action, and a training repeats a clip that is too short for it.
    """
    start_s, end_s = span_s
    around_s = max(0.0, seconds - (end_s - start_s)) / 2
    start_s, end_s = start_s - around_s, end_s + around_s
    shift_s = max(0.0, -start_s) - max(0.0, end_s - length_s)
    return max(0.0, start_s + shift_s), min(length_s, end_s + shift_s)


def cut_action(
    video: Path,
    outline: Outline | None,
    span_s: tuple[float, float],
    clip: Path,
    min_rate: float,
    remedy: str = REMEDY,
    stop: threading.Event | None = None,
) -> Path:
    """Write the part of a video from one time to another as a clip, and return that.

    `outline`: of the zone that the clip is to show, None: the whole picture. `min_rate`: frames per second that the
    model reads. EdgeTdnError: the video cannot be read, or has fewer frames; the clip cannot be written; or `stop` was
    set meanwhile.
    """
    writer: ClipWriter | None = None
    times: list[int] = []
    try:
        with closing(read_file(video)) as frames:  # type: ignore[type-var]
            part = _between(frames, span_s, stop)
            for frame in seen_in(outline, part) if outline else part:
                writer = writer or ClipWriter(clip, frame, remedy)
                writer.write(frame)
                times.append(frame.pts_ns)
        rate = (len(times) - 1) * NS_PER_S / (times[-1] - times[0]) if len(times) > 1 else 0.0
        if writer is None or rate < MIN_SHARE * min_rate:
            raise EdgeTdnError(
                f"{video.name} has only {rate:.1f} frames a second here, and the model reads {min_rate:g}; "
                "raise record.memory_mb, then label later actions"
            )
        return writer.keep()
    finally:
        if writer:
            writer.discard()


def _between(frames: Iterator[Frame], span_s: tuple[float, float], stop: threading.Event | None) -> Iterator[Frame]:
    """Yield the frames from one time to another, counted from the first frame. EdgeTdnError: `stop` was set."""
    first_ns: int | None = None
    for frame in frames:
        if stop and stop.is_set():
            raise EdgeTdnError("stopped before the clip was complete")
        first_ns = frame.pts_ns if first_ns is None else first_ns
        at_s = (frame.pts_ns - first_ns) / NS_PER_S
        if at_s > span_s[1]:
            return
        if at_s >= span_s[0]:
            yield frame
