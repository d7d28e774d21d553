"""The folder of snapshots and clips: written whole or not at all, the oldest go when there are too many.

<folder>/<camera>/<start>_<label>_<number>.jpg and .mp4; sorted by name is sorted by time. Files with other names are
not ours: they do not count, and stay.
"""

import os
import re
import unicodedata
from contextlib import suppress
from pathlib import Path

from edge_tdn.messages import ActionEvent

OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z_[A-Za-z0-9-]+_\d+\.(?:jpg|mp4)")
UNFINISHED = re.compile(rf"\.{OURS.pattern}\.part")
LABEL_MOST = 60  # characters of a file's name


class Recordings:
    """One camera's part of the folder. OSError: as the disk has it."""

    def __init__(self, folder: Path, camera: str, most_bytes: int) -> None:
        """`most_bytes`: of all cameras' files together. What a killed daemon left unfinished is removed."""
        self._folder, self._camera, self._most_bytes = folder, folder / camera, most_bytes
        self.removed = 0  # files that went to make room
        with suppress(OSError):
            for entry in os.scandir(self._camera):
                if UNFINISHED.fullmatch(entry.name):
                    Path(entry.path).unlink()

    def begin(self, event: ActionEvent, kind: str) -> Path:
        """Where to write a file of an action; `kind`: jpg or mp4. It counts once it is kept."""
        self._camera.mkdir(parents=True, exist_ok=True)
        return self._camera / f".{file_name(event)}.{kind}.part"

    def keep(self, scratch: Path) -> Path:
        """What was written takes its place; where it is now. An earlier one of the same name is replaced."""
        handle = os.open(scratch, os.O_RDONLY)
        try:
            os.fsync(handle)  # before the name: a power cut must not leave an empty file under it
        finally:
            os.close(handle)
        path = scratch.replace(scratch.with_name(scratch.name.removeprefix(".").removesuffix(".part")))
        self._make_room()
        return path

    def discard(self, scratch: Path) -> None:
        """Nothing remains."""
        with suppress(OSError):
            scratch.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Removes the oldest files of all cameras until the rest is small enough."""
        files = []
        for camera in os.scandir(self._folder):
            if not camera.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(camera.path):
                if OURS.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another camera's thread was quicker
                        files.append((entry.name, entry.path, entry.stat(follow_symlinks=False).st_size))
        too_many = sum(size for _, _, size in files) - self._most_bytes
        for _, path, size in sorted(files):
            if too_many <= 0:
                break
            Path(path).unlink(missing_ok=True)
            self.removed += 1
            too_many -= size


def file_name(event: ActionEvent) -> str:
    """`20260301T120000.250Z_left_12`, the same for all messages of one action, safe on every file system."""
    plain = unicodedata.normalize("NFKD", event.label).encode("ascii", "ignore").decode()
    label = re.sub(r"[^A-Za-z0-9]+", "-", plain)[:LABEL_MOST].strip("-") or f"label-{event.label_index}"
    return f"{re.sub('[-:]', '', event.started_at)}_{label}_{event.id.rpartition('/')[2]}"
