"""Events for an outbox, a clock, a disk that can be made to fail, and ways to damage the database."""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox import database
from edge_tdn.delivery.outbox.outbox import Outbox, OutboxTiming

PAYLOAD = b'{"label":"%d"}' + b" " * 600
TIMING = OutboxTiming()


class ManualClock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def make_events(first: int, last: int, camera: str = "door") -> list[tuple[str, int, bytes]]:
    """Return camera, seq and payload of the events `first` to `last`."""
    return [(camera, seq, PAYLOAD % seq) for seq in range(first, last + 1)]


def open_outbox(
    folder: Path | None, clock: ManualClock | None = None, timing: OutboxTiming = TIMING, **config: float
) -> Outbox:
    """Open an outbox with the keys of [outbox] in `config`."""
    return Outbox(folder, OutboxConfig.model_validate(config), clock or ManualClock(), timing)


def waiting_seqs(outbox: Outbox, camera: str = "door") -> list[int]:
    """Return the seqs of all waiting events of a camera, in the order of sending."""
    return [entry.seq for entry in outbox.after(0, 1_000_000) if entry.camera == camera]


def connection_of(outbox: Outbox) -> sqlite3.Connection:
    """Return SQLite's connection, for faults that cannot be caused from outside."""
    assert outbox._storage._database
    return outbox._storage._database._connection


def write_all_to_the_file(connection: sqlite3.Connection) -> None:
    """Move everything from SQLite's log and page cache to the file."""
    for pragma in ("wal_checkpoint(TRUNCATE)", "cache_size = 0"):
        connection.execute(f"PRAGMA {pragma}")


class SwitchableDisk:
    """A disk that refuses writes while it is broken. It patches how databases are opened."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.broken = False
        self._connect = database.connect
        patch.setattr(database, "connect", self._open)

    def set(self, broken: bool) -> None:
        self.broken = broken
        self._connection.execute(f"PRAGMA query_only = {int(broken)}")

    def _open(self, path: str) -> sqlite3.Connection:
        self._connection = self._connect(path)
        self.set(self.broken)
        return self._connection


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mount a file system at a new folder, with the arguments of mount(8)."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", *arguments, str(folder)], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(disk: Path, option: str) -> None:
    """Mount a disk again with another option: ro, rw, size=16m."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True, capture_output=True)


def fill(disk: Path) -> Path:
    """Write a file until the disk is full, and return it."""
    with (disk / "hog").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    return disk / "hog"


# -------------------------------------------------------------------------------------------------- damaged databases


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero_the_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def flip_bytes(path: Path, every: int = 1000) -> None:
    """Flip a byte out of `every`, except in the first page."""
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content), every):
        content[place] ^= 0xFF
    path.write_bytes(content)


def flip_one_bit_after(path: Path, text: bytes) -> None:
    """Flip a bit in the last place where `text` occurs."""
    content = bytearray(path.read_bytes())
    content[content.rindex(text)] ^= 1
    path.write_bytes(content)


def flip_one_bit_of_a_payload(path: Path) -> None:
    flip_one_bit_after(path, b'"label":"')


def flip_in_the_header(place: int) -> Callable[[Path], None]:
    """Return a damage that flips a bit of one byte."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 64
        path.write_bytes(content)

    return damage


require_a_newer_sqlite = flip_in_the_header(47)  # "unsupported file format"
forbid_writing = flip_in_the_header(18)  # "attempt to write a readonly database"


def break_the_schema(path: Path) -> None:
    """Make the schema invalid. SQLite's message quotes it, and is not UTF-8 then."""
    path.write_bytes(path.read_bytes().replace(b"CREATE INDEX", b"CREATE IN\xc4EX", 1))


def misspell_a_column(path: Path) -> None:
    """Change the schema so that `number` is not the primary key."""
    path.write_bytes(path.read_bytes().replace(b"number INTEGER PRIMARY", b"number INTEGER PRI\x7dARY", 1))


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


DAMAGES: list[Callable[[Path], None]] = [
    truncate,
    zero_the_header,
    flip_bytes,
    flip_one_bit_of_a_payload,
    break_the_schema,
    misspell_a_column,
    require_a_newer_sqlite,
    forbid_writing,
    overwrite,
    empty,
    remove,
]
