"""What is learnt from and what is judged by: never clips of one recording on both sides.

A class whose videos are all of one recording is split in time: its last videos are judged by, and the one before them
is left out; of one or two, the end of the last, with a segment's frames left out before it. What lies that close
together looks alike, so the figure says how well these recordings are known, and little about others.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_tdn.errors import ConfigError
from edge_tdn.messages import FRAMES_PER_SEGMENT
from edge_tdn_training.data.dataset import DataSet, Video
from edge_tdn_training.data.decoded import Decoded, Frames

MANY = 3  # videos of one recording that are split without being cut
Item = tuple[Video, Frames]


@dataclass(frozen=True)
class Split:
    lessons: Decoded
    held_out: Decoded
    said: tuple[str, ...]  # what a person should know of it


def check_share(share: float) -> None:
    """ConfigError: nothing, or everything, would be held out."""
    if not 0 < share < 1:
        raise ConfigError(f"--hold-out {share:g}: between 0 and 1")


def hold_out(data: DataSet, share: float, seed: int) -> tuple[DataSet, DataSet]:
    """What to learn from, and what to judge by: about `share` of every class, never both from one source.

    ConfigError: a class of which nothing can be held out, because all its videos are of one source.
    """
    held, left = _sources(data, share, seed)
    if left:
        count = sum(video.label == left[0] for video in data.videos)
        raise ConfigError(
            f"class {data.labels[left[0]]!r}: nothing can be held out of its {count} video(s) that is not of the same "
            f"recording as the rest; record it another time, or hold nothing out"
        )
    kept = replace(data, videos=tuple(video for video in data.videos if video.source not in held))
    return kept, replace(data, videos=tuple(video for video in data.videos if video.source in held), skipped=())


def split(decoded: Decoded, share: float, clip: int, seed: int) -> Split:
    """By recording; in time where a class has only one. `clip`: frames that the model looks at.

    ConfigError: a class that has too little to be split.
    """
    data, said = copies_are_one(decoded.data)
    held, left = _sources(data, share, seed)
    items = list(zip(data.videos, decoded.frames, strict=True))
    lessons = [item for item in items if item[0].label not in left and item[0].source not in held]
    judged = [item for item in items if item[0].label not in left and item[0].source in held]
    for label in left:
        own = sorted((item for item in items if item[0].label == label), key=_natural)
        name = f"class {data.labels[label]!r}"
        before, after = _in_time(name, own, share, clip)
        lessons, judged = lessons + before, judged + after
        between = "one video" if len(own) >= MANY else f"{FRAMES_PER_SEGMENT} frames"
        said += [f"{name}: one recording, split in time, {between} left out between: {_told(before, after)}"]
    parts = [
        Decoded(replace(data, videos=tuple(v for v, _ in own)), tuple(f for _, f in own)) for own in (lessons, judged)
    ]
    held_out = replace(parts[1], data=replace(parts[1].data, skipped=()))
    check_apart(parts[0].data, held_out.data)
    return Split(parts[0], held_out, tuple(said))


def check_judge(lessons: DataSet, judge: DataSet) -> None:
    """Of other data to judge by. ConfigError: as `check_apart`; or a recording, named by dataset.toml, is in both."""
    check_apart(lessons, judge)
    learnt = {video.source: video for video in lessons.videos if _is_named(video)}
    for video in judge.videos:
        if other := learnt.get(video.source):
            raise ConfigError(
                f"{video.name}: is of the recording {video.source!r}, and so is {other.name}, which is learnt from: "
                f"the figure would say little; move one, or where they are two recordings, name them apart"
            )


def _is_named(video: Video) -> bool:
    """Else a file is a recording of its own, and the source is its place in its own data."""
    return not video.path.as_posix().endswith(video.source)


def check_apart(lessons: DataSet, held_out: DataSet) -> None:
    """ConfigError: something that is to be judged by is learnt from, too: the same seconds of a file, or a copy."""
    both = replace(lessons, videos=(*lessons.videos, *held_out.videos))
    copies = _copies(both)
    learnt: dict[str, list[Video]] = {}
    for video in lessons.videos:
        learnt.setdefault(copies[_real(video)], []).append(video)
    for video in held_out.videos:
        for other in learnt.get(copies[_real(video)], ()):
            if video.from_s < _end(other) and other.from_s < _end(video):
                raise ConfigError(
                    f"{video.name}: would be judged by and is learnt from, as {other.name}: the figure would mean "
                    f"nothing; leave it out of one of them"
                )


def part(item: Item, first: int, count: int) -> Item:
    """Some frames of a video, as a video of their own."""
    video, frames = item
    from_s = video.from_s + first / frames.rate
    return replace(video, from_s=from_s, to_s=from_s + count / frames.rate), frames.part(first, count)


def _sources(data: DataSet, share: float, seed: int) -> tuple[list[str], list[int]]:
    """Sources to hold out, and the labels of which these hold nothing."""
    total = Counter(video.label for video in data.videos)
    want = {label: max(1, round(share * count)) for label, count in total.items()}
    inside: dict[str, Counter[int]] = {}  # how many videos of each class a source gave
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
        if leaves_some(source) and all(count(label) + n <= want[label] for label, n in inside[source].items()):
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
    """Videos of one recording, in the order of time."""
    if len(own) >= MANY:
        count = min(max(1, round(share * len(own))), len(own) - 2)
        return list(own[: -count - 1]), list(own[-count:])
    *earlier, last = own
    total = len(last[1])
    judged = max(clip, round(share * total))
    kept = total - judged - FRAMES_PER_SEGMENT
    if kept < clip:
        wanted_s = (2 * clip + FRAMES_PER_SEGMENT) / last[1].rate
        raise ConfigError(
            f"{name}: nothing can be held out of its {len(own)} video(s) of one recording: three are wanted at least, "
            f"or one of {wanted_s:.1f} s; record it more often"
        )
    return [*earlier, part(last, 0, kept)], [part(last, total - judged, judged)]


def _told(before: Sequence[Item], after: Sequence[Item]) -> str:
    def length(own: Sequence[Item]) -> str:
        return f"{len(own)} video(s), {sum(len(frames) / frames.rate for _, frames in own):.1f} s"

    return f"{length(before)}, to learn from, {length(after)}, to judge by"


def _natural(item: Item) -> tuple[list[str | int], float]:
    """take-2 comes before take-10."""
    pieces: list[str | int] = list(re.split("([0-9]+)", item[0].path.as_posix()))
    pieces[1::2] = map(int, pieces[1::2])
    return pieces, item[0].from_s


def copies_are_one(data: DataSet) -> tuple[DataSet, list[str]]:
    """A file and its copies are one recording, whatever their names say; and what a person should know of that."""
    copies = _copies(data)
    firsts: dict[str, int] = {}
    said: list[str] = []
    videos = list(data.videos)
    for number, video in enumerate(data.videos):
        first = firsts.setdefault(copies[_real(video)], number)
        old, new = videos[number].source, videos[first].source
        if old == new:
            continue
        said.append(f"{video.path}: the same file as {videos[first].path}; they are taken to be of one recording")
        videos = [replace(one, source=new) if one.source == old else one for one in videos]
    return replace(data, videos=tuple(videos)), said


def _copies(data: DataSet) -> dict[str, str]:
    """Each file -> the name that its copies have, too. Only files of the same size are read."""
    sizes: dict[int, set[str]] = {}
    for video in data.videos:
        sizes.setdefault(video.path.stat().st_size, set()).add(_real(video))
    named: dict[str, str] = {}
    for files in sizes.values():
        for file in files:
            named[file] = file if len(files) == 1 else _digest(file)
    return named


def _digest(file: str) -> str:
    with open(file, "rb") as content:  # noqa: PTH123  (a name that is its own key)
        return hashlib.file_digest(content, "sha256").hexdigest()


def _real(video: Video) -> str:
    return str(video.path.resolve())


def _end(video: Video) -> float:
    return float("inf") if video.to_s is None else video.to_s
