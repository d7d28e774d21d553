"""Lists that name the class of each video: Something-Something, Jester, Kinetics and HMDB51."""

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge_tdn.errors import ConfigError
from edge_tdn_export.lists.text import Line, Pairs, excerpt, lines_of, read_text, unquoted
from edge_tdn_export.lists.video_list import ListedVideo, Part, Place, VideoList

HMDB51_FILE = re.compile(r"(.+)_test_split([0-9])\.txt")
HMDB51_LINE = re.compile(r"(.*\S)\s+([012])")
HMDB51_MARKS = {"train": ("1",), "test": ("2",), None: ("1", "2")}  # 0: in neither part
SOMETHING_LINE = re.compile(r"[^;\s]+;[0-9\s]*[^;0-9\s].*")  # id;label, and the label is not a number
ENDS_WITH_NUMBER = re.compile(r"[ \t,;][0-9]+$")
HEADINGS = ("id", "video_id", "label", "template")
SPLITS: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("validate", "val", "validation", "test")}
UNLABELLED = "no label: the published test set has none; use the list of training or validation"


def without_brackets(template: str) -> str:
    """Return the label of a template: `Pushing [something]` is in class `Pushing something`."""
    return template.replace("[", "").replace("]", "")


def read_something_json(path: Path, content: Sequence[Any]) -> VideoList:
    """Return the list of Something-Something's JSON: an id, and a template with or without brackets, or a label."""
    videos = []
    for number, entry in enumerate(content, 1):
        where = f"{path}: entry {number}"
        if not isinstance(entry, Pairs) or not isinstance(key := entry.get("id"), str | int) or not str(key).strip():
            raise ConfigError(f"{where}: {excerpt(str(entry))}; expected: an object with `id` and `template`")
        label = next((text for name in ("template", "label") if isinstance(text := entry.get(name), str)), "")
        videos.append(_clip_of_id(where, str(key).strip(), label))
    return _named(path, "Something-Something JSON", videos)


def is_something_csv(lines: Sequence[Line]) -> bool:
    """Return whether each line is `id;label`, and not a path with a semicolon and a number as label."""
    if all(ENDS_WITH_NUMBER.search(line[-20:]) for _, line in lines):
        return False
    return all(line.count(";") == 1 and SOMETHING_LINE.fullmatch(line) for _, line in lines)


def read_something_csv(path: Path, lines: Sequence[Line]) -> VideoList:
    """Return the list of Something-Something's or Jester's CSV: `id;label`."""
    videos = []
    for number, line in lines:
        key, _, label = line.partition(";")
        if number == 1 and label.strip().lower() in HEADINGS:
            continue
        videos.append(_clip_of_id(f"{path}:{number}", key, unquoted(label.strip())))
    return _named(path, "Something-Something CSV", videos)


def read_kinetics_csv(path: Path, text: str, part: Part | None) -> VideoList:
    """Return the list of Kinetics' CSV: label, youtube_id, time_start, time_end, split."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    rows: list[tuple[str, dict[str, str]]] = []
    header: list[str] = []
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if header and any(fields):
                rows.append((f"{path}:{reader.line_num}", dict(zip(header, fields, strict=False))))
            header = header or fields
    except csv.Error as error:
        raise ConfigError(f"{path}:{reader.line_num}: not CSV: {error}") from error
    if "label" not in header:
        raise ConfigError(f"{path}:1: Kinetics CSV with {', '.join(header)}: {UNLABELLED}")
    return _kinetics(path, "Kinetics CSV", rows, part)


def read_kinetics_json(path: Path, content: Pairs, part: Part | None) -> VideoList:
    """Return the list of Kinetics' JSON: for each id its label, its seconds and its split."""
    rows = []
    for key, entry in content:
        notes = entry.get("annotations") if isinstance(entry, Pairs) else None
        span = notes.get("segment") if isinstance(notes, Pairs) else None
        if not isinstance(notes, Pairs) or not isinstance(span, list) or len(span) != 2:
            raise ConfigError(f"{path}: {excerpt(key)}: expected `annotations` with `label` and `segment`")
        fields = {"youtube_id": key, "label": notes.get("label"), "split": entry.get("subset")}
        rows.append(
            (f"{path}: {excerpt(key)}", {name: str(value or "") for name, value in fields.items()} | _seconds(span))
        )
    return _kinetics(path, "Kinetics JSON", rows, part)


