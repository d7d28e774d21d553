"""A data set: videos and their labels. A folder for each class, or a list file.

    clips/                      train.txt            one video per line: `path [frames] label`, or any other of the
    ├── dataset.toml            labels.txt           published formats: see edge_tdn_export.lists
    ├── turn left/*.mp4         dataset.toml
    └── turn right/*.mp4

A video is a file, or a folder of numbered pictures. Paths in a list are relative to the list's folder.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from edge_tdn_export.clips import MAX_REASONS
from edge_tdn_export.lists.labels import find_labels, read_labels
from edge_tdn_export.lists.named import HMDB51_FILE
from edge_tdn_export.lists.numbering import Counting, class_indices
from edge_tdn_export.lists.read_list import format_of, locate, read_list
from edge_tdn_export.lists.text import counted
from edge_tdn_export.lists.video_list import Part
from edge_tdn_export.video_files import AS_IT_IS, SUFFIXES, USUAL, Reading, kind_of, videos_below

from edge_tdn.capture.picture_folder import AS_FOUND, Pictures
from edge_tdn.errors import ConfigError
from edge_tdn.spelling import nearest_of_many
from edge_tdn.teaching.class_folder import class_name
from edge_tdn_training.data.description import Description

SIDE = re.compile(r"(?<![^\W_])(left|right)(?![^\W_])", re.IGNORECASE)
MAX_PAIRS = 10  # videos under two labels that are named one by one
MAX_FOLDERS = 50  # folders of pictures that a note names


@dataclass(frozen=True)
class Video:
    """One example of a class."""

    path: Path
    label: int  # index into DataSet.labels
    source: str  # the recording it was cut from; a split never has clips of one recording on both sides
    from_s: float = 0.0  # the part of the file, in seconds
    to_s: float | None = None  # None: to its end
    frames: int | None = None  # of a folder of pictures: how many are used; None: all

    def overlaps(self, other: "Video") -> bool:
        """Return whether it has seconds in common with another part of the same file."""
        ends = [float("inf") if video.to_s is None else video.to_s for video in (self, other)]
        return self.from_s < ends[1] and other.from_s < ends[0]

    @property
    def name(self) -> str:
        """The path as a list file would have it, with the part of the file."""
        if self.from_s == 0.0 and self.to_s is None:
            return str(self.path)
        return f"{self.path}#t={self.from_s:g}" + ("" if self.to_s is None else f",{self.to_s:g}")


@dataclass(frozen=True)
class DataSet:
    """Videos of several classes."""

    labels: tuple[str, ...]
    videos: tuple[Video, ...]
    swaps: tuple[int, ...]  # for each label, that of its mirror image; itself if it looks the same in a mirror
    skipped: tuple[str, ...] = ()  # file and reason
    pictures: Pictures = AS_FOUND  # how folders of pictures are read
    notes: tuple[str, ...] = ()  # for the user: the format of a list, folders of pictures, videos under two labels
    counting: Counting | None = None  # how its list counts; None: it has none, or one with the names of the classes

    @property
    def sideways(self) -> tuple[str, ...]:
        """The labels that contain "left" or "right" and are not in `[flip]`: probably forgotten there."""
        return tuple(
            label for i, label in enumerate(self.labels) if self.swaps[i] == i and len(set(SIDE.findall(label))) == 1
        )


def open_data(
    path: Path, reading: Reading = AS_IT_IS, part: Part | None = None, other: Counting | None = None
) -> DataSet:
    """Read the data set in a folder or a list file. Videos are not opened.

    `part`: of a list that has videos for training and for tests; `other`: how another list of the same labels counts.
    ConfigError, ModelError: no such path, an empty class, an invalid label, a wrong line, or an invalid `dataset.toml`.
    """
    kind = kind_of(path)
    if kind == "folder":
        return _open_folder(path, reading)
    if kind == "file":
        return _open_list(path, reading, part, other)
    raise ConfigError(f"{path}: no such data; expected a folder with a folder of videos for each class, or a list file")


def open_evaluation_data(path: Path, reading: Reading, data: DataSet, where: Path) -> DataSet:
    """Read separate evaluation data with the labels of `data`, which was read from `where`.

    Its list counts as that of `data`, if both have the same labels. ConfigError: as `open_data`, or it has another
    class.
    """
    other = open_data(path, reading, "test", data.counting)
    unknown = [label for label in other.labels if label not in data.labels]
    if unknown:
        known = nearest_of_many(unknown[0], data.labels, "its classes are")
        raise ConfigError(f"{path}: class {unknown[0]!r} is not a class of {where}; {known}")
    videos = tuple(replace(video, label=data.labels.index(other.labels[video.label])) for video in other.videos)
    return replace(data, videos=videos, skipped=other.skipped, notes=other.notes)


def _open_folder(folder: Path, reading: Reading) -> DataSet:
    try:
        entries = [(entry, kind_of(entry)) for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error
    classes = [entry for entry, kind in entries if kind == "folder"]
    if not classes:
        splits = [entry.name for entry, _ in entries if HMDB51_FILE.fullmatch(entry.name)]
        hint = f"; of a split of HMDB51 name one file: {splits[0]}" if splits else ""
        raise ConfigError(
            f"{folder}: no class in it; create a folder of videos for each class, named as the class{hint}"
        )
    labels = tuple(class_name(entry) for entry in classes)
    description = Description(folder)
    swaps = description.swaps(labels)
    videos: list[Video] = []
    pictures: list[Path] = []
    skipped = [
        f"{entry}: {'is not in the folder of a class' if kind else 'a link that leads nowhere'}"
        for entry, kind in entries
        if not kind or (kind != "folder" and entry.suffix.lower() in SUFFIXES)
    ]
    for label, entry in enumerate(classes):
        found = videos_below(entry)
        own = [path for path in found.videos if path != entry]
        skipped += found.skipped
        if len(own) < len(found.videos):
            skipped.append(f"{entry}: pictures of a class; each video needs a folder of its own for its pictures")
        if not own:
            reasons = [f"{entry}: no video of this class; looked for {', '.join(USUAL)} and others", *skipped]
            raise ConfigError("\n".join(reasons[: MAX_REASONS + 1]))
        videos += [Video(path, label, description.source(path.relative_to(folder))) for path in own]
        pictures += [path for path in found.folders if path != entry]
    notes = (*folders_note(pictures, folder), *two_labels(labels, videos, real_path))
    return DataSet(labels, tuple(videos), swaps, tuple(skipped), reading.pictures, notes)


def folders_note(folders: Sequence[Path], root: Path) -> list[str]:
    """Return a note on folders of pictures below `root`, if there are any: they may be thumbnails and not videos."""
    folders = [folder for folder in folders if folder != root]  # which was named itself
    shown = ", ".join(str(folder.relative_to(root)) for folder in folders[:MAX_FOLDERS])
    more = f" and {len(folders) - MAX_FOLDERS} more" if len(folders) > MAX_FOLDERS else ""
    read = "is read as a video" if len(folders) == 1 else "are read as videos"
    return [f"{root}: {counted(len(folders), 'folder')} of pictures {read}: {shown}{more}"] if folders else []


def _open_list(path: Path, reading: Reading, part: Part | None, other: Counting | None) -> DataSet:
    listed = read_list(path, part)
    file = reading.labels or find_labels(path)
    label_file = read_labels(file) if file else None
    description = Description(path.parent)
    classes = class_indices(listed, label_file, description.first_label, other)
    located, skipped = locate(listed, reading.videos_in or path.parent)
    videos = tuple(
        Video(
            one.path,
            classes.indices[one.index],
            description.source(one.path),
            one.place.from_s,
            one.place.to_s,
            one.place.frames if one.is_folder else None,
        )
        for one in located
    )
    labels, swaps = classes.labels, description.swaps(classes.labels)
    counts = f"{counted(len(videos), 'video')}, {counted(len(labels), 'label')}"
    of = f" of {label_file.path.name}" if label_file else ", sorted"
    note = f"{path}: {format_of(listed, located)}{classes.base}; {counts}{of}"
    notes = (note, *two_labels(labels, videos, real_path))
    return DataSet(labels, videos, swaps, tuple(skipped), reading.pictures, notes, classes.counting)


def real_path(video: Video) -> str:
    """Return the path of a video with links resolved."""
    return os.path.realpath(video.path)


def two_labels(labels: Sequence[str], videos: Sequence[Video], key: Callable[[Video], str]) -> tuple[str, ...]:
    """Return notes on videos under two labels: those of the same key with seconds in common."""
    same: dict[str, list[Video]] = {}
    for video in videos:
        same.setdefault(key(video), []).append(video)
    pairs = [
        f"{one.name}, {labels[one.label]!r}, and {other.name}, {labels[other.label]!r}: one video under two labels; "
        f"remove one of them"
        for own in same.values()
        if len({video.label for video in own}) > 1
        for one, other in combinations(own, 2)
        if one.label != other.label and one.overlaps(other)
    ]
    more = [f"{len(pairs) - MAX_PAIRS} more pairs of videos under two labels"] if len(pairs) > MAX_PAIRS else []
    return (*pairs[:MAX_PAIRS], *more)
