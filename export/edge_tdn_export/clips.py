"""Clips cut from real video exactly as the live path cuts them: the same decoder, window and preprocessing."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import ModelError, SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, Picture, Segment
from edge_tdn.segments.window import Window

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm")
MAX_SEGMENTS = 2000  # of all videos together; at 224x224 they take 1.5 GB
Decoder = Literal["auto", "gstreamer", "opencv"]
Resize = Callable[[Picture], Picture]
MAX_GAP_S = 0.5  # the default of a camera's max_gap_s


@dataclass(frozen=True, eq=False)
class Recording:
    """One unbroken run of a video, as segments on the model's grid; at least one clip long."""

    name: str
    path: Path
    segments: tuple[Segment, ...]

    def clip(self, last: int, spec: InputSpec) -> NDArray[np.uint8]:
        """Return the clip that ends with segment number `last`: uint8 RGB [T, InputSpec.frames, H, W, 3]."""
        return np.stack([segment.frames for segment in self.segments[last + 1 - spec.segments : last + 1]])

    def lasts(self, spec: InputSpec, hop: int = 1) -> range:
        """Return the numbers of the last segments of its clips, `hop` segments apart."""
        return range(spec.segments - 1, len(self.segments), hop)

    def seconds(self, last: int) -> float:
        """Return the time in the video at which the clip ends, in seconds."""
        return self.segments[last].to_ns / NS_PER_S


@dataclass(frozen=True)
class Clips:
    """The recordings that a folder of videos gave."""

    recordings: tuple[Recording, ...]
    skipped: tuple[str, ...]  # one reason for each video without a clip


def read_clips(
    folder: Path, spec: InputSpec, step: Callable[[str], None] = lambda _: None, max_segments: int = MAX_SEGMENTS
) -> Clips:
    """Read the videos below `folder`, in the order of their names, up to `max_segments` segments together.

    Long videos are read from their beginning. Where there are more videos than can give one clip each, evenly spaced
    ones are read. ModelError: the folder does not exist, holds no video, or none gives a clip.
    """
    videos = find_videos(folder)
    each = max(spec.segments, max_segments // len(videos))  # segments of a video: at least one clip
    videos = videos[:: -(-len(videos) * each // max_segments)]
    recordings: list[Recording] = []
    skipped: list[str] = []
    for video in videos:
        step(video.name)
        try:
            runs = _runs(video, spec, each)
        except SourceError as error:
            skipped.append(str(error))
            continue
        name = video.relative_to(folder).as_posix() if video != folder else video.name
        recordings += [Recording(name, video, tuple(run)) for run in runs]
        if not runs:
            skipped.append(f"{video}: too short, a clip of this model spans {spec.ticks / spec.frame_rate:.1f} s")
    if not recordings:
        raise ModelError("\n".join([f"{folder}: not one clip in {len(videos)} video(s):", *skipped]))
    return Clips(tuple(recordings), tuple(skipped))


def find_videos(folder: Path) -> list[Path]:
    """Return the video files below a folder, sorted, or `folder` itself if it is a file. ModelError: there is none."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder of videos")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not videos:
        raise ModelError(f"{folder}: no video in it; looked for {', '.join(SUFFIXES)}")
    return videos


def slide(video: Path, spec: InputSpec) -> Iterator[tuple[Segment, ...]]:
    """Yield every clip of a video, one per segment, holding one at a time. SourceError: it cannot be played."""
    window = Window(spec, MAX_GAP_S)
    newest: deque[Segment] = deque(maxlen=spec.segments)
    for frame in read_file(video):
        for segment in window.push(frame):
            if segment.index == 0:
                newest.clear()
            newest.append(segment)
            if len(newest) == spec.segments:
                yield tuple(newest)


def first_clip(video: Path, spec: InputSpec, decoder: Decoder, resize: Resize | None) -> NDArray[np.uint8] | None:
    """Return a video's first clip, uint8 RGB [T, InputSpec.frames, H, W, 3], or None if the video is too short.

    `resize` replaces the live path's own.
    """
    runs = _runs(video, spec, spec.segments, decoder, resize)
    return np.stack([s.frames for s in runs[0][: spec.segments]]) if runs else None


def total_clips(recordings: Sequence[Recording], spec: InputSpec) -> int:
    """Return the number of clips at a hop of one segment."""
    return sum(len(recording.lasts(spec)) for recording in recordings)


def _runs(
    video: Path, spec: InputSpec, max_segments: int, decoder: Decoder = "auto", resize: Resize | None = None
) -> list[list[Segment]]:
    """Return the unbroken runs that give a clip; reading ends when they have `max_segments` together."""
    window = Window(spec, MAX_GAP_S, resize=resize)
    runs: list[list[Segment]] = []
    newest: list[Segment] = []
    for frame in read_file(video, decoder):
        for segment in window.push(frame):
            if segment.index == 0:
                newest = []
            newest.append(segment)
            if len(newest) == spec.segments:
                runs.append(newest)
        if sum(map(len, runs)) >= max_segments:
            break
    return runs
