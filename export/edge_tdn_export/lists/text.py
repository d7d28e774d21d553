"""The text of a list or a file of labels: decoded, and as numbered lines."""

import codecs
import json
from pathlib import Path
from typing import Any

from edge_tdn.errors import ConfigError
from edge_tdn.foreign_file import HEAD_BYTES, failed_copy

ENCODINGS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # by the byte order mark; else UTF-8
SAMPLE_BYTES = 4096
QUOTES = "\"'"

Line = tuple[int, str]  # number from 1, text without blanks around it


def read_text(path: Path) -> str:
    """Return the text of a file, UTF-8, or UTF-16 with its mark.

    ConfigError: it cannot be read, is not a text, or is what a failed download or copy leaves.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if reason := failed_copy(raw[:HEAD_BYTES]):
        raise ConfigError(f"{path}: {reason}")
    encoding = ENCODINGS.get(raw[:2], "utf-8-sig")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 (byte {error.start}); save the file as UTF-8") from error


def is_text(path: Path) -> bool:
    """Return whether a file begins as a text does, and not as a video."""
    try:
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError:
        return True  # reading it gives the reason
    if sample[:2] in ENCODINGS:
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return "\0" not in decoder.decode(sample)
    except UnicodeDecodeError:
        return False


def lines_of(text: str) -> list[Line]:
    """Return the lines that are not blank. Only a line feed ends one: other separators may be in a file's name."""
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read_json(path: Path, text: str) -> Any:
    """Parse JSON; an object is returned as a list of its pairs, so that none is lost. None: it is another format.

    ConfigError: the file is named as JSON and is not.
    """
    if text.lstrip()[:1] not in ("{", "["):  # names of files and labels may begin with a bracket too
        return None
    try:
        return json.loads(text, object_pairs_hook=Pairs)
    except (ValueError, RecursionError) as error:
        if path.suffix.lower() != ".json":
            return None
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigError(f"{path}{line}: not JSON: {getattr(error, 'msg', type(error).__name__)}") from error


class Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, in order."""

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        return dict(self).get(key)


def unquoted(text: str) -> str:
    """Return a text without the quotation marks around it."""
    if len(text) > 1 and text[0] in QUOTES and text[-1] == text[0]:
        return text[1:-1].replace(text[0] * 2, text[0])
    return text


def printable(path: Path) -> str:
    """Return a path as it can be printed in UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def without_controls(text: str) -> str:
    """Replace control characters: the name of a file or a label must not control the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def counted(number: int, noun: str) -> str:
    """Return `1 video`, `2 videos`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def excerpt(text: str) -> str:
    """Return the beginning of a text, quoted, for an error."""
    return repr(text if len(text) <= 80 else f"{text[:79]}…")
