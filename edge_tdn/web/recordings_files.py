"""Snapshots and clips, found by the names that events have: never by a path."""

import asyncio
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_tdn.recording.recordings import OURS

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a pipe would wait for its writer
START = "%Y%m%dT%H%M%S.%fZ"  # of an action, at the beginning of a name
JUST_NOW_S = 30.0  # since the start of an action whose snapshot may not have been begun yet
WRITTEN_S, POLL_S = 10.0, 0.1  # for one that is being written: a clip is complete after its post-roll
MEDIA_TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}


@dataclass(frozen=True)
class RecordedFile:
    """A file of the recordings, as it was a moment ago."""

    path: Path
    status: os.stat_result

    @property
    def media_type(self) -> str:
        """The type of its content."""
        return MEDIA_TYPES[self.path.suffix]


def recorded_file(folder: Path | None, cameras: Collection[str], camera: str, name: str) -> RecordedFile | None:
    """Return a recording by its camera and its name. None: it is not there, or not a regular file with our name.

    `folder`: of all recordings, None: none are kept. `cameras`: names of the only folders in it that are looked into.
    No link is followed below `folder`.
    """
    if folder is None or camera not in cameras or not OURS.fullmatch(name):
        return None
    try:
        within = os.open(folder / camera, FOLDER_FLAGS)
    except OSError:
        return None
    try:
        handle = os.open(name, FILE_FLAGS, dir_fd=within)
    except OSError:
        return None
    finally:
        os.close(within)
    try:
        status = os.fstat(handle)
    finally:
        os.close(handle)
    return RecordedFile(folder / camera / name, status) if stat.S_ISREG(status.st_mode) else None


async def awaited_file(folder: Path | None, cameras: Collection[str], camera: str, name: str) -> RecordedFile | None:
    """Return a recording as `recorded_file` does; one that is just being written is waited for."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + WRITTEN_S
    while True:
        coming = may_come(folder, cameras, camera, name, datetime.now(UTC))  # first: it may come in between
        file = recorded_file(folder, cameras, camera, name)
        if file or not coming or loop.time() >= until_s:
            return file
        await asyncio.sleep(POLL_S)


def has_recording(folder: Path | None, cameras: Collection[str], of_event: str | None) -> bool:
    """Return whether a file that an event names is there. `of_event`: `<camera>/<name>`; None: the event has none."""
    camera, _, name = (of_event or "").partition("/")
    return recorded_file(folder, cameras, camera, name) is not None


def may_come(folder: Path | None, cameras: Collection[str], camera: str, name: str, now: datetime) -> bool:
    """Return whether a recording that is not there may be in a moment: it is being written, or has just begun."""
    if folder is None or camera not in cameras or not OURS.fullmatch(name):
        return False
    if os.path.lexists(folder / camera / f".{name}.part"):
        return True
    with suppress(ValueError):  # not a date
        start = datetime.strptime(name.partition("_")[0], START).replace(tzinfo=UTC)
        return abs((now - start).total_seconds()) < JUST_NOW_S
    return False
