"""The folder of snapshots and clips: each file is written whole or not at all.

Above the limit on their size, and below that on the free space of the disk, the oldest files are deleted. A disk that
other files fill gets no recording.

<folder>/<camera>/<start>_<label>_<number>.jpg and .mp4; the order of names is the order of time. Files with other names
are not ours: they do not count, and are never deleted.
"""

import os
import re
import shutil
import unicodedata
from contextlib import suppress
from pathlib import Path

from edge_tdn.errors import EdgeTdnError
from edge_tdn.messages import ActionEvent

MB = 1_000_000
OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[A-Za-z0-9-]+_\d+\.(?:jpg|mp4)")
UNFINISHED = re.compile(rf"\.{OURS.pattern}\.part")
MAX_LABEL = 60  # characters of a label in a file name


class Recordings:
    """One camera's part of the folder. Raises OSError as the disk does. Used by one thread."""

    def __init__(self, folder: Path, camera: str, max_bytes: int, min_free_bytes: int = 0) -> None:
        """Remove what a killed daemon left unfinished.

        `max_bytes`: of all cameras' files together. `min_free_bytes`: of the disk.
        """
        self.removed = 0  # files that were deleted to make room
        self._folder, self._max_bytes, self._min_free_bytes = folder, max_bytes, min_free_bytes
        with suppress(OSError):
            for entry in os.scandir(folder / camera):
                if UNFINISHED.fullmatch(entry.name):
                    Path(entry.path).unlink()

    def begin(self, name: str) -> Path:
        """Return the path to write the file of this name to, as events have it. It counts once it is kept.

        EdgeTdnError: the disk has too little free space, even without all recordings.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._missing_bytes() > 0:
            self._make_room()
        if (missing_bytes := self._missing_bytes()) > 0:
            free_mb, min_mb = (self._min_free_bytes - missing_bytes) // MB, self._min_free_bytes // MB
            raise EdgeTdnError(
                f"{self._folder}: its disk has {free_mb} MB left, and record.min_free_mb keeps {min_mb} free; delete "
                "other files there, or choose another folder"
            )
        return path.with_name(f".{path.name}.part")

    def keep(self, scratch: Path) -> Path:
        """Give a written file its final name, and return that. An earlier file of the same name is replaced."""
        handle = os.open(scratch, os.O_RDONLY)
        try:
            os.fsync(handle)  # before the name: a power cut must not leave an empty file under it
        finally:
            os.close(handle)
        path = scratch.replace(scratch.with_name(scratch.name.removeprefix(".").removesuffix(".part")))
        self._make_room()
        return path

    def discard(self, scratch: Path) -> None:
        """Delete what was written, if it was not kept."""
        with suppress(OSError):
            scratch.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Delete the oldest files of all cameras until the rest is small enough, and enough of the disk is free."""
        files = []
        for camera in os.scandir(self._folder):
            if not camera.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(camera.path):
                if OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another camera's thread was quicker
                        files.append((entry.name, entry.path, entry.stat(follow_symlinks=False).st_size))
        excess = max(sum(size for _, _, size in files) - self._max_bytes, self._missing_bytes())
        for _, path, size in sorted(files):
            if excess <= 0:
                break
            Path(path).unlink(missing_ok=True)
            self.removed += 1
            excess -= size

    def _missing_bytes(self) -> int:
        """Return how much more of the disk has to be free; 0 or less: enough is."""
        return self._min_free_bytes - shutil.disk_usage(self._folder).free


def file_name(event: ActionEvent, suffix: str) -> str:
    """Return the name of an action's file below the folder: `front-door/20260301T120000.250Z_left_12.jpg`.

    It is safe on every file system. `suffix`: jpg or mp4.
    """
    plain = unicodedata.normalize("NFKD", event.label).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]+", "-", plain)[:MAX_LABEL].strip("-") or f"label-{event.label_index}"
    number = event.id.rpartition("/")[2]
    return f"{event.camera}/{re.sub('[-:]', '', event.started_at)}_{label}_{number}.{suffix}"
