"""Split a data set into clips to train on and held-out clips: no recording is on both sides.

A class whose videos are all of one recording is split in time. Its last videos are held out, and the one before them
is left out of both sides; of one or two videos, the end of the last is held out, with a segment's frames left out
before it. Clips so close together look alike: the accuracy then says how well the model knows these recordings, and
little about others.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_tdn.errors import ConfigError
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn_training.data.copies import content_keys, copies_are_one
from edge_tdn_training.data.dataset import DataSet, Video, real_path
from edge_tdn_training.data.decoded import DecodedDataSet
from edge_tdn_training.data.frames import Frames

MIN_WHOLE_VIDEOS = 3  # of one recording: fewer are split by cutting the last one
Item = tuple[Video, Frames]


@dataclass(frozen=True)
class DataSplit:
    """Both sides of a split."""

    train: DecodedDataSet
    held_out: DecodedDataSet
    notes: tuple[str, ...]  # for the user: copies, and classes that were split in time


def check_share(share: float) -> None:
    """ConfigError: nothing, or everything, would be held out."""
    if not 0 < share < 1:
        raise ConfigError(f"--hold-out {share:g}: must be between 0 and 1")


def hold_out(data: DataSet, share: float, seed: int) -> tuple[DataSet, DataSet]:
    """Return the videos to train on, and about `share` of every class held out; no source is on both sides.

    ConfigError: nothing can be held out of a class, because all its videos are of one source.
    """
    held, left = _choose_sources(data, share, seed)
    if left:
        count = sum(video.label == left[0] for video in data.videos)
        raise ConfigError(
            f"class {data.labels[left[0]]!r}: nothing can be held out of its {count} video(s) that is not of the same "
            f"recording as the rest; record it another time, or hold nothing out"
        )
    kept = replace(data, videos=tuple(video for video in data.videos if video.source not in held))
    return kept, replace(data, videos=tuple(video for video in data.videos if video.source in held), skipped=())


def split(decoded: DecodedDataSet, share: float, clip: int, seed: int) -> DataSplit:
    """Split by recording, and in time where a class has only one. `clip`: frames that a clip of the model spans.

    ConfigError: a class that is too short to be split.
    """
    data, copies = copies_are_one(decoded.data)
    notes = list(copies)
    held, left = _choose_sources(data, share, seed)
    items = list(zip(data.videos, decoded.frames, strict=True))
    train = [item for item in items if item[0].label not in left and item[0].source not in held]
    held_out = [item for item in items if item[0].label not in left and item[0].source in held]
    for label in left:
        own = sorted((item for item in items if item[0].label == label), key=_natural)
        name = f"class {data.labels[label]!r}"
        before, after = _in_time(name, own, share, clip)
        train, held_out = train + before, held_out + after
        between = "one video" if len(own) >= MIN_WHOLE_VIDEOS else f"{FRAMES_PER_SEGMENT} frames"
        notes += [f"{name}: one recording, split in time, {between} left out between: {_lengths(before, after)}"]
    sides = [
        DecodedDataSet(replace(data, videos=tuple(v for v, _ in own)), tuple(f for _, f in own))
        for own in (train, held_out)
    ]
    evaluated = replace(sides[1], data=replace(sides[1].data, skipped=()))
    check_apart(sides[0].data, evaluated.data)
    return DataSplit(sides[0], evaluated, tuple(notes))


def check_evaluation_data(train: DataSet, evaluation: DataSet) -> None:
    """Check separate evaluation data (--evaluate-on).

    ConfigError: as `check_apart`, or a recording that dataset.toml names is on both sides.
    """
    check_apart(train, evaluation)
    trained = {video.source: video for video in train.videos if _is_named(video)}
    for video in evaluation.videos:
        if other := trained.get(video.source):
            raise ConfigError(
                f"{video.name}: is of the recording {video.source!r}, and so is {other.name}, which is trained on: "
                f"the accuracy would mean little; move one of them, or name the recordings differently if they are two"
            )


def _is_named(video: Video) -> bool:
    """Return whether dataset.toml names the recording; otherwise the source is the file's path."""
    return not video.path.as_posix().endswith(video.source)


