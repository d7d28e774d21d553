"""Videos, decoded once: every frame at the model's rate and size, uint8 in a file that is mapped into memory.

Decoding uses the camera's own path (`edge_tdn.capture.video_file`), and tick n takes the frame nearest to it in
time, as `edge_tdn.segments.window` does. So a training clip consists of the same pixels as a camera's clip.

A cache file's name tells the video's path, size and time of change, the rate and the pictures' size: when one of them
changes, it is decoded again. Files come into being whole: a process that is killed leaves nothing that looks like one.
"""

import copy
import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from edge_tdn_export.clips import MAX_GAP_S
from edge_tdn_export.convert.model_folder import clear_scratch, scratch_of
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge_tdn.capture.video_file import read_file
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.manifest import InputSpec
from edge_tdn.messages import FRAMES_PER_SEGMENT, NS_PER_S, Frame
from edge_tdn.segments.resize import Resize, resizer
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.loader import Exam, Lessons

if TYPE_CHECKING:
    from edge_tdn_training.loop.trainer import Course

SHORT_SIDE = 256  # pixels, as published
ROUNDING_S = 1e-4  # a PTS rounded to its clock's grain still counts as on time
ALL = slice(None)
VERSION = 2  # grows when the same video would give other frames

Step = Callable[[str], None]


class Frames:
    """The frames of one video at the model's rate. Nothing is held open: it can be sent to another process."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path, self._first = path, 0
        self.rate = rate  # frames a second
        self.shape: tuple[int, int, int, int] = np.load(path, mmap_mode="r").shape  # frames, H, W, 3

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: NDArray[np.int64], rows: slice = ALL, columns: slice = ALL) -> NDArray[np.uint8]:
        """Frames by number, [...] -> uint8 RGB [..., H, W, 3], or that part of them; a copy."""
        own = slice(self._first, self._first + len(self))
        frames: NDArray[np.uint8] = np.load(self._path, mmap_mode="r")[own, rows, columns][indices]
        return frames

    def part(self, first: int, count: int) -> "Frames":
        """`count` of these frames, from number `first` on, out of the same cache file."""
        assert 0 <= first < first + count <= len(self)
        part = copy.copy(self)
        part._first, part.shape = self._first + first, (count, *self.shape[1:])
        return part


@dataclass(frozen=True)
class Decoded:
    """A data set whose videos can be read, and their frames, in the same order."""

    data: DataSet
    frames: tuple[Frames, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.data.labels

    def __len__(self) -> int:
        return len(self.frames)

    def lessons(self, course: "Course", spec: InputSpec) -> Lessons:
        """To learn from. ConfigError: no classes to tell apart."""
        _check_classes(self.data)
        window = round(course.window_s * spec.frame_rate)
        return Lessons(self, spec, course.seed, course.flip, window, course.spliced)

    def exam(self, spec: InputSpec) -> Exam:
        """To judge by."""
        return Exam(self, spec)

    def only(self, data: DataSet) -> "Decoded":
        """Some of its videos."""
        found = dict(zip(self.data.videos, self.frames, strict=True))
        return Decoded(data, tuple(found[video] for video in data.videos))

    def summary(self) -> dict[str, object]:
        """What it is, for a run's configuration: the same one gives the same hash, wherever it lies."""
        videos = [
            (video.path.name, video.label, video.from_s, video.to_s, frames.shape)
            for video, frames in zip(self.data.videos, self.frames, strict=True)
        ]
        return {
            "videos": len(videos),
            "labels": list(self.data.labels),
            "swaps": list(self.data.swaps),
            "skipped": list(self.data.skipped),
            "sha256": _digest(videos),
        }


def _check_classes(data: DataSet) -> None:
    if len(data.labels) < 2:
        raise ConfigError(f"one class, {data.labels[0]!r}: nothing to tell it from; add a class of everything else")
    taught = {video.label for video in data.videos}
    missing = [label for i, label in enumerate(data.labels) if i not in taught]
    if missing:
        skipped = ["skipped:", *data.skipped[:10]] if data.skipped else []
        raise ConfigError("\n".join([f"class {missing[0]!r}: not one video to learn from", *skipped]))


def default_cache() -> Path:
    """Where decoded videos are kept if nobody says where."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edge-tdn" / "frames"


def decode(
    data: DataSet, rate: float, short_side: int = SHORT_SIDE, cache: Path | None = None, step: Step = lambda _: None
) -> Decoded:
    """The frames of all videos that have some; the others go to `skipped`. `step` hears of every video.

    ConfigError: not one is left, or the cache cannot be written.
    """
    cache = cache or default_cache()
    by_file: dict[Path, list[Video]] = {}
    for video in dict.fromkeys(data.videos):
        by_file.setdefault(video.path.resolve(), []).append(video)
    found: dict[Video, Frames] = {}
    skipped = list(data.skipped)
    stop = threading.Event()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        opened = [(own, pool.submit(_open, path, own, cache, rate, short_side, stop)) for path, own in by_file.items()]
        try:
            for videos, frames in ((own, future.result()) for own, future in opened):
                for video, got in zip(videos, frames, strict=True):
                    if isinstance(got, Frames):
                        found[video] = got
                    else:
                        skipped.append(got)
                    step(video.path.name)
        except BaseException:  # Ctrl-C, too: nobody wants the others any more
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    kept = tuple(video for video in data.videos if video in found)
    if not kept:
        raise ConfigError("\n".join([f"not one of {len(data.videos)} videos can be used:", *skipped[:10]]))
    return Decoded(replace(data, videos=kept, skipped=tuple(skipped)), tuple(found[video] for video in kept))


def _open(
    path: Path, videos: Sequence[Video], cache: Path, rate: float, short_side: int, stop: threading.Event
) -> list[Frames | str]:  # fmt: skip
    """The frames of a file's parts; in the place of what has none, why. ConfigError: the cache cannot be written."""
    told = videos[0].path  # as the user wrote it
    try:
        status = path.stat()
    except OSError as error:
        return [f"{told}: {error.strerror}"] * len(videos)
    stamp = _digest(status.st_size, status.st_mtime_ns)
    asked = [_digest(str(path), video.from_s, video.to_s, rate, short_side, VERSION) for video in videos]
    targets = [cache / name / f"{stamp}.npy" for name in asked]
    fault = ""
    try:
        _decode(videos, targets, rate, short_side, stop)
    except SourceError as error:
        fault = str(error) if str(told) in str(error) else f"{told}: {error}"
    return [_frames(video, target, rate, fault) for video, target in zip(videos, targets, strict=True)]


