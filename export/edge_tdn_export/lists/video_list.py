"""A list of videos as its file states it, before files and classes are looked up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["train", "test"]  # of a list that has both


@dataclass(frozen=True)
class Place:
    """Where a listed video may be, and which part of it is meant."""

    path: str  # relative to the folder of the videos
    frames: int | None = None  # the number of pictures, if it is a folder
    from_s: float = 0.0
    to_s: float | None = None  # None: to its end
    any_suffix: bool = False  # the list leaves the suffix out


@dataclass(frozen=True)
class ListedVideo:
    """One entry of a list."""

    where: str  # file and line
    places: tuple[Place, ...]  # the first that exists is meant
    label: int | str  # a number as the list counts, or the name of the class


@dataclass(frozen=True)
class VideoList:
    """The entries of a list; all their labels are numbers, or all are names."""

    path: Path
    format: str  # as it was recognised
    videos: tuple[ListedVideo, ...]
    classes: tuple[str, ...] = ()  # all class names that the list has, sorted; none if its labels are numbers
    doubt: str = ""  # why it may be another format, which is not read: an error if none of its videos exists
