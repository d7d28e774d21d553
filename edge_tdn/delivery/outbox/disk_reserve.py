"""A reserve file, deleted when the disk is full so that SQLite can still delete rows: that needs room for its log."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

NAME = "outbox.ballast"
RESERVE_BYTES = 1 << 20
FULL_BYTES = RESERVE_BYTES // 8  # a disk with less room than this counts as full


def create(folder: Path) -> None:
    """Create the reserve if it is missing and the disk has room for four of it."""
    path = folder / NAME
    with suppress(OSError):
        if not path.exists() and shutil.disk_usage(folder).free >= 4 * RESERVE_BYTES:
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)


def release(folder: Path) -> bool:
    """Delete the reserve; return whether there was one."""
    try:
        (folder / NAME).unlink()
    except OSError:
        return False
    return True


def is_full(folder: Path, error: Exception) -> bool:
    """Return whether `error` comes from a full disk.

    SQLite may report "disk I/O error" where there is no room for the next pages of its log, so the free space decides.
    """
    if "full" in str(error) or "No space" in str(error):
        return True
    try:
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        return not read_only and shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:
        return False
