"""The outbox's SQLite file: its tables, an event as a row of it, and what of a damaged one can be read.

WAL, synchronous=FULL: what is committed survives a power cut.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATABASE = "outbox.db"
ROW_BYTES = 170  # of the file, beside a payload of 560 bytes: measured
WAL_BYTES = 4 << 20  # to which the log is cut after it was larger
CACHE_KB = 64  # of its pages in memory: full within minutes, and no slower than 512
SETTINGS = (
    "journal_mode = WAL", "synchronous = FULL", f"journal_size_limit = {WAL_BYTES}", f"cache_size = -{CACHE_KB}",
)  # fmt: skip
VERSION = 1  # of the tables
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS event (
    number INTEGER PRIMARY KEY,         -- order of sending
    camera TEXT NOT NULL,
    seq INTEGER NOT NULL,
    payload BLOB NOT NULL,
    lived_s REAL NOT NULL,              -- the outbox's age when it came
    crc INTEGER NOT NULL,               -- SQLite would not notice a flipped bit
    acknowledged INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting ON event (number) WHERE acknowledged = 0;
CREATE INDEX IF NOT EXISTS place ON event (camera, seq);
CREATE TABLE IF NOT EXISTS last (camera TEXT PRIMARY KEY, seq INTEGER NOT NULL);
PRAGMA user_version = {VERSION};
"""
COLUMNS = "number, camera, seq, payload, lived_s, crc"
INSERT = f"INSERT INTO event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608
REMEMBER = "INSERT INTO last VALUES (?, ?) ON CONFLICT (camera) DO UPDATE SET seq = max(seq, excluded.seq)"


@dataclass(frozen=True)
class Entry:
    """An event in the outbox."""

    number: int  # its place in the order of sending
    camera: str
    seq: int
    payload: bytes  # JSON, as it is published
    lived_s: float  # the outbox's age when it came

    @property
    def crc(self) -> int:
        """Of all but the number, which may change."""
        return zlib.crc32(self.payload, zlib.crc32(f"{self.camera}/{self.seq}/{self.lived_s!r}".encode()))

    @property
    def row(self) -> tuple[object, ...]:
        """Its COLUMNS."""
        return (self.number, self.camera, self.seq, self.payload, self.lived_s, self.crc)

    @property
    def row_bytes(self) -> int:
        return len(self.payload) + ROW_BYTES


def entry_of(row: Sequence[Any]) -> Entry:
    """The event in a row of COLUMNS. DatabaseError: it is not as it was stored."""
    *values, crc = row
    entry = Entry(*values)
    if not isinstance(entry.payload, bytes) or entry.crc != crc:
        raise sqlite3.DatabaseError(f"event {entry.number} does not fit its checksum")
    return entry


def connect(path: str) -> sqlite3.Connection:
    """Opens it, made where it is missing. DatabaseError: damaged. OperationalError: the disk does not allow it."""
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    database.text_factory = _text
    try:
        for pragma in SETTINGS:
            database.execute(f"PRAGMA {pragma}")
        (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if found != "ok" or version not in (0, VERSION):
            raise sqlite3.DatabaseError(found if found != "ok" else f"of another edge-tdn: version {version}")
        database.executescript(SCHEMA)
        database.execute(f"SELECT {COLUMNS}, acknowledged FROM event LIMIT 0")  # noqa: S608  (the schema says so)
    except BaseException as error:
        database.close()
        if isinstance(error, UnicodeError):  # SQLite's message quotes bytes that are no UTF-8
            raise sqlite3.DatabaseError("damaged") from error
        code = getattr(error, "sqlite_errorcode", 0)  # of header or schema, not of the disk: "unsupported file format"
        if code == sqlite3.SQLITE_ERROR or (code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK)):
            raise sqlite3.DatabaseError(str(error)) from error
        raise
    return database


def rescue(path: Path) -> dict[int, Entry]:
    """By number, in order: of a damaged file the waiting events that are whole, from both ends to where it breaks."""
    entries = {entry.number: entry for order in ("ASC", "DESC") for entry in _readable(path, order)}
    return {number: entries[number] for number in sorted(entries)}


def put_aside(path: Path) -> None:
    """Renames a damaged file, in the place of an older one: one is enough to look at."""
    for older in path.parent.glob(f"{path.name}*.damaged"):
        older.unlink()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with suppress(FileNotFoundError):
            path.with_name(name).rename(path.with_name(f"{name}.damaged"))


def _readable(path: Path, order: str) -> Iterator[Entry]:
    columns = COLUMNS.replace("number", "rowid")  # the same, also where the schema is damaged
    query = f"SELECT {columns} FROM event NOT INDEXED WHERE acknowledged = 0 ORDER BY rowid {order}"  # noqa: S608
    with suppress(sqlite3.Error, UnicodeError), closing(sqlite3.connect(path)) as database:
        database.text_factory = _text
        for row in database.execute(query):
            with suppress(sqlite3.DatabaseError):
                yield entry_of(row)


def _text(raw: bytes) -> str:
    """Damaged text is left to the checksum: sqlite3's own error looks like one of the disk, which mends by itself."""
    return raw.decode(errors="replace")
