"""The folder of snapshots and clips: each file is written whole or not at all; above the limit the oldest are deleted.

<folder>/<camera>/<start>_<label>_<number>.jpg and .mp4; the order of names is the order of time. Files with other names
are not ours: they do not count, and are never deleted.
"""

import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path

from edge_tdn.messages import ActionEvent

OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[A-Za-z0-9-]+_\d+\.(?:jpg|mp4)")
UNFINISHED = re.compile(rf"\.{OURS.pattern}\.part")
MAX_LABEL = 60  # characters of a label in a file name


class Recordings:
    """One camera's part of the folder. Raises OSError as the disk does. Used by one thread."""

    def __init__(self, folder: Path, camera: str, max_bytes: int) -> None:
        """Remove what a killed daemon left unfinished. `max_bytes`: of all cameras' files together."""
        self.removed = 0  # files that were deleted to make room
        self._folder, self._max_bytes = folder, max_bytes
        with suppress(OSError):
            for entry in os.scandir(folder / camera):
                if UNFINISHED.fullmatch(entry.name):
                    Path(entry.path).unlink()

    def begin(self, name: str) -> Path:
        """Return the path to write the file of this name to, as events have it. It counts once it is kept."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
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
        """Delete the oldest files of all cameras until the rest is small enough."""
        files = []
        for camera in os.scandir(self._folder):
            if not camera.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(camera.path):
                if OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another camera's thread was quicker
                        files.append((entry.name, entry.path, entry.stat(follow_symlinks=False).st_size))
        excess = sum(size for _, _, size in files) - self._max_bytes
        for _, path, size in sorted(files):
            if excess <= 0:
                break
            Path(path).unlink(missing_ok=True)
            self.removed += 1
            excess -= size


def file_name(event: ActionEvent, suffix: str) -> str:
    """Return the name of an action's file below the folder: `front-door/20260301T120000.250Z_left_12.jpg`.

    It is safe on every file system. `suffix`: jpg or mp4.
    """
    plain = unicodedata.normalize("NFKD", event.label).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]+", "-", plain)[:MAX_LABEL].strip("-") or f"label-{event.label_index}"
    number = event.id.rpartition("/")[2]
    return f"{event.camera}/{re.sub('[-:]', '', event.started_at)}_{label}_{number}.{suffix}"