def read_hmdb51(path: Path, part: Part | None) -> VideoList:
    """Return a split of HMDB51: this file and those of the other classes beside it; marks are 1 train, 2 test, 0."""
    split = _match(HMDB51_FILE, path.name)[2]
    videos, classes = [], []
    for file in sorted(path.parent.glob(f"*_test_split{split}.txt")):
        name = _match(HMDB51_FILE, file.name)[1]
        classes.append(name)
        for number, line in lines_of(read_text(file)):
            found = HMDB51_LINE.fullmatch(line)
            if found is None:
                raise ConfigError(f"{file}:{number}: {excerpt(line)}; expected: a video and 1 (train), 2 (test) or 0")
            if found[2] in HMDB51_MARKS[part]:
                places = Place(f"{name}/{found[1]}"), Place(found[1])
                videos.append(ListedVideo(f"{file}:{number}", places, name))
    which = f"split {split}" + ("" if part is None else f", its {part} part")
    return _named(path, f"HMDB51 {which}", videos, classes)


def is_hmdb51(path: Path, lines: Sequence[Line]) -> bool:
    """Return whether a file is of a split of HMDB51: its name is that of a class, its lines end with a mark."""
    return bool(HMDB51_FILE.fullmatch(path.name)) and all(HMDB51_LINE.fullmatch(line) for _, line in lines)


def _kinetics(path: Path, name: str, rows: Sequence[tuple[str, dict[str, str]]], part: Part | None) -> VideoList:
    splits = dict.fromkeys(row.get("split", "").lower() for _, row in rows)
    taken = next((split for split in SPLITS[part] if split in splits), None) if part and len(splits) > 1 else None
    if part and len(splits) > 1 and taken is None:
        raise ConfigError(
            f"{path}: {name} with the splits {', '.join(splits)}; expected one of {', '.join(SPLITS[part])}"
        )
    videos = [
        ListedVideo(where, tuple(_clips_of_youtube(where, row)), unquoted(row.get("label", "")))
        for where, row in rows
        if taken is None or row.get("split", "").lower() == taken
    ]
    return _named(path, name if taken is None else f"{name}, its split {taken!r}", videos)


def _clips_of_youtube(where: str, row: dict[str, str]) -> Iterator[Place]:
    """Yield where a clip may be: cut out and named `ID_000012_000022`, or within the whole video `ID`."""
    key, split, label = row.get("youtube_id", ""), row.get("split", ""), unquoted(row.get("label", ""))
    try:
        from_s, to_s = (float(row.get(name, "")) for name in ("time_start", "time_end"))
    except ValueError:
        from_s, to_s = math.nan, math.nan
    if not key or not 0 <= from_s < to_s < 10**6:
        raise ConfigError(f"{where}: {excerpt(str(row))}; expected: youtube_id, and time_start before time_end")
    classes = dict.fromkeys(("", label, label.replace(" ", "_")))
    folders = [
        f"{above}{name}" for above in ("", f"{split}/") for name in (f"{one}/" if one else "" for one in classes)
    ]
    for folder in folders:
        yield Place(f"{folder}{key}_{int(from_s):06}_{int(to_s):06}", any_suffix=True)
    for folder in folders:
        yield Place(f"{folder}{key}", None, from_s, to_s, any_suffix=True)


def _seconds(span: list[Any]) -> dict[str, str]:
    return {"time_start": str(span[0]), "time_end": str(span[1])}


def _clip_of_id(where: str, key: str, label: str) -> ListedVideo:
    """Return a video whose name is its id: a file with any suffix, or a folder of pictures."""
    return ListedVideo(where, (Place(key, any_suffix=True),), label)


def _named(path: Path, name: str, videos: Sequence[ListedVideo], classes: Sequence[str] = ()) -> VideoList:
    for video in videos:
        if not str(video.label).strip():
            raise ConfigError(f"{video.where}: {name}: {UNLABELLED}")
    found = classes or sorted({without_brackets(str(video.label)) for video in videos})
    return VideoList(path, name, tuple(videos), tuple(found))


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    assert found
    return found
