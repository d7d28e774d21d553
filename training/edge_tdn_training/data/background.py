"""The class `background`, made of negatives: without it a model takes everything that it sees for an action.

Negatives are the parts of a list file's videos outside of their labelled intervals, and whole videos in which none of
the actions happens.
"""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from edge_tdn_export.clips import find
from edge_tdn_export.video_files import FoundVideos

from edge_tdn.capture.video_file import length_s
from edge_tdn.errors import SourceError
from edge_tdn.teaching.class_folder import BACKGROUND, is_background
from edge_tdn_training.data.dataset import DataSet, Video, folders_note, real_path, two_labels
from edge_tdn_training.data.description import recordings

MARGIN_S = 0.5  # left out beside a labelled interval: labels are not exact to the frame
MIN_NEGATIVE_S = 1.0  # shorter gaps between labelled intervals are left out

Interval = tuple[Path, float, float | None]  # file, from and to in seconds; None: to its end


def with_background(data: DataSet, negatives: Path | None) -> tuple[DataSet, tuple[str, ...]]:
    """Return `data` with the class `background`, if there are negatives for it, and notes for the user.

    If the data has a class of this name already, it gets the videos in the folder `negatives`, and nothing between
    labelled intervals. The recordings that negatives were cut from are read as those of other data. ModelError: no
    video in that folder.
    """
    found = find(negatives) if negatives else FoundVideos(())
    notes = folders_note(found.folders, negatives) if negatives else []
    given: list[Interval] = [(path, 0.0, None) for path in found.videos]
    recording = recordings(negatives) if negatives else Path.as_posix
    label = next((number for number, name in enumerate(data.labels) if is_background(name)), len(data.labels))
    exists = label < len(data.labels)
    between = [] if exists else _unlabelled(data)
    sources = {video.path: video.source for video in data.videos}
    videos = tuple(
        Video(path, label, sources.get(path) or recording(path), from_s, to_s)
        for path, from_s, to_s in [*given, *between]
    )
    if exists or not videos:
        if not exists:
            notes.append(f"no class {BACKGROUND!r}: the model will take everything for an action")
        return _extended(data, data.labels, data.swaps, videos, found.skipped), tuple(notes)
    parts = [f"{len(given)} video(s) of {negatives}"] if given else []
    parts += [f"{len(between)} interval(s) outside of the labelled ones"] if between else []
    extended = _extended(data, (*data.labels, BACKGROUND), (*data.swaps, label), videos, found.skipped)
    return extended, (*notes, f"class {BACKGROUND!r}: {' and '.join(parts)}")


def _extended(
    data: DataSet, labels: tuple[str, ...], swaps: tuple[int, ...], more: tuple[Video, ...], skipped: tuple[str, ...]
) -> DataSet:
    """Return `data` with more videos, and with notes on those of them that another class has as well."""
    videos = data.videos + more
    notes = (note for note in two_labels(labels, videos, real_path) if note not in data.notes)
    return replace(
        data, labels=labels, swaps=swaps, videos=videos, skipped=data.skipped + skipped, notes=(*data.notes, *notes)
    )


def _unlabelled(data: DataSet) -> list[Interval]:
    """Return the intervals of partly labelled files that lie outside of all labels."""
    labelled: dict[Path, list[tuple[float, float]]] = {}
    for video in data.videos:
        labelled.setdefault(video.path, []).append((video.from_s, float("inf") if video.to_s is None else video.to_s))
    found: list[Interval] = []
    for path, parts in labelled.items():
        end_s: float | None = None
        if all(to_s < float("inf") for _, to_s in parts):  # else nothing follows the last one
            with suppress(SourceError):  # decoding will report it
                end_s = length_s(path, pictures=data.pictures)
        edges = [(0.0, 0.0), *sorted(parts), (end_s or 0.0, float("inf"))]
        reached_s = 0.0
        for (_, before_s), (after_s, _) in pairwise(edges):
            reached_s = max(reached_s, before_s)
            from_s = reached_s + MARGIN_S if reached_s else 0.0
            to_s = after_s - MARGIN_S if after_s != end_s else after_s
            if to_s - from_s >= MIN_NEGATIVE_S:
                found.append((path, from_s, to_s))
    return found
