"""A file of nothing, which is given up when the disk is full: a full disk blocks deleting as much as storing."""

import os
from contextlib import suppress
from pathlib import Path

NAME = "outbox.ballast"
BYTES = 1 << 20


def inflate(folder: Path) -> None:
    """It is there, if the disk has room for four of it."""
    path = folder / NAME
    with suppress(OSError):
        if not path.exists() and _room_bytes(folder) >= 4 * BYTES:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BYTES)


def deflate(folder: Path) -> bool:
    """Gives it up; False if there is none."""
    try:
        (folder / NAME).unlink()
    except OSError:
        return False
    return True


def is_full(folder: Path, error: Exception) -> bool:
    """Where the disk has no room for the log's next pages, SQLite may also say "disk I/O error"."""
    if "full" in str(error) or "No space" in str(error):
        return True
    try:
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        return not read_only and _room_bytes(folder) < BYTES // 8
    except OSError:
        return False


def _room_bytes(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
