"""The clips of a folder of classes: what there is, what is missing before a training, and moving a clip."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_tdn.errors import EdgeTdnError
from edge_tdn.media.mp4_length import mp4_length_s
from edge_tdn.teaching.class_folder import (
    BACKGROUND,
    DESCRIPTION,
    FOLDER_NAMES,
    class_name,
    is_background,
    is_folder_name,
    read_description,
    recording_of,
)

MIN_CLIPS = 10  # of a class, below which more are recommended
SUFFIX = ".mp4"

MissingCode = Literal["no_background", "no_action", "one_recording", "few_clips"]


@dataclass(frozen=True)
class ListedClip:
    """A clip, without its length: that is in the file."""

    label: str
    name: str  # of the file
    recording: str
    bytes: int
    modified_ns: int  # wall clock


@dataclass(frozen=True)
class ListedClass:
    """A class of clips."""

    label: str
    background: bool
    clips: int
    recordings: int
    bytes: int


@dataclass(frozen=True)
class Missing:
    """What the clips lack before a training is worth while."""

    code: MissingCode
    label: str  # empty: it concerns all classes
    text: str


class ClipList:
    """The clips below a folder. Any thread may use it: what changes is the disk."""

    def __init__(self, folder: Path, discarded: Path) -> None:
        """`folder`: of the classes; it need not exist. `discarded`: where discarded clips are put, by class."""
        self.folder, self.discarded = folder, discarded
        self._lengths: dict[tuple[str, str, int], float] = {}  # by label, name and time; filled by any thread

    def clips(self, label: str | None = None) -> list[ListedClip]:
        """Return the clips of a class, None: of all; newest first. ConfigError: `dataset.toml` is wrong."""
        recording = recording_of(self.folder / DESCRIPTION, read_description(self.folder / DESCRIPTION).get("source"))
        found = [
            ListedClip(folder.name, entry.name, recording(Path(entry.name)), status.st_size, status.st_mtime_ns)
            for folder in self._classes()
            if label is None or folder.name == label
            for entry, status in _files(folder)
        ]
        return sorted(found, key=lambda clip: (clip.modified_ns, clip.name), reverse=True)

    def length_s(self, clip: ListedClip) -> float:
        """Return the length of a clip in seconds; 0: unknown."""
        key = clip.label, clip.name, clip.modified_ns
        if key not in self._lengths:
            self._lengths[key] = mp4_length_s(self.folder / clip.label / clip.name)
        return self._lengths[key]

    def file(self, label: str, name: str) -> Path | None:
        """Return the file of a clip; None: there is none such. No link is followed below the folder."""
        for folder in self._classes():
            if folder.name == label:
                return next((Path(one.path) for one, _ in _files(folder) if one.name == name and _is_mp4(name)), None)
        return None

    def move(self, label: str, name: str, to: str | None) -> Path:
        """Put a clip into another class, None: discard it. Return its new path. EdgeTdnError: that cannot be done."""
        path = self.file(label, name)
        if path is None:
            raise EdgeTdnError(f"{label!r} has no clip {name!r} any more")
        target = self.discarded / label if to is None else self.folder / checked_label(self.folder, to)
        if target == path.parent:
            return path
        try:
            target.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(target / name):
                raise EdgeTdnError(f"{target / name} exists; delete or rename that clip first")
            path.rename(target / name)
        except OSError as error:
            raise EdgeTdnError(f"{target / name}: {error.strerror}") from error
        _remove_if_empty(path.parent)
        return target / name

    def _classes(self) -> Iterator[Path]:
        """Yield the folders of classes, in the order of their names."""
        try:
            entries = sorted(os.scandir(self.folder), key=lambda entry: entry.name)
        except OSError:  # nothing was recorded yet
            return
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def classes(clips: Sequence[ListedClip]) -> list[ListedClass]:
    """Return the classes of clips: actions by name, then the background."""
    labels = sorted({clip.label for clip in clips}, key=lambda label: (is_background(label), label))
    return [_class(label, [clip for clip in clips if clip.label == label]) for label in labels]


def missing(found: Sequence[ListedClass]) -> list[Missing]:
    """Return what clips of these classes lack, and what to do about it."""
    lacks: list[Missing] = []
    if all(one.background for one in found):
        lacks.append(Missing("no_action", "", "Record an action: what the model is to recognise."))
    if not any(one.background for one in found):
        text = f"Record the class {BACKGROUND}: everything else that the camera sees on a usual day."
        lacks.append(Missing("no_background", BACKGROUND, text))
    for one in found:
        if one.clips < MIN_CLIPS:
            text = f"{one.label} has {one.clips} clip(s); record at least {MIN_CLIPS}."
            lacks.append(Missing("few_clips", one.label, text))
        if one.recordings == 1:
            text = (
                f"All clips of {one.label} are of one hour and camera; record more at another time, so that the model "
                "can be evaluated on recordings that it was not trained on."
            )
            lacks.append(Missing("one_recording", one.label, text))
    return lacks


def checked_label(folder: Path, label: str) -> str:
    """Return a label that may be a class below a folder. EdgeTdnError: it may not."""
    if not is_folder_name(label):
        raise EdgeTdnError(f"{label!r}: {FOLDER_NAMES}")
    return class_name(folder / label)


def _class(label: str, own: Sequence[ListedClip]) -> ListedClass:
    recordings = {clip.recording for clip in own}
    return ListedClass(label, is_background(label), len(own), len(recordings), sum(clip.bytes for clip in own))


def _is_mp4(name: str) -> bool:
    return name.lower().endswith(SUFFIX)


def _files(folder: Path) -> Iterator[tuple["os.DirEntry[str]", os.stat_result]]:
    """Yield the regular files of a class that are not hidden; one that is gone meanwhile is left out."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield entry, status


def _remove_if_empty(folder: Path) -> None:
    """Remove the folder of a class without clips: a class without any cannot be trained."""
    try:
        folder.rmdir()
    except OSError:
        return
