"""Find the same video in several places of a data set: the same file or folder, or a copy of its content."""

from dataclasses import replace
from pathlib import Path

from edge_tdn_export.video_files import content_files, content_sha256

from edge_tdn_training.data.dataset import DataSet, real_path, two_labels


def content_keys(data: DataSet) -> dict[str, str]:
    """Return for each real path a key that it shares with its copies. Only files of the same size are read."""
    same: dict[object, set[str]] = {}
    for path in {real_path(video) for video in data.videos}:
        same.setdefault(_size(path), set()).add(path)
    return {path: path if len(paths) == 1 else _sha256(path) for paths in same.values() for path in paths}


def copies_are_one(data: DataSet) -> tuple[DataSet, list[str]]:
    """Return `data` with a file and its copies as one recording, whatever their names are, and notes for the user."""
    copies = content_keys(data)
    firsts: dict[str, int] = {}
    notes: list[str] = []
    videos = list(data.videos)
    for number, video in enumerate(data.videos):
        first = firsts.setdefault(copies[real_path(video)], number)
        old, new = videos[number].source, videos[first].source
        if old == new:
            continue
        notes.append(f"{video.path}: the same file as {videos[first].path}; both are treated as one recording")
        videos = [replace(one, source=new) if one.source == old else one for one in videos]
    names = two_labels(data.labels, data.videos, lambda video: copies[real_path(video)])
    notes += [note for note in names if note not in data.notes]  # by their paths they are named already
    return replace(data, videos=tuple(videos)), notes


def _size(path: str) -> tuple[int, ...]:
    """Return the size of a file; of a folder the number of its pictures, and the sizes of the first and the last."""
    try:
        files = content_files(Path(path))
        return (len(files), *(file.stat().st_size for file in (files[:1] + files[-1:])))
    except OSError:  # decoding reports it
        return ()


def _sha256(path: str) -> str:
    """Return the hash of a video's content, or its path if it cannot be read, which decoding reports."""
    try:
        return content_sha256(Path(path))
    except OSError:
        return path
