"""Balanced data for fine-tuning: how often a video is used in an epoch, and which clips are evaluated."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edge_tdn.teaching.class_folder import is_background
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.split import Item, part

MIN_CLIPS_PER_CLASS = 24  # in an epoch
EVALUATION_STEP = 4  # evaluated clips start a fourth of a clip apart


def balance(decoded: DecodedDataSet, clip: int) -> DecodedDataSet:
    """Return the videos of an epoch: the same number of clips of every action. `clip`: frames that a clip spans.

    A long video occurs several times, each time for another part of it. Background may have hours of video: it gets as
    many clips as an action, but every video once. If these are more than all actions have together, the actions are
    repeated more often.
    """
    items: dict[int, list[Item]] = {}
    videos = Counter(video.label for video in decoded.data.videos)
    for item in zip(decoded.data.videos, decoded.frames, strict=True):
        items.setdefault(item[0].label, []).extend([item] * max(1, round(len(item[1]) / clip)))
    background = {label for label in items if is_background(decoded.data.labels[label])}
    actions = [len(own) for label, own in items.items() if label not in background]
    spread = (-(-videos[label] // max(1, len(actions))) for label in background)
    each = max(MIN_CLIPS_PER_CLASS, *actions, *spread)
    taken: list[Item] = []
    for label, own in sorted(items.items()):
        once = list(dict.fromkeys(own)) if label in background else []
        rest = max(0, each - len(once))
        taken += [*once, *(own[number * len(own) // rest] for number in range(rest))]
    return _of_items(decoded, taken)


def evaluation_clips(decoded: DecodedDataSet, clip: int) -> DecodedDataSet:
    """Return overlapping clips of the held-out videos; a video shorter than a clip is used as it is.

    Background gets at most as many clips as the action that has most: otherwise it alone would decide the accuracy.
    """
    items: dict[int, list[Item]] = {}
    for item in zip(decoded.data.videos, decoded.frames, strict=True):
        starts = range(0, len(item[1]) - clip + 1, max(1, clip // EVALUATION_STEP))
        items.setdefault(item[0].label, []).extend([part(item, first, clip) for first in starts] or [item])
    labels = decoded.data.labels
    limit = max(
        (len(own) for label, own in items.items() if not is_background(labels[label])), default=MIN_CLIPS_PER_CLASS
    )
    taken = []
    for label, own in sorted(items.items()):
        each = min(limit, len(own)) if is_background(labels[label]) else len(own)
        taken += [own[number * len(own) // each] for number in range(each)]
    return _of_items(decoded, taken)


def _of_items(whole: DecodedDataSet, items: Sequence[Item]) -> DecodedDataSet:
    data = replace(whole.data, videos=tuple(video for video, _ in items))
    return DecodedDataSet(data, tuple(frames for _, frames in items))
