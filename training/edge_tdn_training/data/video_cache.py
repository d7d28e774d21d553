"""Decode each video once: every frame at the model's rate and size, in an uint8 file that is mapped into memory.

Decoding uses the camera's own path (`edge_tdn.capture.video_file`), and tick n takes the frame nearest to it in time,
as `edge_tdn.segments.window` does. So a training clip consists of the same pixels as a camera's clip. No clip of a
camera spans a gap: of a video with gaps the longest run is used, and a note reports it.

The name of a cache file identifies the video's path, size and time of change, the rate and the size of the pictures; of
a folder of pictures those of the first and the last one. A video is decoded again when one of them changes. Cache files
are written under a temporary name and renamed when they are complete: a killed process leaves no file that looks
complete.
"""

import io
import itertools
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from edge_tdn_export.clips import MAX_GAP_S
from edge_tdn_export.convert.model_folder import clear_scratch, scratch_of
from edge_tdn_export.progress import ProgressDisplay
from numpy.lib import format as npy

from edge_tdn.capture.picture_folder import Pictures, find_pictures
from edge_tdn.capture.stream_position import MAX_MISSING_S
from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Frame
from edge_tdn.segments.resize import Resize, resizer
from edge_tdn_training.data.augment import decoded_short_side
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.decoded import MAX_SKIPPED_LISTED, DecodedDataSet, digest
from edge_tdn_training.data.frames import Frames
from edge_tdn_training.machine import default_cache

SHORT_SIDE = 256  # pixels, as published
ROUNDING_S = 1e-4  # a PTS that was rounded to its clock's resolution still counts as on time
VERSION = 3  # increased when the same video would give other frames

NOTE_SUFFIX = ".txt"  # of the file beside a cache file that contains the note for the user, if there is one

Step = Callable[[str], None]  # receives the name of the video that is done


def decode_with_progress(data: DataSet, spec: InputSpec, cache: Path, shown: bool = True) -> DecodedDataSet:
    """Decode as `decode` does, at the rate and size that `spec` requires; show the progress if `shown`."""
    with ProgressDisplay(shown=shown) as progress:
        done = itertools.count(1)
        step = lambda name: progress.report(f"decoding: {name}", next(done), len(data.videos))  # noqa: E731
        return decode(data, spec.frame_rate, decoded_short_side(spec), cache, step)


def decode(
    data: DataSet, rate: float, short_side: int = SHORT_SIDE, cache: Path | None = None, step: Step = lambda _: None
) -> DecodedDataSet:
    """Return the frames of all videos that have any, `rate` a second; the other videos are listed in `skipped`.

    Videos that are used in part are listed in `notes`.

    `step` is called after each video. ConfigError: no video can be used, or the cache cannot be written.
    """
    decoding = _Decoding(cache or default_cache(), rate, short_side, data.pictures.at(rate))
    by_file: dict[Path, list[Video]] = {}
    for video in dict.fromkeys(data.videos):
        by_file.setdefault(video.path.resolve(), []).append(video)
    found: dict[Video, Frames] = {}
    skipped, notes = list(data.skipped), list(data.notes)
    stop = threading.Event()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        opened = [(own, pool.submit(_open, path, own, decoding, stop)) for path, own in by_file.items()]
        try:
            for videos, frames in ((own, future.result()) for own, future in opened):
                for video, (got, note) in zip(videos, frames, strict=True):
                    if got is None:
                        skipped.append(note)
                    else:
                        found[video] = got
                        notes += [note] if note else []
                    step(video.path.name)
        except BaseException:  # Ctrl-C too: the other videos are not needed any more
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    kept = tuple(video for video in data.videos if video in found)
    if not kept:
        listed = skipped[:MAX_SKIPPED_LISTED]
        raise ConfigError("\n".join([f"none of {len(data.videos)} videos can be used:", *listed]))
    data = replace(data, videos=kept, skipped=tuple(skipped), notes=tuple(notes))
    return DecodedDataSet(data, tuple(found[video] for video in kept))


@dataclass(frozen=True)
class _Decoding:
    """Where videos are decoded to, and in which form."""

    cache: Path
    rate: float  # frames per second
    short_side: int  # pixels
    pictures: Pictures  # how folders of pictures are read

    def target(self, path: Path, video: Video, stamp: str) -> Path:
        """Return the cache file of a part of a video."""
        key: list[object] = [str(path), video.from_s, video.to_s, self.rate, self.short_side, VERSION]
        if path.is_dir():
            key += [video.frames, self.pictures.names, self.pictures.per_second]
        return self.cache / digest(*key) / f"{stamp}.npy"

    def until_s(self, video: Video) -> float:
        """Return the second of the file at which a part ends."""
        if video.to_s is not None:
            return video.to_s
        return math.inf if video.frames is None else video.frames / self.pictures.per_second


