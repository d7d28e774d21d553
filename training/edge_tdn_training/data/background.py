"""The class of everything else, made from negatives: without one, a model takes whatever it sees for an action.

Negatives are what a list file's videos show outside of their labelled parts, and whole videos in which nothing of all
that is to be told happens.
"""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from edge_tdn_export.clips import find_videos

from edge_tdn.capture.video_file import length_s
from edge_tdn.errors import SourceError
from edge_tdn_training.data.dataset import DataSet, Video, recordings

LABEL = "background"
MARGIN_S = 0.5  # beside a labelled part: an action does not begin to the frame
SHORTEST_S = 1.0  # of a stretch that is worth anything


def with_background(data: DataSet, negatives: Path | None) -> tuple[DataSet, tuple[str, ...]]:
    """`data` with the class `background`, where negatives for it are found, and what a person should know of that.

    A class of this name that is there already gets the videos in the folder `negatives`, and no stretches between
    labelled parts. Which of them are of one recording is said as in other data. ModelError: no video in that folder.
    """
    given = [(path, 0.0, None) for path in find_videos(negatives)] if negatives else []
    recording = recordings(negatives) if negatives else Path.as_posix
    there = LABEL in data.labels
    between = [] if there else _outside(data)
    label = data.labels.index(LABEL) if there else len(data.labels)
    named = {video.path: video.source for video in data.videos}
    videos = tuple(
        Video(path, label, named.get(path) or recording(path), from_s, to_s)
        for path, from_s, to_s in [*given, *between]
    )
    if there or not videos:
        said = () if there else (f"no class {LABEL!r}: the model will take everything for an action; see --negatives",)
        return replace(data, videos=data.videos + videos), said
    told = [f"{len(given)} video(s) of {negatives}"] if given else []
    told += [f"{len(between)} stretch(es) outside of the labelled parts"] if between else []
    labels, swaps = (*data.labels, LABEL), (*data.swaps, label)
    made = replace(data, labels=labels, swaps=swaps, videos=data.videos + videos)
    return made, (f"class {LABEL!r}: {' and '.join(told)}",)


def _outside(data: DataSet) -> list[tuple[Path, float, float | None]]:
    """Stretches of files of which parts are labelled, that are in none of them."""
    labelled: dict[Path, list[tuple[float, float]]] = {}
    for video in data.videos:
        labelled.setdefault(video.path, []).append((video.from_s, float("inf") if video.to_s is None else video.to_s))
    found: list[tuple[Path, float, float | None]] = []
    for path, parts in labelled.items():
        end_s: float | None = None
        if all(to_s < float("inf") for _, to_s in parts):  # else nothing is left behind them
            with suppress(SourceError):  # decoding will name it
                end_s = length_s(path)
        edges = [(0.0, 0.0), *sorted(parts), (end_s or 0.0, float("inf"))]
        reached_s = 0.0
        for (_, before_s), (after_s, _) in pairwise(edges):
            reached_s = max(reached_s, before_s)
            from_s = reached_s + MARGIN_S if reached_s else 0.0
            to_s = after_s - MARGIN_S if after_s != end_s else after_s
            if to_s - from_s >= SHORTEST_S:
                found.append((path, from_s, to_s))
    return found
