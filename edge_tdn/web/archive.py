"""The clips as one archive, made while it is sent: nothing of it is kept in memory or on the disk."""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from edge_tdn.teaching.class_folder import DESCRIPTION
from edge_tdn.web.recordings_files import FILE_FLAGS

ROOT = "clips"  # the folder in the archive
PIECE_BYTES = 65_536
MODE = 0o644


def tar_chunks(folder: Path) -> Iterator[bytes]:
    """Yield a folder of classes as a tar archive: its description and the clips of each class, nothing hidden.

    No link is followed. A file that is deleted meanwhile is left out. OSError: one cannot be read to its end.
    """
    for place in _places(folder):
        try:
            handle = os.open(folder / place, FILE_FLAGS)
        except OSError:  # deleted, or a link
            continue
        with os.fdopen(handle, "rb", buffering=0) as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                continue
            head = tarfile.TarInfo(f"{ROOT}/{place}")
            head.size, head.mtime, head.mode = status.st_size, int(status.st_mtime), MODE
            yield head.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            left = status.st_size
            while left:
                piece = file.read(min(left, PIECE_BYTES))
                if not piece:
                    raise OSError(f"{place}: shorter than it was")
                left -= len(piece)
                yield piece
            yield bytes(-status.st_size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _places(folder: Path) -> Iterator[str]:
    """Yield the paths of all files, relative to the folder, in the order of their names."""
    yield DESCRIPTION
    for label in _names(folder, folders=True):
        for name in _names(folder / label, folders=False):
            yield f"{label}/{name}"


def _names(folder: Path, folders: bool) -> list[str]:
    """Return the names of the folders in a folder, or of its files; none if it has just been removed."""
    try:
        with os.scandir(folder) as entries:
            found = [one for one in entries if not one.name.startswith(".")]
            return sorted(
                one.name
                for one in found
                if (one.is_dir(follow_symlinks=False) if folders else one.is_file(follow_symlinks=False))
            )
    except FileNotFoundError:
        return []
