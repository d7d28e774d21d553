"""The outbox's checkpoint, kept beside the database so that a lost, emptied or damaged database is noticed and counted.

There are two copies, written in turn and in place: one of them is always whole, even on a full disk.
"""

import os
import zlib
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

COPIES = ("outbox.mark-0", "outbox.mark-1")


class OutboxCheckpoint(BaseModel):
    """A summary of the outbox, written after the database has changed: it never lists an event that is not there."""

    model_config = ConfigDict(frozen=True, strict=True)

    turn: int = 0  # grows with every checkpoint; its lowest bit chooses the copy
    waiting: int = 0  # events
    oldest: int = 0  # number of the oldest waiting event
    next: int = 1  # number of the next event
    last: dict[str, int] = {}  # camera -> seq of its last event
    dropped: int = 0  # events, over all starts
    lost: int = 0  # events, over all starts
    lived_s: float = 0.0  # running time of all daemons that used this outbox


def read(folder: Path) -> OutboxCheckpoint:
    """Return the newer of the two copies that are whole, or an empty checkpoint if neither is."""
    return max((_read(folder / name) for name in COPIES), key=lambda checkpoint: checkpoint.turn)


def write(folder: Path, checkpoint: OutboxCheckpoint) -> bool:
    """Write the checkpoint over the older copy; return False if the disk refuses."""
    content = checkpoint.model_dump_json().encode()
    with suppress(OSError):
        handle = os.open(folder / COPIES[checkpoint.turn % 2], os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, b"%08x %s\n" % (zlib.crc32(content), content), 0)
        finally:
            os.close(handle)
        return True
    return False


def _read(path: Path) -> OutboxCheckpoint:
    try:
        crc, content = path.read_bytes().split(b"\n")[0].split(b" ", 1)
        whole = int(crc, 16) == zlib.crc32(content)
        return OutboxCheckpoint.model_validate_json(content) if whole else OutboxCheckpoint()
    except (OSError, ValueError, ValidationError):
        return OutboxCheckpoint()
