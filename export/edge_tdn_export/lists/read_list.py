"""Read a list of videos: recognise its format by its content, and find its videos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_tdn.errors import ConfigError
from edge_tdn_export.lists.named import (
    is_hmdb51,
    is_something_csv,
    read_hmdb51,
    read_kinetics_csv,
    read_kinetics_json,
    read_something_csv,
    read_something_json,
)
from edge_tdn_export.lists.numbered import read_numbered
from edge_tdn_export.lists.text import Pairs, counted, lines_of, printable, read_json, read_text
from edge_tdn_export.lists.video_list import ListedVideo, Part, Place, VideoList
from edge_tdn_export.video_files import SUFFIXES, FoundVideos, kind_of

HEADER = "youtube_id"  # a column of Kinetics


@dataclass(frozen=True)
class LocatedVideo:
    """An entry of a list whose video exists."""

    index: int  # of the entry in the list
    place: Place
    path: Path
    is_folder: bool


def read_list(path: Path, part: Part | None = None) -> VideoList:
    """Read a list in any of the published formats. `part`: of a list that has videos for training and for tests.

    ConfigError: it cannot be read, has no video, or a line is wrong.
    """
    text = read_text(path)
    lines = lines_of(text)
    if not lines:
        raise ConfigError(f"{path}: no video in it; expected a list with one video per line")
    if (content := read_json(path, text)) is not None:
        return _of_json(path, content, part)
    if HEADER in lines[0][1].replace('"', "").replace(" ", "").split(","):
        found = read_kinetics_csv(path, text, part)
    elif is_hmdb51(path, lines):
        found = read_hmdb51(path, part)
    elif is_something_csv(lines):
        found = read_something_csv(path, lines)
    else:
        found = read_numbered(path, lines)
    return _with_videos(found)


def locate(listed: VideoList, folder: Path) -> tuple[list[LocatedVideo], list[str]]:
    """Return the entries whose videos exist below `folder`, and for each of the others its line and a reason."""
    names = _NamesWithoutSuffix()
    located: list[LocatedVideo] = []
    skipped: list[str] = []
    for index, video in enumerate(listed.videos):
        for place in video.places:
            path = names.find(folder / place.path) if place.any_suffix else folder / place.path
            if path is not None and (kind := kind_of(path)) in ("file", "folder"):
                located.append(LocatedVideo(index, place, path, kind == "folder"))
                break
        else:
            likely = next((place for place in video.places if place.frames is not None), video.places[0])
            skipped.append(f"{video.where}: {printable(folder / likely.path)}: no such video{_hint(video)}")
    if not located and listed.doubt:
        raise ConfigError(listed.doubt)
    if not located:
        raise ConfigError(
            "\n".join(
                [
                    f"{listed.path}: {listed.format}: none of its videos exists below {folder}; "
                    f"choose their folder with --videos-in",
                    *skipped[:10],
                ]
            )
        )
    return located, skipped


def find_listed(path: Path, folder: Path | None = None) -> FoundVideos:
    """Return the videos of a list, each once. `folder`: their paths begin there; None: at the list's own folder."""
    listed = read_list(path)
    located, skipped = locate(listed, folder or path.parent)
    videos = tuple(dict.fromkeys(video.path for video in located))
    return FoundVideos(videos, tuple(skipped), f"{path}: {format_of(listed, located)}, {counted(len(videos), 'video')}")


def format_of(listed: VideoList, located: Sequence[LocatedVideo]) -> str:
    """Return the name of a list's format, as the user should know it."""
    folders = sum(video.is_folder for video in located)
    if listed.format == "list of videos" and folders == len(located):
        return "list of frame folders, as of TSN and TDN"
    return listed.format + (f", {folders} of them folders of pictures" if 0 < folders < len(located) else "")


def _of_json(path: Path, content: Any, part: Part | None) -> VideoList:
    if isinstance(content, Pairs):
        values = [value for _, value in content]
        if values and all(isinstance(value, Pairs) for value in values):
            return _with_videos(read_kinetics_json(path, content, part))
        if content.get("segments"):
            raise ConfigError(f"{path}: the intervals of a long video, not a list; see evaluate --stream")
        raise ConfigError(f"{path}: JSON, but not a list of videos; is it a file of labels? name the list instead")
    if not isinstance(content, list) or not all(isinstance(entry, Pairs) for entry in content):
        raise ConfigError(f"{path}: JSON, but not a list of videos; expected objects with `id` and `template`")
    return _with_videos(read_something_json(path, content))


def _with_videos(found: VideoList) -> VideoList:
    if not found.videos:
        raise ConfigError(f"{found.path}: {found.format}: no video in it")
    return found


def _hint(video: ListedVideo) -> str:
    if any(place.path[1:3] in (":\\", ":/") for place in video.places):
        return ", a path of Windows; write paths relative to --videos-in"
    return ""


class _NamesWithoutSuffix:
    """The videos of folders by their names without a suffix; each folder is read once. Used by one thread."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, Path]] = {}

    def find(self, path: Path) -> Path | None:
        """Return the video of this name, with any suffix, or the folder; None if there is neither."""
        if path.parent not in self._folders:
            self._folders[path.parent] = dict(_named(path.parent))
        return self._folders[path.parent].get(path.name)


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        entries = sorted(folder.iterdir())
    except (OSError, ValueError):  # no such folder, or a name with a NUL
        return
    for path in entries:
        yield path.name, path
        if path.suffix.lower() in SUFFIXES:
            yield path.name.removesuffix(path.suffix), path
