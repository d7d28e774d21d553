"""A data set: videos and their labels. A folder for each class, or a list file.

    clips/                      train.txt            one video per line: `path [frames] label`, as published
    ├── dataset.toml            labels.txt           one label per line; the list refers to them by number, from 0
    ├── turn left/*.mp4         dataset.toml
    └── turn right/*.mp4

Paths in a list are relative to the list's folder. `path#t=2.5,7` is the part of a video from second 2.5 to 7. The
number of frames, which published lists have, is ignored.

`dataset.toml` is optional and describes what file names do not:

    source = '(.+)-[0-9]+'      # regular expression for a name without its suffix: the recording of a clip

    [flip]                      # the class of a mirrored clip; other classes look the same in a mirror
    "turn left" = "turn right"
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_tdn_export.clips import SUFFIXES

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.manifest import LABELS, parse_labels
from edge_tdn.spelling import hint

DESCRIPTION = "dataset.toml"
PART = re.compile(r"#t=([0-9.]*)(?:,([0-9.]+))?$")  # the part of a video, as a media fragment
SIDE = re.compile(r"(?<![^\W_])(left|right)(?![^\W_])", re.IGNORECASE)


@dataclass(frozen=True)
class Video:
    """One example of a class."""

    path: Path
    label: int  # index into DataSet.labels
    source: str  # the recording it was cut from; a split never has clips of one recording on both sides
    from_s: float = 0.0  # the part of the file, in seconds
    to_s: float | None = None  # None: to its end

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

    @property
    def sideways(self) -> tuple[str, ...]:
        """The labels that contain "left" or "right" and are not in `[flip]`: probably forgotten there."""
        return tuple(
            label for i, label in enumerate(self.labels) if self.swaps[i] == i and len(set(SIDE.findall(label))) == 1
        )


def open_data(path: Path) -> DataSet:
    """Read the data set in a folder or a list file. Videos are not opened.

    ConfigError: no such path, an empty class, an invalid class name or `dataset.toml`.
    """
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_list(path)
    raise ConfigError(f"{path}: no such data; expected a folder with a folder of videos for each class, or a list file")


def _open_folder(folder: Path) -> DataSet:
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise ConfigError(f"{folder}: no class in it; create a folder of videos for each class, named as the class")
    labels = tuple(class_name(entry) for entry in classes)
    source, swaps = _description(folder / DESCRIPTION, labels)
    videos: list[Video] = []
    for label, entry in enumerate(classes):
        own = sorted(path for path in entry.rglob("*") if _is_video(path))
        if not own:
            raise ConfigError(f"{entry}: no video of this class; looked for {', '.join(SUFFIXES)}")
        videos += [Video(path, label, source(path.relative_to(folder))) for path in own]
    skipped = tuple(f"{path}: is not in the folder of a class" for path in sorted(folder.iterdir()) if _is_video(path))
    return DataSet(labels, tuple(videos), swaps, skipped)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")


def class_name(folder: Path) -> str:
    """Return the name of a class's folder, which need not exist. ConfigError: not a valid line of labels.txt."""
    name = folder.name
    try:
        fits = parse_labels(folder, name.encode()) == (name,)
    except (UnicodeEncodeError, ModelError):
        fits = False
    if not fits or not name.isprintable():
        raise ConfigError(
            f"{name!r} in {folder.parent}: not a valid class name: use one line of UTF-8 without blanks around it"
        )
    return name


def _open_list(path: Path) -> DataSet:
    labels = parse_labels(path.parent / LABELS, _read(path.parent / LABELS))
    source, swaps = _description(path.parent / DESCRIPTION, labels)
    try:
        lines = _read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 (byte {error.start}); a list of videos must be a text file") from error
    videos: list[Video] = []
    skipped: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        named, label = line.rsplit(maxsplit=1) if len(line.split()) > 1 else ("", "")
        if not named or not label.isascii() or not label.isdigit() or int(label) >= len(labels):
            raise ConfigError(
                f"{where}: {line.strip()[:80]!r}; expected: path, and a label from 0 to {len(labels) - 1}"
            )
        video = _video(path.parent, named.strip(), int(label), where)
        if video.path.is_file():
            videos.append(replace(video, source=source(video.path)))
        else:
            folder = "a folder; join its pictures to a video first" if video.path.is_dir() else "no such video"
            skipped.append(f"{where}: {video.path}: {folder}")
    if not videos:
        raise ConfigError("\n".join([f"{path}: none of its videos exists", *skipped[:10]]))
    return DataSet(labels, tuple(videos), swaps, tuple(skipped))


