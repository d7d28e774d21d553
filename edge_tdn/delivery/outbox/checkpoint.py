"""What is known of the outbox beside its file, so that a lost, emptied or damaged one is noticed, and has a number.

Two copies, written in turn and in place: one of them is always whole, and a full disk allows it.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

COPIES = ("outbox.mark-0", "outbox.mark-1")


class Mark(BaseModel):
    """Written after the file: of what is there it knows no more."""

    model_config = ConfigDict(frozen=True, strict=True)

    turn: int = 0  # grows with every mark that is written
    waiting: int = 0  # events
    oldest: int = 0  # number of the first of these
    next: int = 1  # number of the next event
    last: dict[str, int] = {}  # camera -> seq of its last event
    dropped: int = 0  # events, over all starts
    lost: int = 0
    lived_s: float = 0.0  # how long daemons have run with this outbox


def read(folder: Path) -> Mark:
    """The newer of the copies that are whole; a new one if none is."""
    return max((_read(folder / name) for name in COPIES), key=lambda mark: mark.turn)


def write(folder: Path, mark: Mark) -> bool:
    """False: the disk did not take it."""
    content = mark.model_dump_json().encode()
    with suppress(OSError):
        handle = os.open(folder / COPIES[mark.turn % 2], os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, b"%08x %s\n" % (zlib.crc32(content), content), 0)
        finally:
            os.close(handle)
        return True
    return False


def _read(path: Path) -> Mark:
    try:
        crc, content = path.read_bytes().split(b"\n")[0].split(b" ", 1)
        return Mark.model_validate_json(content) if int(crc, 16) == zlib.crc32(content) else Mark()
    except (OSError, ValueError, ValidationError):
        return Mark()
