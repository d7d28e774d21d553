"""Files of labels as they are published, in the order of a model's logits.

Turn left                      one label per line: labels.txt; category.txt of TSM and TDN
1 ApplyEyeMakeup               numbered, from 1 or from 0: classInd.txt of UCF101; "0,abseiling" with or without
                               a header line "id,name": the labels of Kinetics
ApplyEyeMakeup 1               numbered at the end
{"Turning something": "0"}     JSON with a number for each label: Something-Something V2; or the other way round
["up", "down"]                 JSON
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_tdn.errors import ConfigError, ModelError
from edge_tdn.label_file import parse_labels, unique_labels
from edge_tdn.manifest import LABELS, WEIGHTS
from edge_tdn_export.lists.text import Line, Pairs, counted, excerpt, lines_of, read_json, read_text, unquoted
from edge_tdn_export.video_files import SUFFIXES

NUMBERED = re.compile(r"(?P<number>[0-9]{1,9})[\s,;:]+(?P<label>\S.*)")
NUMBER_LAST = re.compile(r"(?P<label>.*[^\s,;:])[\s,;:]+(?P<number>[0-9]{1,9})")
HEADER = re.compile(r"(id|index|number|class_?id|label_?id)[\s,;:]+(name|label|class|class_?name)", re.IGNORECASE)
LISTED = re.compile(rf"\S({'|'.join(map(re.escape, SUFFIXES))})[\"']?([\s,;]+[0-9]+)*$", re.IGNORECASE)
PLAIN = "one label per line"
MAX_LISTED = 300  # characters at the end of a line that show that it is of a list
NAMES = (LABELS, "classInd.txt", "category.txt", "label_map.txt", "labels.json")  # looked for beside a list
PATTERNS = ("*labels.json", "*labels.csv", "*label_map*.txt")


@dataclass(frozen=True)
class LabelFile:
    """The labels of a file."""

    path: Path
    labels: tuple[str, ...]
    format: str
    first: int | None = None  # the number of the first label, where the file states it

    @property
    def note(self) -> str:
        """The format as it was recognised, for the user."""
        base = "" if self.first is None else f", {self.first}-based"
        return f"{self.path}: {self.format}{base}, {counted(len(self.labels), 'label')}"


def read_labels(path: Path) -> LabelFile:
    """Read a file of labels. ConfigError, ModelError: not such a file, or a label that is not valid."""
    text = read_text(path)
    if path.name == LABELS and (path.parent / WEIGHTS).is_file():  # of a run or a model folder: nothing to recognise
        return LabelFile(path, parse_labels(path, text.encode()), PLAIN)
    if (content := read_json(path, text)) is not None:
        return _of_json(path, content)
    lines = lines_of(text)
    _check_no_list(path, lines)
    header = bool(lines) and HEADER.fullmatch(lines[0][1][:MAX_LISTED]) is not None
    pairs = _pairs(path, lines[header:], NUMBERED)
    if header and len(pairs) < len(lines) - 1:
        number, line = next(one for one in lines[1:] if not NUMBERED.fullmatch(one[1]))
        raise ConfigError(f"{path}:{number}: {excerpt(line)}; expected a number and a label, as the header says")
    if header or _counts(pairs):
        return _numbered(path, "numbered labels", pairs)
    if pairs and all(";" in line for _, line in lines):
        raise ConfigError(f"{path}:1: {excerpt(lines[0][1])}: a list of videos and their labels, not labels alone")
    if len({label for _, _, label in pairs}) == len(lines):  # without numbers they differ: an error of the numbers
        return _numbered(path, "numbered labels", pairs)
    if _counts(last := _pairs(path, lines, NUMBER_LAST)):
        return _numbered(path, "labels with their numbers", last)
    return LabelFile(path, parse_labels(path, text.encode()), PLAIN)


def find_labels(listed: Path) -> Path | None:
    """Return the file of labels beside a list, or None. ConfigError: there are several."""
    folder = listed.parent
    for name in NAMES:
        if (folder / name).is_file() and folder / name != listed:
            return folder / name
    found = sorted({path for pattern in PATTERNS for path in folder.glob(pattern) if path != listed})
    own = [path for path in found if listed.name.startswith(re.split("label", path.name)[0])]
    if len(own or found) > 1:
        shown = ", ".join(path.name for path in own or found)
        raise ConfigError(f"{listed}: several files of labels beside it: {shown}; choose one with --labels-of-list")
    return next(iter(own or found), None)


def _of_json(path: Path, content: Any) -> LabelFile:
    if isinstance(content, Pairs) and content:
        pairs = [(key, value) for key, value in content if isinstance(value, str | int)]
        by_name = all(_is_number(value) for _, value in pairs)
        if len(pairs) == len(content) and (by_name or all(_is_number(key) for key, _ in pairs)):
            turned = [(int(value), key) if by_name else (int(key), str(value)) for key, value in pairs]
            return _numbered(path, "JSON with numbered labels", [(str(path), *pair) for pair in turned])
    elif isinstance(content, list) and content and all(isinstance(label, str) for label in content):
        where = [f"{path}: label {number}" for number in range(len(content))]
        return LabelFile(path, _unique(path, zip(where, content, strict=True)), "JSON with a list of labels")
    raise ConfigError(f"{path}: JSON, but not labels; expected a number for each label, or a list of labels")


def _pairs(path: Path, lines: Sequence[Line], pattern: re.Pattern[str]) -> list[tuple[str, int, str]]:
    """Return place, number and label of each line; none unless every line has both."""
    found = [(f"{path}:{number}", pattern.fullmatch(line)) for number, line in lines]
    pairs = [(where, int(one["number"]), unquoted(one["label"].strip())) for where, one in found if one]
    return pairs if len(pairs) == len(lines) else []


def _counts(pairs: Sequence[tuple[str, int, str]]) -> bool:
    """Return whether the numbers count from 0 or 1, and the labels differ without them: "2 hands" may be a label."""
    numbers = sorted(number for _, number, _ in pairs)
    names = {label for _, _, label in pairs}
    return bool(pairs) and numbers[0] < 2 and numbers == list(range(numbers[0], numbers[0] + len(names)))


def _numbered(path: Path, name: str, pairs: Sequence[tuple[str, int, str]]) -> LabelFile:
    """Return the labels in the order of their numbers, which must count from 0 or 1 without a gap."""
    ordered = sorted(pairs, key=lambda pair: pair[1])
    first = ordered[0][1] if ordered else 0
    for expected, (where, number, label) in enumerate(ordered, first):
        if number != expected or first > 1:
            raise ConfigError(
                f"{where}: label {excerpt(label)} has the number {number}; expected numbers from 0 or 1 on, each once, "
                f"or a JSON list if the numbers belong to the labels"
            )
    labels = _unique(path, ((where, unquoted(label.strip())) for where, _, label in ordered))
    return LabelFile(path, labels, name, first)


def _unique(path: Path, given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    labels = unique_labels((where, label.strip()) for where, label in given)
    if not labels:
        raise ModelError(f"{path}: no label in the file")
    return labels


def _check_no_list(path: Path, lines: Sequence[Line]) -> None:
    """ConfigError: the file is a list of videos."""
    if lines and all(LISTED.search(line[-MAX_LISTED:]) for _, line in lines):
        number, line = lines[0]
        raise ConfigError(
            f"{path}:{number}: {excerpt(line)}: a list of videos, not labels; expected one label per line"
        )
    if lines and "youtube_id" in lines[0][1]:
        raise ConfigError(f"{path}:1: a list of Kinetics, not labels; expected one label per line")


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
