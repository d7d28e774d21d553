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
MOST_SEGMENTS = 2000  # of all videos together; at 224x224 they take 1.5 GB
Decoder = Literal["auto", "gstreamer", "opencv"]
Resize = Callable[[Picture], Picture]
MAX_GAP_S = 0.5  # the default of a camera's max_gap_s


@dataclass(frozen=True, eq=False)
class Recording:
    """One unbroken stretch of a video, as segments on the model's grid; long enough for one clip at least."""

    name: str
    path: Path
    segments: tuple[Segment, ...]

    def clip(self, last: int, spec: InputSpec) -> NDArray[np.uint8]:
        """The clip that ends with segment `last`: uint8 [T, InputSpec.frames, H, W, 3]."""
        return np.stack([segment.frames for segment in self.segments[last + 1 - spec.segments : last + 1]])

    def lasts(self, spec: InputSpec, hop: int = 1) -> range:
        """The last segments of its clips, `hop` segments apart."""
        return range(spec.segments - 1, len(self.segments), hop)

    def seconds(self, last: int) -> float:
        """Where in the video the clip ends."""
        return self.segments[last].to_ns / NS_PER_S


@dataclass(frozen=True)
class Clips:
    """What a folder of videos gave."""

    recordings: tuple[Recording, ...]
    skipped: tuple[str, ...]  # videos that gave no clip, and why


def read_clips(folder: Path, spec: InputSpec, step: Callable[[str], None] = lambda _: None) -> Clips:
    """Videos below `folder`, in the order of their names: of long ones the beginning, of very many every so many.

    ModelError: no such folder, no video in it, or none that gives a clip.
    """
    videos = find_videos(folder)
    each = max(spec.segments, MOST_SEGMENTS // len(videos))  # segments of a video: one clip at least
    videos = videos[:: -(-len(videos) * each // MOST_SEGMENTS)]
    recordings: list[Recording] = []
    skipped: list[str] = []
    for video in videos:
        step(video.name)
        try:
            stretches = _stretches(video, spec, each)
        except SourceError as error:
            skipped.append(str(error))
            continue
        name = video.relative_to(folder).as_posix() if video != folder else video.name
        recordings += [Recording(name, video, tuple(stretch)) for stretch in stretches]
        if not stretches:
            skipped.append(f"{video}: too short, a clip of this model spans {spec.ticks / spec.frame_rate:.1f} s")
    if not recordings:
        raise ModelError("\n".join([f"{folder}: not one clip in {len(videos)} video(s):", *skipped]))
    return Clips(tuple(recordings), tuple(skipped))


def find_videos(folder: Path) -> list[Path]:
    """The video files below a folder (or the file itself). ModelError: there is none."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder of videos")
    videos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not videos:
        raise ModelError(f"{folder}: no video in it; looked for {', '.join(SUFFIXES)}")
    return videos


def _stretches(
    video: Path, spec: InputSpec, most: int, decoder: Decoder = "auto", resize: Resize | None = None
) -> list[list[Segment]]:
    """The unbroken stretches that give a clip, until they have `most` segments together."""
    window = Window(spec, MAX_GAP_S, resize=resize)
    stretches: list[list[Segment]] = []
    newest: list[Segment] = []
    for frame in read_file(video, decoder):
        for segment in window.push(frame):
            if segment.index == 0:
                newest = []
            newest.append(segment)
            if len(newest) == spec.segments:
                stretches.append(newest)
        if sum(map(len, stretches)) >= most:
            break
    return stretches


def slide(video: Path, spec: InputSpec) -> Iterator[tuple[Segment, ...]]:
    """Every clip of a video in turn, one a segment; holds one at a time. SourceError: it cannot be played."""
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
    """A video's first clip, [T, InputSpec.frames, H, W, 3], made in a chosen way; None: too short."""
    stretches = _stretches(video, spec, spec.segments, decoder, resize)
    return np.stack([s.frames for s in stretches[0][: spec.segments]]) if stretches else None


def total_clips(recordings: Sequence[Recording], spec: InputSpec) -> int:
    """How many clips there are, one a segment."""
    return sum(len(recording.lasts(spec)) for recording in recordings)
