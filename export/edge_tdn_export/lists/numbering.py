"""From the labels of a list, numbers or names, to the classes of a model: which number is which label.

A list with the number 0 counts from 0; one whose largest number is the number of labels counts from 1. Where neither
occurs, folders that are named as classes decide, then another list of the same labels, which is read first, then the
numbers in the file of labels.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_tdn.errors import ConfigError
from edge_tdn.label_file import unique_labels
from edge_tdn.spelling import nearest_of_many
from edge_tdn_export.lists.labels import NAMES, PATTERNS, LabelFile
from edge_tdn_export.lists.named import without_brackets
from edge_tdn_export.lists.video_list import ListedVideo, VideoList

FIRST_KEY = "first_label"  # of dataset.toml


@dataclass(frozen=True)
class Counting:
    """The way in which a list counts its labels: another list of the same labels counts likewise."""

    path: Path  # of the list
    labels: tuple[str, ...]
    first: int  # the number of the first label


@dataclass(frozen=True)
class ClassIndices:
    """The classes of a list, and the class of each of its videos."""

    labels: tuple[str, ...]
    indices: tuple[int, ...]  # into `labels`, in the order of the list
    counting: Counting | None = None  # None: the list has names
    base: str = ""  # how the list counts, for the user


def class_indices(
    listed: VideoList, file: LabelFile | None, first: int | None = None, other: Counting | None = None
) -> ClassIndices:
    """Return the classes of a list's videos. `file`: its labels; `first`: the number of the first one, if stated.

    `other`: of a list that was read before. ConfigError, ModelError: an unknown label, no labels, it cannot be known
    how the list counts, or it counts otherwise than the other list of the same labels.
    """
    if listed.classes:
        return _of_names(listed, file)
    if file is None:
        looked_for = ", ".join((*NAMES, *PATTERNS))
        raise ConfigError(
            f"{listed.path}: {listed.format}, but no labels beside it; looked for {looked_for}; choose a file with "
            f"--labels-of-list"
        )
    numbers = [int(video.label) for video in listed.videos]
    same = other if other and other.labels == file.labels else None
    base, shown = _first(listed, numbers, file, same) if first is None else (first, f"{first}-based")
    for video, number in zip(listed.videos, numbers, strict=True):
        if not base <= number < base + len(file.labels):
            raise ConfigError(
                f"{video.where}: label {number}, in a {listed.format} that counts from {base}; {file.path} has "
                f"{len(file.labels)} labels, so that {base} to {base + len(file.labels) - 1} are allowed"
            )
    if first is None:
        _check_folders(listed, numbers, file, base)
    counting = Counting(listed.path, file.labels, base)
    return ClassIndices(file.labels, tuple(number - base for number in numbers), counting, f", {shown}")


def _of_names(listed: VideoList, file: LabelFile | None) -> ClassIndices:
    labels = file.labels if file else unique_labels((str(listed.path), name) for name in listed.classes)
    exact = {label: index for index, label in enumerate(labels)}
    similar: dict[str, int] = {}
    for label, index in exact.items():
        similar.setdefault(_key(label), index)
    indices = []
    for video in listed.videos:
        name = str(video.label)
        own = exact.get(name, similar.get(_key(name)))
        if own is None:
            where = f"; it is not in {file.path}" if file else ""
            raise ConfigError(f"{video.where}: unknown label {name!r}{where}; {nearest_of_many(name, labels, 'known')}")
        indices.append(own)
    return ClassIndices(labels, tuple(indices))


def _first(listed: VideoList, numbers: Sequence[int], file: LabelFile, other: Counting | None) -> tuple[int, str]:
    """Return the number of the first label, 0 or 1, and how the list counts, for the user.

    ConfigError: the list may count from either, or counts otherwise than `other`.
    """
    count = len(file.labels)
    found = _shown(listed, numbers, file)
    if other and found not in (None, other.first):
        raise ConfigError(
            f"{listed.path}: counts its labels from {found}, but {other.path}, a list of the same labels, from "
            f"{other.first}; correct one of them, or state how each counts with `{FIRST_KEY}` in dataset.toml beside it"
        )
    if found is not None:
        return found, f"{found}-based"
    if other:
        return other.first, f"{other.first}-based as {other.path.name}"
    if file.first is not None:
        return file.first, f"{file.first}-based"
    if len(numbers) < count or max(numbers) > count:  # a few lines, which need not have the first label; or an error
        return 0, f"assumed to count from 0; `{FIRST_KEY}` in dataset.toml states it"
    raise ConfigError(
        f"{listed.videos[0].where}: {listed.format} with the labels {min(numbers)} to {max(numbers)}, and {file.path} "
        f"with {count}: it may count from 0 or from 1; add `{FIRST_KEY} = 0` or `{FIRST_KEY} = 1` to dataset.toml "
        f"beside the list"
    )


def _shown(listed: VideoList, numbers: Sequence[int], file: LabelFile) -> int | None:
    """Return the number of the first label as the list itself shows it. None: it does not."""
    if min(numbers) == 0:
        return 0
    if max(numbers) == len(file.labels):
        return 1
    agreeing = [first for first in (0, 1) if _agreement(listed, numbers, file, first) == 1.0]
    return agreeing[0] if len(agreeing) == 1 else None


def _check_folders(listed: VideoList, numbers: Sequence[int], file: LabelFile, first: int) -> None:
    """ConfigError: folders are named as classes, several of them, and never as the class that the list states."""
    named = list(_named_folders(listed.videos, file))
    if len({index for _, index in named}) < 2 or _agreement(listed, numbers, file, first) > 0:
        return
    at, index = named[0]
    raise ConfigError(
        f"{listed.videos[at].where}: label {numbers[at]} is {file.labels[numbers[at] - first]!r}, but the video is in "
        f"a folder of {file.labels[index]!r}, and no other video is in the folder of its label either: {file.path} is "
        f"in another order, or the list does not count from {first}; if both are right, add `{FIRST_KEY} = {first}` to "
        f"dataset.toml beside the list"
    )


def _agreement(listed: VideoList, numbers: Sequence[int], file: LabelFile, first: int) -> float:
    """Return the share of the videos in folders named as classes that are in the folder of their class."""
    named = list(_named_folders(listed.videos, file))
    return sum(numbers[at] - first == index for at, index in named) / len(named) if named else 0.0


def _named_folders(videos: Sequence[ListedVideo], file: LabelFile) -> Iterator[tuple[int, int]]:
    """Yield the number of each video in a folder that is named as a class, and the class."""
    classes = {_key(label): index for index, label in enumerate(file.labels)}
    for at, video in enumerate(videos):
        folders: Collection[str] = re.split(r"[/\\]", video.places[0].path)[:-1]
        found = {classes[key] for key in map(_key, folders) if key in classes}
        if len(found) == 1:
            yield at, found.pop()


def _key(label: str) -> str:
    """Return a label as published files and folders may vary it."""
    return without_brackets(label).replace("_", " ").strip().casefold()