def _video(base: Path, named: str, label: int, where: str) -> Video:
    """Parse `path` or `path frames`; file names may contain blanks and may end with a number."""
    part = PART.search(named)
    try:
        from_s, to_s = (float(part[1] or 0), float(part[2]) if part[2] else None) if part else (0.0, None)
    except ValueError:
        from_s = to_s = -1.0
    if to_s is not None and from_s >= to_s:
        raise ConfigError(f"{where}: {named!r}: not a part of a video; expected: #t=FROM,TO in seconds")
    path = base / (named[: part.start()] if part else named)
    shorter, _, frames = named.rpartition(" ")
    if not part and shorter and frames.isdigit() and not path.exists():
        return _video(base, shorter.rstrip(), label, where)
    return Video(path, label, "", from_s, to_s)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def recordings(folder: Path) -> Callable[[Path], str]:
    """Return a function from a video's path to its recording, for the videos in `folder`, which may be a class's.

    The recordings are described by `dataset.toml` in this folder or in its parent. ConfigError: it is not valid.
    """
    beside = [place / DESCRIPTION for place in (folder, folder.parent)]
    path = next((path for path in beside if path.is_file()), beside[0])
    return _source(path, _table(path).get("source"))


def _description(path: Path, labels: tuple[str, ...]) -> tuple[Callable[[Path], str], tuple[int, ...]]:
    """Read `dataset.toml`: a function from a path to its recording, and the labels of mirror images."""
    table = _table(path)
    return _source(path, table.get("source")), _swaps(path, table.get("flip", {}), labels)


def _table(path: Path) -> dict[str, Any]:
    """Return the keys of `dataset.toml`; none if the file does not exist."""
    table: dict[str, Any] = {}
    if path.exists():
        try:
            table = tomllib.loads(_read(path).decode("utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
    for key in table:
        if key not in ("source", "flip"):
            raise ConfigError(f"{path}: {key}: unknown key; allowed: source, flip")
    return table


def _source(path: Path, pattern: object) -> Callable[[Path], str]:
    """Return a function from a path to its recording: by the file's name alone, in whichever class it is."""
    if pattern is None:
        return Path.as_posix  # every file is a recording of its own
    if not isinstance(pattern, str):
        raise ConfigError(f"{path}: source: {pattern!r} is not a text; expected: a regular expression")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{path}: source: {pattern!r} is not a regular expression: {error}") from error
    if compiled.groups != 1:
        raise ConfigError(f"{path}: source: {pattern!r}: must have one group, the recording: '(.+)-[0-9]+'")

    def source(video: Path) -> str:
        found = compiled.fullmatch(video.stem)
        return found[1] if found else video.as_posix()

    return source


def _swaps(path: Path, flip: object, labels: tuple[str, ...]) -> tuple[int, ...]:
    if not isinstance(flip, dict):
        raise ConfigError(f'{path}: flip: {flip!r} is not a table; expected: [flip], then label = "label in a mirror"')
    swaps: dict[str, str] = {}
    for label, other in flip.items():
        for name in (label, other):
            if name not in labels:
                raise ConfigError(f"{path}: flip: {name!r} is not a label{_nearest(name, labels)}")
        for one, two in ((label, other), (other, label)):
            if swaps.setdefault(one, two) != two:
                raise ConfigError(f"{path}: flip: {one!r} cannot become both {swaps[one]!r} and {two!r}")
    return tuple(labels.index(swaps.get(label, label)) for label in labels)


def _nearest(name: object, labels: Iterable[str]) -> str:
    known = list(labels)
    return "; " + (hint(str(name), known) or f"there are: {', '.join(known[:8])}")