def _open(
    path: Path, videos: Sequence[Video], decoding: _Decoding, stop: threading.Event
) -> list[tuple[Frames | None, str]]:
    """Return the frames of each part of a file with a note, which may be empty, or None and the reason.

    ConfigError: the cache cannot be written.
    """
    name = videos[0].path  # as the user wrote it
    targets: list[Path] = []
    fault = ""
    try:
        stamp = _stamp(path, decoding.pictures)
        targets = [decoding.target(path, video, stamp) for video in videos]
        _decode_file(videos, targets, decoding, stop)
    except SourceError as error:
        fault = str(error) if str(name) in str(error) else f"{name}: {error}"
    if not targets:
        return [(None, fault)] * len(videos)
    return [_cached(video, target, decoding.rate, fault) for video, target in zip(videos, targets, strict=True)]


def _stamp(path: Path, pictures: Pictures) -> str:
    """Return what changes when a video does. SourceError: it cannot be read."""
    try:
        status = path.stat()
        if not path.is_dir():
            return digest(status.st_size, status.st_mtime_ns)
        found = find_pictures(path, pictures.names)
        ends = [picture.stat() for _, picture in (found[0], found[-1])]
        return digest(len(found), status.st_mtime_ns, *((end.st_size, end.st_mtime_ns) for end in ends))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error


def _read(target: Path, rate: float) -> Frames | None:
    """Return the frames in a cache file, or None if it does not exist or is truncated."""
    try:
        return Frames(target, rate)
    except (OSError, EOFError, ValueError):
        return None


def _cached(video: Video, target: Path, rate: float, fault: str) -> tuple[Frames | None, str]:
    """Return the frames in a cache file and its note. A part that was complete before the file's `fault` is usable."""
    frames = _read(target, rate)
    if fault and frames is None:
        return None, fault
    file = target.with_suffix(NOTE_SUFFIX)
    note = file.read_text() if file.exists() else ""
    if frames is None or len(frames) < FRAMES_PER_SEGMENT:
        few = f"{len(frames or ())} frames at {rate:g} a second; a segment has five"
        return None, f"{video.name}: {few}{note and f'; {note}'}"
    return frames, note and f"{video.name}: {note}"


def _decode_file(videos: Sequence[Video], targets: Sequence[Path], decoding: _Decoding, stop: threading.Event) -> None:
    """Write the missing cache files of one file's parts, reading it once; return early when `stop` is set.

    SourceError: the file cannot be played. ConfigError: the cache cannot be written.
    """
    both = zip(videos, targets, strict=True)
    missing = {target: video for video, target in both if _read(target, decoding.rate) is None}
    if not missing:
        return
    parts: list[_PartWriter] = []
    try:
        resize = resizer()
        parts = [_PartWriter(target, video, decoding, resize) for target, video in missing.items()]
        first_ns: int | None = None
        for frame in read_file(videos[0].path, pictures=decoding.pictures):
            if stop.is_set():
                return
            first_ns = frame.pts_ns if first_ns is None else first_ns
            for part in [part for part in parts if not part.push((frame.pts_ns - first_ns) / NS_PER_S, frame)]:
                part.finish()
                parts.remove(part)
            if not parts:
                break
        faults = {part: fault for part in parts if (fault := part.missing)}
        for part in parts:
            if part not in faults:
                part.finish()
        if faults:
            raise SourceError(next(iter(faults.values())))
    except OSError as error:
        raise ConfigError(f"{decoding.cache}: {error.strerror}; choose another folder with --cache") from error
    finally:
        for part in parts:
            part.close()


