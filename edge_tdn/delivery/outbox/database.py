"""The outbox's SQLite file: events in the order of sending, waiting or acknowledged.

WAL and synchronous=FULL: what is committed survives a power cut.
"""

import os
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_tdn.delivery.outbox import disk_reserve
from edge_tdn.errors import EdgeTdnError

DATABASE = "outbox.db"
ROW_BYTES = 170  # of the file, beside a payload of 560 bytes: measured
WAL_BYTES = 4 << 20  # SQLite truncates its log to this size
CACHE_KB = 64  # page cache; 512 KB were not faster
SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    f"journal_size_limit = {WAL_BYTES}",
    f"cache_size = -{CACHE_KB}",
)
VERSION = 1  # of the schema
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
UPSERT_LAST = "INSERT INTO last VALUES (?, ?) ON CONFLICT (camera) DO UPDATE SET seq = max(seq, excluded.seq)"
ACKNOWLEDGE = "UPDATE event SET acknowledged = 1 WHERE number = ? AND crc = ? AND acknowledged = 0"
MAX_INTEGER = 2**63 - 1  # of SQLite
COUNT = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM event WHERE acknowledged = ?"


class StorageError(EdgeTdnError):
    """Base of the errors of an EventDatabase."""


class DiskFull(StorageError):
    """The disk has no room for the write."""


class DiskUnavailable(StorageError):
    """The disk refuses reads or writes for another reason: read-only, removed, an I/O error."""


class Damaged(StorageError):
    """The file is not what was written to it."""


@dataclass(frozen=True)
class Entry:
    """An event in the outbox."""

    number: int  # position in the order of sending
    camera: str
    seq: int
    payload: bytes  # JSON, as it is published
    lived_s: float  # running time of the outbox when the event was added

    @property
    def crc(self) -> int:
        """The checksum of all fields but the number, which may change."""
        return zlib.crc32(self.payload, zlib.crc32(f"{self.camera}/{self.seq}/{self.lived_s!r}".encode()))

    @property
    def row(self) -> tuple[object, ...]:
        """The values of COLUMNS."""
        return (self.number, self.camera, self.seq, self.payload, self.lived_s, self.crc)

    @property
    def row_bytes(self) -> int:
        """The room that the event takes in the file."""
        return len(self.payload) + ROW_BYTES

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> "Entry":
        """Return the event in a row of COLUMNS; raise Damaged if it does not match its checksum."""
        *values, crc = row
        entry = cls(*values)
        if not isinstance(entry.payload, bytes) or entry.crc != crc:
            raise Damaged(f"event {entry.number} does not match its checksum")
        return entry


