"""The length of an MP4, from its index: without a decoder, so that a folder of hundreds is read in a moment."""

import struct
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 64  # of a file, and of its index, before the one that is looked for
MIN_BOX = 8  # bytes: length and type


def mp4_length_s(path: Path) -> float:
    """Return the length in seconds; 0 if this is not an MP4, or is damaged or gone."""
    try:
        with path.open("rb") as file:
            index = _find(file, b"moov", 0, path.stat().st_size)
            header = _find(file, b"mvhd", *index) if index else None
            return _seconds(file, *header) if header else 0.0
    except (OSError, struct.error):
        return 0.0


def _find(file: BinaryIO, kind: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Return where the content of the first box of a type starts and ends, between two places of the file."""
    for _ in range(MAX_BOXES):
        if start + MIN_BOX > end:
            return None
        file.seek(start)
        length, found = struct.unpack(">I4s", file.read(MIN_BOX))
        head = MIN_BOX
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            head = 16
        elif length == 0:  # up to the end
            length = end - start
        if length < head:
            return None
        if found == kind:
            return start + head, min(start + length, end)
        start += length
    return None


def _seconds(file: BinaryIO, start: int, end: int) -> float:
    """Return the length that the movie header declares."""
    file.seek(start)
    content = file.read(min(end - start, 32))
    if content[0:1] == b"\x01":
        per_second, length = struct.unpack(">IQ", content[20:32])
    else:
        per_second, length = struct.unpack(">II", content[12:20])
    return length / per_second if per_second else 0.0
