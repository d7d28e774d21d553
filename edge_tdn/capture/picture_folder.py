"""A folder of numbered pictures as a video: `img_00001.jpg` and following, as published lists of frames name them.

A picture's number is its time, so that a missing one is a gap. Pictures of optical flow beside those of the video are
ignored.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from edge_tdn.capture.capture import CapturedFrame, EndOfStream
from edge_tdn.capture.crop import Crop
from edge_tdn.errors import ConfigError, SourceError
from edge_tdn.media.colour import Packed
from edge_tdn.messages import NS_PER_S

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
EXAMPLE = "img_{:05d}.jpg"
NUMBERED = re.compile(r"(.*?)([0-9]{1,18})(\.[A-Za-z]+)")  # beginning, number, suffix
PATTERN = re.compile(r"(.*)(?:\{:?[0-9]*d?\}|%[0-9]*d)(\.[A-Za-z]+)")  # img_{:05d}.jpg, img_{:05}.jpg, img_%05d.jpg
FLOW = re.compile(r"(flow[_-]?)?[xyuv][_-]?", re.IGNORECASE)  # the beginnings of the names of optical flow
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"

Series = tuple[str, str]  # the beginning and the suffix that the names of a video's pictures share


@dataclass(frozen=True)
class Pictures:
    """The way in which folders of numbered pictures are read as videos."""

    names: Series | None = None  # None: those of the only video in the folder
    per_second: float = 0.0  # 0: at the model's frame rate

    def at(self, frame_rate: float) -> "Pictures":
        """Return the same with the model's frame rate, if the pictures have none of their own."""
        return self if self.per_second else replace(self, per_second=frame_rate)


AS_FOUND = Pictures()


def parse_names(pattern: str) -> Series:
    """Parse a pattern of names, with one place for the number. ConfigError: it has none, or no picture's suffix."""
    found = PATTERN.fullmatch(pattern)
    if found is None or "/" in pattern or found[2].lower() not in SUFFIXES:
        raise ConfigError(
            f"pattern {pattern!r}: expected the name of a picture with a place for its number: {EXAMPLE!r}, "
            f"'%06d.png'; suffixes: {', '.join(SUFFIXES)}"
        )
    return found[1], found[2].lower()


def numbered(names: Iterable[str]) -> dict[Series, list[tuple[int, str]]]:
    """Return number and name of the numbered pictures among file names, in order, for each series of pictures."""
    found: dict[Series, list[tuple[int, str]]] = {}
    for name in names:
        parts = NUMBERED.fullmatch(name)
        if parts and not name.startswith(".") and parts[3].lower() in SUFFIXES:
            found.setdefault((parts[1], parts[3].lower()), []).append((int(parts[2]), name))
    return {series: sorted(pictures) for series, pictures in found.items()}


def find_pictures(folder: Path, names: Series | None = None) -> list[tuple[int, Path]]:
    """Return number and path of a folder's pictures, in order.

    SourceError: it cannot be read, has no such pictures, or those of several videos.
    """
    try:
        found = numbered(path.name for path in folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror}", "ended") from error
    series = [names] if names else [one for one in found if not FLOW.fullmatch(one[0])] or list(found)
    pictures = [picture for one in series for picture in found.get(one, ())]
    if not pictures:
        expected = f"{names[0]}NUMBER{names[1]}" if names else f"names such as {EXAMPLE.format(1)}"
        other = f"; it has {_shown(found)}" if found else ""
        raise SourceError(f"{folder}: no numbered pictures in it; looked for {expected}{other}", "ended")
    if len(series) > 1:
        reason = f"pictures of several videos: {_shown(found)}; choose with --picture-names"
        raise SourceError(f"{folder}: {reason}", "ended")
    for (number, name), (following, other_name) in pairwise(pictures):
        if number == following:
            raise SourceError(f"{folder}: {name} and {other_name} have the same number; remove one of them", "ended")
    return [(number, folder / name) for number, name in pictures]


def _shown(found: dict[Series, list[tuple[int, str]]]) -> str:
    return ", ".join(f"{pictures[0][1]} to {pictures[-1][1]}" for pictures in list(found.values())[:4])


class PictureCapture:
    """The numbered pictures of a folder. Implements `edge_tdn.capture.capture.Capture`. Used by one thread."""

    live = False
    decoder = ""
    silence = ""

    def __init__(self, folder: Path, pictures: Pictures, crop: Crop) -> None:
        """`pictures`: with the number of pictures per second. SourceError: as `find_pictures`."""
        assert pictures.per_second > 0
        found = find_pictures(folder, pictures.names)
        self._step_ns = NS_PER_S / pictures.per_second
        self._first = found[0][0]
        self._left: Iterator[tuple[int, Path]] = iter(found)
        self._crop = crop
        self.declared_s: float | None = (found[-1][0] - self._first + 1) / pictures.per_second

    def read(self, timeout_s: float) -> CapturedFrame:
        number, path = next(self._left, (0, None))
        if path is None:
            raise EndOfStream
        return CapturedFrame(self._crop(_decode(path)), round((number - self._first) * self._step_ns))

    def close(self) -> None:
        self._left = iter(())


def _decode(path: Path) -> Packed:
    """Read one picture. SourceError: it is damaged or not a picture."""
    try:
        raw = path.read_bytes()
        whole = not raw.startswith(JPEG) or JPEG_END in raw  # OpenCV fills what is missing with grey
        pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw and whole else None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", "ended") from error
    except cv2.error as error:
        raise SourceError(f"{path}: OpenCV cannot read the picture: {error.err}", "ended") from error
    if pixels is None:
        raise SourceError(f"{path}: {'damaged, or not a picture' if raw else 'the file is empty'}", "ended")
    return Packed(pixels, "BGR")  # type: ignore[arg-type]
