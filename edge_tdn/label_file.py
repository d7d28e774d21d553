"""The labels of a model: labels.txt, one label per line, in the order of the logits."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_tdn.errors import ModelError

JOINERS = "\u200c\u200d"  # invisible characters that some scripts need within words


def check_labels(path: Path, labels: Sequence[str], classes: int, background: Sequence[str]) -> None:
    """ModelError: the labels of a file do not fit the network, or `background` does not fit them."""
    if len(labels) != classes:
        raise ModelError(f"{path}: {len(labels)} labels, but the model has {classes} classes; list one label per class")
    if set(labels) <= set(background):
        raise ModelError(f"{path}: every label is a background label; at least one must be reported")
    unknown = set(background) - set(labels)
    if unknown:
        raise ModelError(f"{path}: background label {sorted(unknown)[0]!r} is not among the labels; add or correct it")


def parse_labels(path: Path, raw: bytes) -> tuple[str, ...]:
    """Parse labels, one per line, in UTF-8 with or without a byte order mark. ModelError: a label is not valid."""
    try:
        lines = raw.decode("utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error
    return unique_labels((f"{path}:{number}", line.strip()) for number, line in enumerate(lines, 1))


def unique_labels(given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the labels of pairs of place and label. ModelError: one is empty or repeated, or is not one line."""
    labels: dict[str, None] = {}
    for where, label in given:
        if not label:
            raise ModelError(f"{where}: empty label; remove the line or name the class")
        if not is_printable(label):
            raise ModelError(f"{where}: label {label!r} has a control character; remove it")
        if label in labels:
            raise ModelError(f"{where}: duplicate label {label!r}; each label must be unique")
        labels[label] = None
    return tuple(labels)


def is_printable(text: str) -> bool:
    """Return whether a text prints as one line: it has no control character, line separator or invalid character."""
    return all(one.isprintable() or one in JOINERS or unicodedata.category(one) == "Zs" for one in text)
