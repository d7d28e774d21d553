"""Find the videos below a folder: files by their suffix, and folders of numbered pictures.

What cannot be a video is named, except for what commonly lies beside videos: texts, tables, single pictures. So is a
folder of pictures beside a video of its name: they are the frames of that video.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge_tdn.capture.picture_folder import AS_FOUND, Pictures, numbered
from edge_tdn.capture.picture_folder import SUFFIXES as PICTURE_SUFFIXES

SUFFIXES = (
    *(".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)
USUAL = (".mp4", ".mkv", ".avi", ".mov", ".webm")  # that messages give as examples
BESIDE_VIDEOS = (
    *PICTURE_SUFFIXES,
    *("", ".csv", ".db", ".gif", ".htm", ".html", ".ini", ".json", ".log", ".md", ".npy", ".npz", ".pdf", ".pkl"),
    *(".sha256", ".srt", ".svg", ".toml", ".tsv", ".txt", ".vtt", ".wav", ".xml", ".yaml", ".yml"),
)

Kind = Literal["file", "folder", "other", ""]


@dataclass(frozen=True)
class Reading:
    """The way in which a folder or a list of videos is read."""

    videos_in: Path | None = None  # the folder where the paths of a list begin; None: the list's own
    labels: Path | None = None  # the labels of a list; None: the file beside it
    pictures: Pictures = AS_FOUND


AS_IT_IS = Reading()


@dataclass(frozen=True)
class FoundVideos:
    """The videos of a folder or a list, in order."""

    videos: tuple[Path, ...]  # files, and folders of numbered pictures
    skipped: tuple[str, ...] = ()  # file and reason
    note: str = ""  # for the user: the format of a list, as it was recognised
    folders: tuple[Path, ...] = ()  # those of the videos below a folder that are folders of pictures


def videos_below(folder: Path) -> FoundVideos:
    """Return the videos below a folder, sorted, or the folder itself if its pictures are a video. Links are followed.

    Hidden files are left out.
    """
    videos: list[Path] = []
    folders: list[Path] = []
    skipped: list[str] = []
    for entry, kind in _entries(folder, frozenset(), skipped):
        if kind == "folder":
            folders.append(entry)
        elif kind == "file" and entry.suffix.lower() in SUFFIXES:
            videos.append(entry)
        elif reason := _why_no_video(entry, kind):
            skipped.append(f"{entry}: {reason}")
    beside = {video.with_suffix(""): video.name for video in videos}
    skipped += [f"{frames}: its frames are those of {beside[frames]}" for frames in folders if frames in beside]
    folders = sorted(frames for frames in folders if frames not in beside)
    return FoundVideos(tuple(sorted(videos + folders)), tuple(sorted(skipped)), folders=tuple(folders))


def kind_of(path: Path) -> Kind:
    """Return what a path leads to, links followed; nothing if it cannot be reached."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # no such file, a loop of links, a NUL in the name
        return ""
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def content_files(video: Path) -> list[Path]:
    """Return the files that a video consists of, in order: itself, or the pictures of a folder. OSError: no access."""
    if not video.is_dir():
        return [video]
    return sorted(path for path in video.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())


def content_sha256(video: Path) -> str:
    """Return the hexadecimal SHA-256 of a video's content, which its copies share. OSError: it cannot be read."""
    found = hashlib.sha256()
    for path in content_files(video):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def _why_no_video(path: Path, kind: Kind) -> str:
    """Return why a path that the user may take for a video is not one; nothing for what is commonly beside videos."""
    if not kind:
        return f"a link to {path.readlink()}, which does not exist" if path.is_symlink() else "cannot be reached"
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return "not a regular file"
    return (
        "" if suffix in BESIDE_VIDEOS else f"the suffix {path.suffix} is not known as a video's; rename or convert it"
    )


def _entries(folder: Path, above: frozenset[str], skipped: list[str]) -> Iterator[tuple[Path, Kind]]:
    """Yield all files below a folder, and the folders of pictures among them, whose files are left out."""
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that contains it
        return
    try:
        entries = [(path, kind_of(path)) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        skipped.append(f"{folder}: {error.strerror}")
        return
    files = [path for path, kind in entries if kind != "folder"]
    pictures = numbered(path.name for path in files)
    if pictures and not any(path.suffix.lower() in SUFFIXES for path in files):
        yield folder, "folder"
    else:
        yield from ((path, kind) for path, kind in entries if kind != "folder")
    for path, kind in entries:
        if kind == "folder":
            yield from _entries(path, above | {real}, skipped)