class EventDatabase:
    """Events in one SQLite file.

    Owned by the outbox's thread; any thread may read the three counts. All methods raise DiskFull, DiskUnavailable or
    Damaged; a write that raises has changed nothing.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file, or create it if it is missing. `path`: None keeps the events in memory."""
        self._path = path
        with self._storage_errors():
            self._connection = connect(str(path or ":memory:"))
        self._file_id = _file_id(path)
        try:
            with self._storage_errors():
                (self.waiting, waiting_bytes), (self.acknowledged, acknowledged_bytes) = (
                    self._connection.execute(COUNT, (acknowledged,)).fetchone() for acknowledged in (0, 1)
                )
        except StorageError:
            self.close()
            raise
        self.size_bytes = waiting_bytes + acknowledged_bytes + ROW_BYTES * (self.waiting + self.acknowledged)

    @property
    def in_place(self) -> bool:
        """True while the open file has its name: a disk may be unmounted, and mounted again."""
        return self._path is None or _file_id(self._path) == self._file_id

    def close(self) -> None:
        with suppress(sqlite3.Error):  # what is committed is on disk, and nothing else is under way
            self._connection.close()

    # ------------------------------------------------------------------------------------------------------- reading

    def after(self, number: int, limit: int | None = None, without: Collection[str] = ()) -> list[Entry]:
        """Return the waiting events after `number`, oldest first, except those of the cameras in `without`."""
        marks = ", ".join("?" * len(without))
        where = f"acknowledged = 0 AND number > ? AND camera NOT IN ({marks}) ORDER BY number LIMIT ?"
        return self._select(where, number, *without, -1 if limit is None else limit)

    def first(self, camera: str, limit: int) -> list[Entry]:
        """Return the oldest waiting events of a camera."""
        return self._select("acknowledged = 0 AND camera = ? ORDER BY number LIMIT ?", camera, limit)

    def between(self, camera: str, from_seq: int, to_seq: int, limit: int) -> list[Entry]:
        """Return a camera's events by `seq`, both ends included, acknowledged or not."""
        return self._select("camera = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", camera, from_seq, to_seq, limit)

    def newest(self, before: int | None, limit: int) -> list[Entry]:
        """Return the events before a number, None: all, newest first, acknowledged or not."""
        return self._select("number < ? ORDER BY number DESC LIMIT ?", MAX_INTEGER if before is None else before, limit)

    def newest_of(self, camera: str, before_seq: int | None, limit: int) -> list[Entry]:
        """Return a camera's events before a `seq`, None: all, newest first, acknowledged or not."""
        before = MAX_INTEGER if before_seq is None else before_seq
        return self._select("camera = ? AND seq < ? ORDER BY seq DESC LIMIT ?", camera, before, limit)

    def oldest_waiting(self, without: Collection[int] = ()) -> int | None:
        """Return the number of the oldest waiting event that is not in `without`."""
        query = "SELECT number FROM event WHERE acknowledged = 0 ORDER BY number LIMIT ?"
        with self._storage_errors():
            numbers = self._connection.execute(query, (len(without) + 1,)).fetchall()
        return next((int(number) for (number,) in numbers if number not in without), None)

    def newest_number(self) -> int:
        """Return the number of the newest event, waiting or acknowledged; 0 if there is none."""
        with self._storage_errors():
            (number,) = self._connection.execute("SELECT coalesce(max(number), 0) FROM event").fetchone()
        return int(number)

    def count_waiting(self, from_number: int) -> int:
        """Return how many events wait, counted from a number on."""
        query = "SELECT count(*) FROM event WHERE acknowledged = 0 AND number >= ?"
        with self._storage_errors():
            (count,) = self._connection.execute(query, (from_number,)).fetchone()
        return int(count)

    def last_seqs(self) -> dict[str, int]:
        """Return the `seq` of the last event of every camera, also where the event itself is gone."""
        with self._storage_errors():
            return dict(self._connection.execute("SELECT camera, seq FROM last"))

    # ------------------------------------------------------------------------------------------------------- writing

    def append(self, entries: Sequence[Entry], last_seqs: Mapping[str, int]) -> int:
        """Store the events and the cameras' last seqs in one transaction; return how many events were stored."""
        with self._transaction() as connection:
            connection.executemany(INSERT, [entry.row for entry in entries])
            connection.executemany(UPSERT_LAST, last_seqs.items())
        self.waiting += len(entries)
        self.size_bytes += sum(entry.row_bytes for entry in entries)
        return len(entries)

    def acknowledge(self, entries: Collection[Entry]) -> int:
        """Mark the events as acknowledged, and keep them for replays; return how many were waiting."""
        with self._transaction() as connection:
            changed = connection.executemany(ACKNOWLEDGE, [(entry.number, entry.crc) for entry in entries]).rowcount
        self.waiting -= changed
        self.acknowledged += changed
        return changed

    def prune_acknowledged(self, count: int) -> int:
        """Delete the oldest acknowledged events; return how many were deleted."""
        return self._delete("acknowledged = 1", count)

    def prune_waiting(self, count: int) -> int:
        """Delete the oldest waiting events; return how many were deleted."""
        return self._delete("acknowledged = 0", count)

    def prune_older(self, lived_s: float) -> int:
        """Delete the waiting events that were added before a running time; return how many were deleted."""
        return self._delete("acknowledged = 0 AND lived_s < ?", self.waiting, lived_s)

    # ------------------------------------------------------------------------------------------------------- private

    def _select(self, where: str, *values: object) -> list[Entry]:
        with self._storage_errors():
            rows = self._connection.execute(f"SELECT {COLUMNS} FROM event WHERE {where}", values).fetchall()  # noqa: S608
        return [Entry.from_row(row) for row in rows]

    def _delete(self, where: str, limit: int, *values: object) -> int:
        if not limit:
            return 0
        oldest = f"SELECT number FROM event WHERE {where} ORDER BY number LIMIT ?"  # noqa: S608
        query = f"DELETE FROM event WHERE number IN ({oldest}) RETURNING acknowledged, length(payload)"  # noqa: S608
        with self._transaction() as connection:
            deleted: list[tuple[int, int]] = connection.execute(query, (*values, limit)).fetchall()
        acknowledged = sum(one for one, _ in deleted)
        self.acknowledged -= acknowledged
        self.waiting -= len(deleted) - acknowledged
        self.size_bytes -= sum(length for _, length in deleted) + ROW_BYTES * len(deleted)
        return len(deleted)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._storage_errors(), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        """Raise SQLite's errors as StorageErrors."""
        try:
            yield
        except sqlite3.OperationalError as error:
            full = self._path is not None and disk_reserve.is_full(self._path.parent, error)
            raise (DiskFull if full else DiskUnavailable)(str(error)) from error
        except (sqlite3.DatabaseError, UnicodeError) as error:
            raise Damaged(str(error)) from error


def connect(path: str) -> sqlite3.Connection:
    """Open the database, or create it if it is missing.

    Raise sqlite3.OperationalError if the disk refuses, and another sqlite3.DatabaseError if the file is damaged.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    connection.text_factory = decode
    try:
        for setting in SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if found != "ok" or version not in (0, VERSION):
            reason = found if found != "ok" else f"version {version} of the schema is not supported"
            raise sqlite3.DatabaseError(reason)
        connection.executescript(SCHEMA)
        connection.execute(f"SELECT {COLUMNS}, acknowledged FROM event LIMIT 0")  # noqa: S608  (the schema says so)
    except BaseException as error:
        connection.close()
        if isinstance(error, UnicodeError):  # SQLite's message quotes bytes that are not UTF-8
            raise sqlite3.DatabaseError("damaged") from error
        code = getattr(error, "sqlite_errorcode", 0)  # of header or schema, not of the disk: "unsupported file format"
        if code == sqlite3.SQLITE_ERROR or (code == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK)):
            raise sqlite3.DatabaseError(str(error)) from error
        raise
    return connection


def decode(text: bytes) -> str:
    """Decode a text column of SQLite.

    Damaged text is left to the checksum: sqlite3 would raise an OperationalError, as if the disk were at fault.
    """
    return text.decode(errors="replace")


def _file_id(path: Path | None) -> tuple[int, int] | None:
    """Return device and inode of a file, or None if there is none."""
    try:
        found = path.stat() if path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None