def _frames(video: Video, target: Path, rate: float, fault: str) -> Frames | str:
    """What was decoded before a file's fault is good."""
    if fault and not target.exists():
        return fault
    frames = Frames(target, rate) if target.exists() else None
    if frames is None or len(frames) < FRAMES_PER_SEGMENT:
        return f"{video.name}: {len(frames or ())} frames at {rate:g} a second; a segment has five"
    return frames


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _decode(
    videos: Sequence[Video], targets: Sequence[Path], rate: float, short_side: int, stop: threading.Event
) -> None:  # fmt: skip
    """Writes the cache files of one file's parts that are not there yet, reading it once; until `stop`.

    SourceError: it cannot be played. ConfigError: the cache cannot be written.
    """
    wanted = {target: video for video, target in zip(videos, targets, strict=True) if not target.exists()}
    if not wanted:
        return
    parts: list[_Part] = []
    try:
        resize = resizer()
        parts = [_Part(target, video, rate, short_side, resize) for target, video in wanted.items()]
        first_ns: int | None = None
        for frame in read_file(videos[0].path):
            if stop.is_set():
                return
            first_ns = frame.pts_ns if first_ns is None else first_ns
            for part in [part for part in parts if not part.push((frame.pts_ns - first_ns) / NS_PER_S, frame)]:
                part.finish()
                parts.remove(part)
            if not parts:
                break
        for part in parts:
            part.finish()
    except OSError as error:
        cache = targets[0].parent.parent
        raise ConfigError(f"{cache}: {error.strerror}; name another folder for decoded videos") from error
    finally:
        for part in parts:
            part.close()


class _Part:
    """One part of a file on its way into the cache."""

    def __init__(self, target: Path, video: Video, rate: float, short_side: int, resize: Resize) -> None:
        self._target, self._video, self._rate, self._short_side = target, video, rate, short_side
        self._resize = resize
        self._scratch = scratch_of(target)
        self._file: BinaryIO | None = None  # from its first frame to its last: a film has many parts
        self._size: tuple[int, ...] = ()  # height and width
        self._tick = self._written = self._header = 0
        self._before: tuple[float, Frame] | None = None
        self._resized: tuple[Frame, bytes] | None = None

    def push(self, second: float, frame: Frame) -> bool:
        """Writes the ticks that this frame completes. False: the part is over."""
        before, until = self._before, math.inf if self._video.to_s is None else self._video.to_s
        if before is not None and second < before[0]:
            return True
        if before is not None and second - before[0] > MAX_GAP_S:  # nobody knows what was there: ticks are left out
            self._tick = max(self._tick, math.ceil((second - self._video.from_s) * self._rate - ROUNDING_S))
            before = None
        while (at := self._video.from_s + self._tick / self._rate) <= second + ROUNDING_S and at < until - ROUNDING_S:
            nearer = before is not None and at - before[0] < second - at
            self._write(before[1] if before is not None and nearer else frame)
            self._tick += 1
        self._before = (second, frame)
        return at < until - ROUNDING_S

    def _write(self, frame: Frame) -> None:
        if self._resized is None or self._resized[0] is not frame:
            h, w = frame.decoded.size
            size = self._short_side * h // min(h, w), self._short_side * w // min(h, w)
            if self._size and size != self._size:
                raise SourceError(f"{self._video.path}: the picture's shape changes at frame {frame.seq}; cut it there")
            if self._file is None:
                self._size = size
                self._target.parent.mkdir(parents=True, exist_ok=True)
                clear_scratch(self._target.parent, "*.npy")
                self._file = self._scratch.open("wb")
                self._head(self._file)
            rgbx = np.empty((h, w, 4), np.uint8)
            frame.decoded.rgbx(rgbx)
            self._resized = (frame, self._resize(rgbx, size[1], size[0])[..., :3].tobytes())
        assert self._file is not None
        self._file.write(self._resized[1])
        self._written += 1

    def _head(self, file: BinaryIO) -> None:
        """The header of an .npy file; it has the same length however many frames there will be."""
        file.seek(0)
        shape = (self._written, *self._size, 3)
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        assert self._header in (0, file.tell()), "numpy leaves room for a growing first axis"
        self._header = file.tell()

    def finish(self) -> None:
        """All frames are there: the file gets its name. What was decoded before the video changed goes."""
        if self._file is None:
            return
        self._head(self._file)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        for old in self._target.parent.glob("*.npy"):
            old.unlink(missing_ok=True)
        self._scratch.replace(self._target)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written was told before
            if self._file is not None:
                self._file.close()
        self._scratch.unlink(missing_ok=True)
