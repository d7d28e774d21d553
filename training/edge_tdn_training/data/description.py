"""The optional file `dataset.toml` beside the data, which describes what file names do not.

source = '(.+)-[0-9]+'      # regular expression for a name without its suffix: the recording of a clip
first_label = 0             # the number of the first label in a list, 0 or 1; only if the list does not show it

[flip]                      # the class of a mirrored clip; other classes look the same in a mirror
"turn left" = "turn right"
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_tdn_export.lists.numbering import FIRST_KEY

from edge_tdn.errors import ConfigError
from edge_tdn.spelling import hint
from edge_tdn.teaching.class_folder import DESCRIPTION, read_description, recording_of

KEYS = ("source", "flip", FIRST_KEY)


class Description:
    """The description of the data in a folder. ConfigError: `dataset.toml` is not valid."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / DESCRIPTION
        self._table = _table(self._path)
        self.source = recording_of(self._path, self._table.get("source"))  # from a video's path to its recording

    @property
    def first_label(self) -> int | None:
        """The number of the first label in a list; None: not stated."""
        value = self._table.get(FIRST_KEY)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value in (0, 1)):
            return value
        raise ConfigError(f"{self._path}: {FIRST_KEY}: {value!r} is neither 0 nor 1")

    def swaps(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Return for each label that of its mirror image. ConfigError: [flip] does not fit the labels."""
        return _swaps(self._path, self._table.get("flip", {}), labels)


def recordings(folder: Path) -> Callable[[Path], str]:
    """Return a function from a video's path to its recording, for the videos in `folder`, which may be a class's.

    The recordings are described by `dataset.toml` in this folder or in its parent. ConfigError: it is not valid.
    """
    beside = (folder, folder.parent)
    return Description(next((place for place in beside if (place / DESCRIPTION).is_file()), folder)).source


def _table(path: Path) -> dict[str, Any]:
    """Return the keys of `dataset.toml`; none if the file does not exist."""
    table = read_description(path)
    for key in table:
        if key not in KEYS:
            raise ConfigError(f"{path}: {key}: unknown key; allowed: {', '.join(KEYS)}")
    return table


def _swaps(path: Path, flip: object, labels: Sequence[str]) -> tuple[int, ...]:
    if not isinstance(flip, dict):
        raise ConfigError(f'{path}: flip: {flip!r} is not a table; expected: [flip], then label = "label in a mirror"')
    swaps: dict[str, str] = {}
    for label, other in flip.items():
        for name in (label, other):
            if name not in labels:
                raise ConfigError(f"{path}: flip: {name!r} is not a label{_nearest(name, labels)}")
        for one, two in ((label, other), (other, label)):
            if swaps.setdefault(one, two) != two:
                raise ConfigError(f"{path}: flip: {one!r} cannot become both {swaps[one]!r} and {two!r}")
    return tuple(labels.index(swaps.get(label, label)) for label in labels)


def _nearest(name: object, labels: Iterable[str]) -> str:
    known = list(labels)
    return "; " + (hint(str(name), known) or f"there are: {', '.join(known[:8])}")
