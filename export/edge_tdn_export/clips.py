"""Clips cut from real video exactly as the live path cuts them: the same decoder, window and preprocessing."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_tdn.capture.picture_folder import AS_FOUND, Pictures
from edge_tdn.capture.video_file import Decoder, read_file
from edge_tdn.errors import ModelError, SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import NS_PER_S, Picture, Segment
from edge_tdn.segments.window import Window
from edge_tdn_export.lists.read_list import find_listed
from edge_tdn_export.lists.text import is_text
from edge_tdn_export.video_files import (
    AS_IT_IS,
    SUFFIXES,
    USUAL,
    FoundVideos,
    Reading,
    content_sha256,
    kind_of,
    videos_below,
)

MAX_REASONS = 10  # that an error lists
MAX_SEGMENTS = 2000  # of all videos together; at 224x224 they take 1.5 GB
Resize = Callable[[Picture], Picture]
MAX_GAP_S = 0.5  # the default of a camera's max_gap_s


@dataclass(frozen=True, eq=False)
class Recording:
    """One unbroken run of a video, as segments on the model's grid; at least one clip long."""

    name: str  # the path relative to the folder or the list that was read
    path: Path
    segments: tuple[Segment, ...]
    pictures: Pictures = AS_FOUND  # how it was read, if it is a folder of pictures

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
    """The recordings that a folder or a list of videos gave."""

    recordings: tuple[Recording, ...]
    skipped: tuple[str, ...]  # one reason for each video without a clip
    note: str = ""  # for the user: the format of a list, as it was recognised


def read_clips(
    folder: Path,
    spec: InputSpec,
    step: Callable[[str], None] = lambda _: None,
    max_segments: int = MAX_SEGMENTS,
    reading: Reading = AS_IT_IS,
) -> Clips:
    """Read the videos below `folder`, or of a list, in their order, up to `max_segments` segments together.

    Long videos are read from their beginning, copies of a video once. Where there are more videos than can give one
    clip each, evenly spaced ones are read. ModelError, ConfigError: the folder does not exist, holds no video, or none
    gives a clip.
    """
    found = find(folder, reading)
    videos, pictures = list(found.videos), reading.pictures.at(spec.frame_rate)
    root = folder if folder.is_dir() else reading.videos_in or folder.parent
    each = max(spec.segments, max_segments // len(videos))  # segments of a video: at least one clip
    videos = videos[:: -(-len(videos) * each // max_segments)]
    recordings: list[Recording] = []
    skipped = list(found.skipped)
    read: dict[str, Path] = {}  # by the hash of their content
    for video in videos:
        step(video.name)
        try:
            runs = _runs(video, spec, each, pictures=pictures)
            original = read.setdefault(content_sha256(video), video) if runs else video
        except (SourceError, OSError) as error:
            skipped.append(str(error))
            continue
        if original != video:
            skipped.append(f"{video}: a copy of {original}")
            continue
        name = video.name if video == root else Path(os.path.relpath(video, root)).as_posix()
        recordings += [Recording(name, video, tuple(run), pictures) for run in runs]
        if not runs:
            skipped.append(f"{video}: too short, a clip of this model needs {spec.needed_s():.1f} s of unbroken video")
    if not recordings:
        raise ModelError("\n".join([f"{folder}: not one clip in {len(videos)} video(s):", *skipped]))
    return Clips(tuple(recordings), tuple(skipped), found.note)


def find(source: Path, reading: Reading = AS_IT_IS) -> FoundVideos:
    """Return the videos below a folder, sorted, those of a list, or `source` itself if it is a video.

    ModelError, ConfigError: there is none.
    """
    kind = kind_of(source)
    if kind == "file" and source.suffix.lower() not in SUFFIXES and is_text(source):
        return find_listed(source, reading.videos_in)
    if kind == "file":
        return FoundVideos((source,))
    if kind != "folder":
        raise ModelError(f"{source}: no such folder of videos")
    found = videos_below(source)
    if not found.videos:
        reasons = found.skipped[:MAX_REASONS]
        expected = f"looked for {', '.join(USUAL)} and others, and for folders of numbered pictures"
        raise ModelError("\n".join([f"{source}: no video in it; {expected}", *reasons]))
    return found


def find_videos(source: Path) -> list[Path]:
    """Return the videos that `find` finds. ModelError, ConfigError: there is none."""
    return list(find(source).videos)


def slide(video: Path, spec: InputSpec) -> Iterator[tuple[Segment, ...]]:
    """Yield every clip of a video, one per segment, holding one at a time. SourceError: it cannot be played."""
    window = Window(spec, MAX_GAP_S)
    newest: deque[Segment] = deque(maxlen=spec.segments)
    for frame in read_file(video, pictures=AS_FOUND.at(spec.frame_rate)):
        for segment in window.push(frame):
            if segment.index == 0:
                newest.clear()
            newest.append(segment)
            if len(newest) == spec.segments:
                yield tuple(newest)


def first_clip(
    recording: Recording, spec: InputSpec, decoder: Decoder, resize: Resize | None
) -> NDArray[np.uint8] | None:
    """Return the first clip of a recording's video, uint8 RGB [T, InputSpec.frames, H, W, 3]; None: it is too short.

    `resize` replaces the live path's own.
    """
    runs = _runs(recording.path, spec, spec.segments, decoder, resize, recording.pictures.at(spec.frame_rate))
    return np.stack([s.frames for s in runs[0][: spec.segments]]) if runs else None


def total_clips(recordings: Sequence[Recording], spec: InputSpec) -> int:
    """Return the number of clips at a hop of one segment."""
    return sum(len(recording.lasts(spec)) for recording in recordings)


def _runs(
    video: Path,
    spec: InputSpec,
    max_segments: int,
    decoder: Decoder = "auto",
    resize: Resize | None = None,
    pictures: Pictures = AS_FOUND,
) -> list[list[Segment]]:
    """Return the unbroken runs that give a clip; reading ends when they have `max_segments` together."""
    window = Window(spec, MAX_GAP_S, resize=resize)
    runs: list[list[Segment]] = []
    newest: list[Segment] = []
    for frame in read_file(video, decoder, pictures=pictures):
        for segment in window.push(frame):
            if segment.index == 0:
                newest = []
            newest.append(segment)
            if len(newest) == spec.segments:
                runs.append(newest)
        if sum(map(len, runs)) >= max_segments:
            break
    return runs