def check_apart(train: DataSet, held_out: DataSet) -> None:
    """ConfigError: something held out is trained on as well: the same seconds of a file, or a copy of it."""
    both = replace(train, videos=(*train.videos, *held_out.videos))
    copies = content_keys(both)
    trained: dict[str, list[Video]] = {}
    for video in train.videos:
        trained.setdefault(copies[real_path(video)], []).append(video)
    for video in held_out.videos:
        for other in trained.get(copies[real_path(video)], ()):
            if video.overlaps(other):
                raise ConfigError(
                    f"{video.name}: would be evaluated on and is trained on, as {other.name}: the accuracy would mean "
                    f"nothing; remove it from one of them"
                )


def part(item: Item, first: int, count: int) -> Item:
    """Return `count` frames of a video, from number `first` on, as a video of their own."""
    video, frames = item
    from_s = video.from_s + first / frames.rate
    return replace(video, from_s=from_s, to_s=from_s + count / frames.rate), frames.part(first, count)


def _choose_sources(data: DataSet, share: float, seed: int) -> tuple[list[str], list[int]]:
    """Return the sources to hold out, and the labels of which these contain nothing."""
    total = Counter(video.label for video in data.videos)
    target = {label: max(1, round(share * count)) for label, count in total.items()}
    inside: dict[str, Counter[int]] = {}  # source -> number of its videos by label
    for video in data.videos:
        inside.setdefault(video.source, Counter())[video.label] += 1
    order = [sorted(inside)[i] for i in np.random.default_rng(seed).permutation(len(inside))]
    held: list[str] = []
    left: list[int] = []

    def count(label: int) -> int:
        return sum(inside[source][label] for source in held)

    def leaves_some(source: str) -> bool:
        return all(count(label) + n < total[label] for label, n in inside[source].items())

    for source in order:
        if leaves_some(source) and all(count(label) + n <= target[label] for label, n in inside[source].items()):
            held.append(source)
    for label in sorted(total):
        if count(label):
            continue
        larger = [source for source in order if source not in held and inside[source][label] and leaves_some(source)]
        if larger:
            held.append(min(larger, key=lambda source: inside[source].total()))
        else:
            left.append(label)
    return held, left


def _in_time(name: str, own: Sequence[Item], share: float, clip: int) -> tuple[list[Item], list[Item]]:
    """Split the videos of one recording, which are in the order of time, into earlier and later ones."""
    if len(own) >= MIN_WHOLE_VIDEOS:
        count = min(max(1, round(share * len(own))), len(own) - 2)
        return list(own[: -count - 1]), list(own[-count:])
    *earlier, last = own
    total = len(last[1])
    held_out = max(clip, round(share * total))
    kept = total - held_out - FRAMES_PER_SEGMENT
    if kept < clip:
        needed_s = (2 * clip + FRAMES_PER_SEGMENT) / last[1].rate
        raise ConfigError(
            f"{name}: nothing can be held out of its {len(own)} video(s) of one recording: it needs at least three, or "
            f"one of {needed_s:.1f} s; record it more often"
        )
    return [*earlier, part(last, 0, kept)], [part(last, total - held_out, held_out)]


def _lengths(before: Sequence[Item], after: Sequence[Item]) -> str:
    def length(own: Sequence[Item]) -> str:
        return f"{len(own)} video(s), {sum(len(frames) / frames.rate for _, frames in own):.1f} s"

    return f"{length(before)}, to train on, {length(after)}, held out"


def _natural(item: Item) -> tuple[list[str | int], float]:
    """Return a sort key by which take-2 comes before take-10."""
    pieces: list[str | int] = list(re.split("([0-9]+)", item[0].path.as_posix()))
    pieces[1::2] = map(int, pieces[1::2])
    return pieces, item[0].from_s