class _PartWriter:
    """One part of a video, resampled to the model's rate and written to its cache file."""

    def __init__(self, target: Path, video: Video, decoding: _Decoding, resize: Resize) -> None:
        self._video, self._rate, self._short_side = video, decoding.rate, decoding.short_side
        self._until_s = decoding.until_s(video)
        self._resize = resize
        self._file = _FrameFile(target)
        self._origin_s = video.from_s  # of the run: the second of tick 0
        self._tick = 0
        self._before: tuple[float, Frame] | None = None  # second and frame of the last push
        self._resized: tuple[Frame, bytes] | None = None  # the last frame that was written, to repeat it

    def push(self, second: float, frame: Frame) -> bool:
        """Write the ticks that this frame completes. Return False after the end of the part."""
        before, until = self._before, self._until_s
        if before is not None and second < before[0]:
            return True
        if before is not None and second - before[0] > MAX_GAP_S:  # a gap: another run begins
            self._file.begin_run()
            self._origin_s, self._tick, before = max(second, self._video.from_s), 0, None
        while (at := self._origin_s + self._tick / self._rate) <= second + ROUNDING_S and at < until - ROUNDING_S:
            nearer = before is not None and at - before[0] < second - at
            self._write(before[1] if before is not None and nearer else frame)
            self._tick += 1
        self._before = (second, frame)
        return at < until - ROUNDING_S

    def _write(self, frame: Frame) -> None:
        if self._resized is None or self._resized[0] is not frame:
            h, w = frame.decoded.size
            size = self._short_side * h // min(h, w), self._short_side * w // min(h, w)
            if self._file.size not in (None, size):
                raise SourceError(
                    f"{self._video.path}: the shape of the picture changes at frame {frame.seq}; split the video there"
                )
            rgbx = np.empty((h, w, 4), np.uint8)
            frame.decoded.rgbx(rgbx)
            self._file.open(size)
            self._resized = (frame, self._resize(rgbx, size[1], size[0])[..., :3].tobytes())
        self._file.write(self._resized[1])

    @property
    def missing(self) -> str:
        """A message if the folder of pictures ended before the number of pictures that a list states, else nothing."""
        missing_s = 0.0 if self._video.frames is None else self._until_s - self._origin_s - self._tick / self._rate
        if missing_s <= MAX_MISSING_S:
            return ""
        return (
            f"{self._video.path}: the last {missing_s:.1f} s of the {self._video.frames} pictures that the list states "
            f"are missing; extract them again, or correct the list"
        )

    def finish(self) -> None:
        """Give the file its final name: all frames are written."""
        self._file.finish(self._rate)

    def close(self) -> None:
        """Delete the file unless it is finished."""
        self._file.close()


class _FrameFile:
    """An .npy file, uint8 [frames, H, W, 3], that grows frame by frame and gets its name when it is complete.

    It is completed with the longest run of its frames only.
    """

    def __init__(self, target: Path) -> None:
        self._target, self._scratch = target, scratch_of(target)
        self.size: tuple[int, int] | None = None  # height and width; None: not open yet
        self._file: BinaryIO | None = None  # opened late and closed early, because a long video has many parts
        self._written = self._header = 0  # frames; bytes
        self._first = 0  # frame of the current run
        self._longest = range(0)  # the frames of the longest run before the current one

    def open(self, size: tuple[int, int]) -> None:
        """Create the file for frames of this height and width, unless it is open already."""
        if self._file is not None:
            return
        self.size = size
        self._target.parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(self._target.parent, "*.npy")
        self._file = self._scratch.open("w+b")
        self._write_header(self._file)

    def begin_run(self) -> None:
        """Begin a run: the frames written so far and those that follow are never in one clip."""
        self._longest = max(self._longest, range(self._first, self._written), key=len)
        self._first = self._written

    def write(self, pixels: bytes) -> None:
        assert self._file is not None
        self._file.write(pixels)
        self._written += 1

    def _write_header(self, file: BinaryIO) -> None:
        """Write the header, whose length does not depend on the number of frames."""
        shape = (self._written, *(self.size or ()), 3)
        npy.write_array_header_1_0(header := io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": shape})
        assert self._header in (0, len(header.getvalue())), "numpy leaves room for a growing first axis"
        self._header = len(header.getvalue())
        file.seek(0)
        file.write(header.getvalue())

    def finish(self, rate: float) -> None:
        """Keep the longest run, name the file, and delete what was decoded before the video changed.

        `rate`: frames per second, for the note that states how much of the video is used.
        """
        if self._file is None:
            return
        total, note = self._written, self._target.with_suffix(NOTE_SUFFIX)
        self.begin_run()
        self._keep(self._longest, self._file)
        self._write_header(self._file)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        if self._written < total:
            note.write_text(
                f"only its longest run, {self._written / rate:.1f} s of {total / rate:.1f} s, is used: frames more "
                f"than {MAX_GAP_S:g} s apart end a run"
            )
        for old in self._target.parent.iterdir():
            if old.suffix in (self._target.suffix, note.suffix) and old not in (self._target, note):
                old.unlink(missing_ok=True)
        self._scratch.replace(self._target)

    def _keep(self, run: range, file: BinaryIO) -> None:
        """Move the frames of a run to the beginning, and cut off the others."""
        size = math.prod((*(self.size or ()), 3))
        for number, frame in enumerate(run if run.start else ()):
            file.seek(self._header + frame * size)
            pixels = file.read(size)
            file.seek(self._header + number * size)
            file.write(pixels)
        self._written = len(run)
        file.truncate(self._header + len(run) * size)

    def close(self) -> None:
        with suppress(OSError):  # a write that failed was reported before
            if self._file is not None:
                self._file.close()
        self._scratch.unlink(missing_ok=True)
