"""Events on disk until the broker has acknowledged them.

    waiting ──PUBACK──► acknowledged (kept for `replay`) ──newer ones──► gone
       └── too old, or the oldest beyond the size cap ──► dropped (counted)

One SQLite file (WAL, synchronous=FULL: what is committed survives a power cut). Beside it two copies of the mark, which
knows the last number of every camera and how many events wait, so that a file that was lost, emptied or damaged is
noticed and the loss has a number; and the ballast, which is given up when the disk is full, because a full disk blocks
deleting as much as storing. What the disk does not take waits in memory, and is stored when it does.

Ages are counted while the daemon runs, not by the wall clock: one that jumps makes no event old.
"""

import fcntl
import json
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from edge_tdn.config import OutboxConfig
from edge_tdn.errors import ConfigError
from edge_tdn.messages import OutboxState, OutboxStatus

log = logging.getLogger(__name__)

RETRY_S = 2.0  # a disk that took nothing is tried again this often
AGES_EVERY_S = 30.0  # and what is too old is looked for this often
IN_MEMORY_MOST = 10_000  # events, while the disk takes none; beyond that the oldest are dropped
KEPT_IN_EXCESS = 500  # acknowledged events, before the oldest are deleted together
ROW_BYTES = 170  # of the file, beside a payload of 560 bytes: measured
BALLAST_BYTES = 1 << 20
WAL_BYTES = 4 << 20  # to which the log is cut after it was larger
DATABASE, MARKS, BALLAST, LOCK = "outbox.db", ("outbox.mark-0", "outbox.mark-1"), "outbox.ballast", "outbox.lock"
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
        return zlib.crc32(self.payload, zlib.crc32(f"{self.camera}/{self.seq}/{self.lived_s!r}".encode()))

    @property
    def row_bytes(self) -> int:
        return len(self.payload) + ROW_BYTES


class Outbox:
    """Used by one thread; `status`, `last_seq`, `waiting`, `dropped` and `lost` may be read by any.

    `folder`: None keeps all in memory. ConfigError: it is no folder, or another daemon uses it.
    """

    def __init__(self, folder: Path | None, config: OutboxConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._config, self._clock = folder, config, clock
        self._state: tuple[OutboxState, str] = ("off", "")
        self._database: sqlite3.Connection | None = None
        self._unstored: dict[int, Entry] = {}  # by number, while the disk takes none
        self._untold: dict[int, Entry] = {}  # acknowledged, while the disk cannot be told
        self._stored = self._kept = self._bytes = 0  # in the file: waiting, acknowledged, bytes of both
        self._next = 1  # number
        self._last: dict[str, int] = {}  # camera -> seq
        self.dropped = self.lost = 0
        self.generation = 0  # grows when events may have come back that were behind a number before
        self._lived_before_s, self._began_s = 0.0, clock()
        self._turn = 0  # of the mark
        self._marked, self._since = 0, 0  # events that waited when it was written, the oldest's number; until compared
        self._noted: dict[str, int] = {}  # camera -> seq, of the mark; until compared
        self._tried_s = self._aged_s = clock()
        self._lock = _locked(folder) if folder else None
        if folder:
            self._recall(folder)
        self._open()

    @property
    def waiting(self) -> int:
        """Events that the broker has not acknowledged."""
        waiting = self._stored + len(self._unstored) - len(self._untold)
        return max(0, waiting)  # what was dropped from memory may be acknowledged all the same

    def last_seq(self, camera: str) -> int:
        """The number of the camera's last event; 0 if it never had one."""
        return self._last.get(camera, 0)

    def status(self) -> OutboxStatus:
        """What subscribers are told of it."""
        state, reason = self._state
        return OutboxStatus(state=state, reason=reason, waiting=self.waiting, dropped=self.dropped, lost=self.lost)

    def put(self, events: Sequence[tuple[str, int, bytes]]) -> None:
        """Camera, seq and payload of each, stored in this order, all at once; in memory if the disk takes none."""
        entries = [Entry(self._next + i, *event, self._lived_s) for i, event in enumerate(events)]
        self._next += len(entries)
        self._last |= {entry.camera: entry.seq for entry in entries}
        if not self._unstored and self._store(entries):
            self._shrink()
        else:
            self._unstored |= {entry.number: entry for entry in entries}
            excess = max(0, len(self._unstored) - IN_MEMORY_MOST)
            for number in list(islice(self._unstored, excess)):
                del self._unstored[number]
            self._drop(excess, f"more than {IN_MEMORY_MOST} waited in memory")
        self._note()

    def after(self, number: int, limit: int, without: Collection[str] = ()) -> list[Entry]:
        """At most `limit` waiting events behind a number, oldest first, but none of the cameras in `without`."""
        marks = ", ".join("?" * len(without))
        where = f"acknowledged = 0 AND number > ? AND camera NOT IN ({marks}) ORDER BY number LIMIT ?"
        rows = self._read(where, number, *without, limit + len(self._untold))
        found = [entry for entry in rows if entry.number not in self._untold]
        unstored = (e for e in self._unstored.values() if e.number > number and e.camera not in without)
        return [*found, *islice(unstored, limit)][:limit]

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        """The broker has these. They stay for `replay` until newer ones take their place."""
        for entry in entries:
            if self._unstored.get(entry.number) == entry:
                del self._unstored[entry.number]
            else:
                self._untold[entry.number] = entry
        if self._untold and self._tell():
            self._shrink()
        self._note()

    def expiry_s(self, entry: Entry) -> int:
        """Seconds until it is too old."""
        return max(1, round(entry.lived_s + self._config.max_age_h * 3600 - self._lived_s))

    def replay(self, camera: str, from_seq: int, to_seq: int, limit: int) -> list[Entry]:
        """Those that are still here, acknowledged or not, by seq."""
        rows = self._read("camera = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", camera, from_seq, to_seq, limit)
        unstored = [e for e in self._unstored.values() if e.camera == camera and from_seq <= e.seq <= to_seq]
        return [*rows, *unstored][:limit]

    def tick(self) -> None:
        """What is due: stores what waits in memory, drops what is too old. To be called now and then."""
        now = self._clock()
        bad = self._unstored or self._untold or not self._database or self._state[0] not in ("ok", "off")
        if bad and now - self._tried_s >= RETRY_S:
            self._tried_s = now
            self._recover()
        if now - self._aged_s >= AGES_EVERY_S:
            self._aged_s = now
            self._drop_old()
            self._note()

    def close(self) -> None:
        """All is on disk already, but for what it did not take until now."""
        if self._unstored or self._untold:
            self._recover()
        self._note()
        if self._unstored and self._folder:
            log.error("outbox: %d events are lost: %s", len(self._unstored), self._state[1])
        if self._database:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None
        if self._lock:
            self._lock.close()

    @property
    def _lived_s(self) -> float:
        return round(self._lived_before_s + self._clock() - self._began_s, 1)

    def _open(self) -> None:
        """Opens the file, or a new one in the place of a damaged one; where the disk allows neither, says so."""
        try:
            if self._folder is None:
                self._database = _connect(":memory:")
                return
            path = self._folder / DATABASE
            self._lock = self._lock or _locked(self._folder)
            try:
                self._database = _connect(str(path))
            except sqlite3.OperationalError as error:
                if not self._is_full(error) or not self._deflate():
                    raise
                self._database = _connect(str(path))
            except sqlite3.DatabaseError as error:
                self._put_aside(path, error)
                self._database = _connect(str(path))
            self._begin()
        except (OSError, sqlite3.Error) as error:
            self._failed(error)

    def _begin(self) -> None:
        """Compares what is in the file with the mark, and stores what was rescued of a damaged one."""
        assert self._database
        self.generation += 1
        known = dict(self._database.execute("SELECT camera, seq FROM last"))
        behind = any(known.get(camera, 0) < seq for camera, seq in self._noted.items())
        for camera, seq in known.items():
            self._last[camera] = max(seq, self._last.get(camera, 0))
        self._count()
        self._state = ("ok", "")
        if behind:
            query = "SELECT count(*) FROM event WHERE acknowledged = 0 AND number >= ?"
            self._compare(*self._database.execute(query, (self._since,)).fetchone())
        self._marked, self._noted = 0, {}
        (newest,) = self._database.execute("SELECT coalesce(max(number), 0) FROM event").fetchone()
        if any(number <= newest for number in self._unstored):  # numbered before the file could be read
            moved = [replace(entry, number=newest + 1 + i) for i, entry in enumerate(self._unstored.values())]
            self._unstored = {entry.number: entry for entry in moved}
        self._next = max(self._next, newest + 1 + len(self._unstored))
        if self._store(list(self._unstored.values())):
            self._unstored.clear()
        self._inflate()
        self._note()

    def _count(self) -> None:
        assert self._database
        query = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM event WHERE acknowledged = ?"
        (self._stored, waiting), (self._kept, kept) = (self._database.execute(query, (n,)).fetchone() for n in (0, 1))
        self._bytes = waiting + kept + ROW_BYTES * (self._stored + self._kept)

    def _compare(self, found: int) -> None:
        """`found`: how many are left of the events that waited when the mark was written."""
        missing = max(0, self._marked - found)
        self.lost += missing
        log.error("outbox: %s: of %d events that waited %d are lost", self._folder, self._marked, missing)
        self._marked, self._noted = 0, {}

    def _put_aside(self, path: Path, error: Exception) -> None:
        """Renames the damaged file. What of it can be read, was whole and waited goes on in memory, until stored."""
        entries = {entry.number: entry for backwards in (False, True) for entry in _rescued(path, backwards)}
        for older in path.parent.glob(f"{DATABASE}*.damaged"):  # one is enough to look at
            older.unlink()
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with suppress(FileNotFoundError):
                path.with_name(name).rename(path.with_name(f"{name}.damaged"))
        log.error("outbox: %s: %s; put aside as %s.damaged, %d events rescued", path, error, DATABASE, len(entries))
        rescued = {number: entries[number] for number in sorted(entries) if number not in self._untold}
        self._untold.clear()
        self._compare(sum(number >= self._since for number in rescued))
        self._unstored = rescued | self._unstored

    def _damaged(self, error: Exception) -> None:
        """It turned out to be damaged while it is used."""
        if self._folder is None or self._database is None:
            raise error
        if self._is_full(error):  # what is rescued is read through a log, too
            self._deflate()
        with suppress(sqlite3.Error):
            self._database.close()
        self._database = None
        self._marked, self._since = self._stored - len(self._untold), 0
        self._stored = self._kept = self._bytes = 0
        try:
            self._put_aside(self._folder / DATABASE, error)
            self._database = _connect(str(self._folder / DATABASE))
            self._begin()
        except (OSError, sqlite3.Error) as again:
            self._failed(again)

    # ------------------------------------------------------------------------------------------- reading and writing

    def _write(self, change: Callable[[sqlite3.Connection], None]) -> bool:
        """One transaction; False if the disk does not take it."""
        for _ in range(2):
            if self._database is None:
                return False
            try:
                with self._database:
                    self._database.execute("BEGIN IMMEDIATE")
                    change(self._database)
                return True
            except sqlite3.OperationalError as error:
                if not self._is_full(error) or not self._deflate():
                    self._failed(error)
                    return False
            except (sqlite3.DatabaseError, UnicodeError) as error:
                self._damaged(error)
                return False
        return False

    def _read(self, where: str, *values: object) -> list[Entry]:
        for _ in range(2):
            if self._database is None:
                break
            try:
                rows = self._database.execute(f"SELECT {COLUMNS} FROM event WHERE {where}", values).fetchall()  # noqa: S608
                return [_entry(row) for row in rows]
            except sqlite3.OperationalError as error:
                self._failed(error)
                break
            except (sqlite3.DatabaseError, UnicodeError) as error:
                self._damaged(error)  # and once more, of what could be rescued
        return []

    def _store(self, entries: Sequence[Entry]) -> bool:
        def change(database: sqlite3.Connection) -> None:
            database.executemany(INSERT, [(e.number, e.camera, e.seq, e.payload, e.lived_s, e.crc) for e in entries])
            database.executemany(REMEMBER, self._last.items())  # together: who has the number has the event

        if not self._write(change):
            return False
        self._stored += len(entries)
        self._bytes += sum(entry.row_bytes for entry in entries)
        return True

    def _tell(self) -> bool:
        told = [(entry.number, entry.crc) for entry in self._untold.values()]
        changed = 0

        def change(database: sqlite3.Connection) -> None:
            nonlocal changed
            query = "UPDATE event SET acknowledged = 1 WHERE number = ? AND crc = ? AND acknowledged = 0"
            changed = database.executemany(query, told).rowcount

        if not self._write(change):
            return False
        self._untold.clear()
        self._stored -= changed
        self._kept += changed
        return True

    def _recover(self) -> None:
        """Tries the disk again."""
        if self._database is None:
            self._open()
        entries = list(self._unstored.values())
        if self._database is None or not self._store(entries):
            return
        self._unstored.clear()
        if self._state[0] not in ("ok", "off"):
            self._state = ("ok", "")
            self.generation += 1  # what could not be read meanwhile was passed over
            log.info("outbox: %s takes events again; %d had waited in memory", self._folder, len(entries))
        if self._untold:
            self._tell()
        self._shrink()
        self._inflate()
        self._note()

    def _failed(self, error: Exception) -> None:
        """The disk takes nothing at the moment."""
        state: OutboxState = "full" if self._is_full(error) else "read_only"
        if self._state[0] != state:
            log.error("outbox: %s: %s; new events wait in memory, at most %d", self._folder, error, IN_MEMORY_MOST)
        self._state = (state, str(error))
        self._tried_s = self._clock()

    # ------------------------------------------------------------------------------------------------------- the caps

    def _shrink(self) -> None:
        """No more acknowledged events, and no more bytes, than are configured; the oldest go."""
        if self._kept > self._config.replayable + KEPT_IN_EXCESS:
            self._remove("acknowledged = 1", self._kept - self._config.replayable)
        cap = round(self._config.max_mb * 1e6)
        while self._bytes > cap and self._kept and self._remove("acknowledged = 1", self._kept // 4 + 1):
            pass
        if self._bytes > cap:  # what goes now was never delivered: not one more than must
            count, excess = 0, self._bytes - cap
            for entry in self._read("acknowledged = 0 ORDER BY number LIMIT 1000"):
                if excess <= 0:
                    break
                count, excess = count + 1, excess - entry.row_bytes
            self._drop(self._remove("acknowledged = 0", count), f"more than max_mb = {self._config.max_mb:g} waited")

    def _drop_old(self) -> None:
        oldest_s = self._lived_s - self._config.max_age_h * 3600
        old = [number for number, entry in self._unstored.items() if entry.lived_s < oldest_s]
        for number in old:
            del self._unstored[number]
        removed = self._remove(f"acknowledged = 0 AND lived_s < {oldest_s}", self._stored)
        self._drop(len(old) + removed, f"older than max_age_h = {self._config.max_age_h:g}")

    def _remove(self, which: str, count: int) -> int:
        """Deletes so many of the oldest of these; how many went."""
        gone: list[tuple[int, int]] = []

        def change(database: sqlite3.Connection) -> None:
            chosen = f"SELECT number FROM event WHERE {which} ORDER BY number LIMIT {count}"  # noqa: S608
            query = f"DELETE FROM event WHERE number IN ({chosen}) RETURNING acknowledged, length(payload)"  # noqa: S608
            gone[:] = database.execute(query).fetchall()

        if not count or not self._write(change):
            return 0
        kept = sum(acknowledged for acknowledged, _ in gone)
        self._kept -= kept
        self._stored -= len(gone) - kept
        self._bytes -= sum(length for _, length in gone) + ROW_BYTES * len(gone)
        return len(gone)

    def _drop(self, count: int, why: str) -> None:
        if count:
            self.dropped += count
            log.warning("outbox: dropped the oldest %d events: %s", count, why)

    # ----------------------------------------------------------------------------------------- the ballast and the mark

    def _inflate(self) -> None:
        """The ballast is there, if the disk has room for four of it."""
        if self._folder is None or (self._folder / BALLAST).exists():
            return
        with suppress(OSError):
            disk = os.statvfs(self._folder)
            if disk.f_bavail * disk.f_frsize >= 4 * BALLAST_BYTES:
                with (self._folder / BALLAST).open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)

    def _is_full(self, error: Exception) -> bool:
        """Where the disk has no room for the log's next pages, SQLite may also say "disk I/O error"."""
        if "full" in str(error) or "No space" in str(error):
            return True
        try:
            disk = os.statvfs(self._folder or "")
        except OSError:
            return False
        return not disk.f_flag & os.ST_RDONLY and disk.f_bavail * disk.f_frsize < BALLAST_BYTES // 8

    def _deflate(self) -> bool:
        """Gives the ballast up; False if there is none."""
        if self._folder is None:
            return False
        try:
            (self._folder / BALLAST).unlink()
        except OSError:
            return False
        log.warning("outbox: %s: the disk is full, the ballast goes", self._folder)
        return True

    def _note(self) -> None:
        """Writes the mark: after the file, so that of what is there it knows no more; in place, for a full disk."""
        if self._folder is None or self._database is None:
            return
        mark = {
            "turn": self._turn + 1, "waiting": self.waiting, "oldest": self._oldest(), "dropped": self.dropped,
            "lost": self.lost, "lived_s": self._lived_s, "next": self._next, "last": self._last,
        }  # fmt: skip
        content = json.dumps(mark).encode()
        with suppress(OSError):
            handle = os.open(self._folder / MARKS[(self._turn + 1) % 2], os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(handle, b"%08x %s\n" % (zlib.crc32(content), content), 0)
                self._turn += 1
            finally:
                os.close(handle)

    def _oldest(self) -> int:
        """Number of the oldest event that waits."""
        assert self._database
        query = "SELECT number FROM event WHERE acknowledged = 0 ORDER BY number LIMIT ?"
        with suppress(sqlite3.Error):
            for (number,) in self._database.execute(query, (len(self._untold) + 1,)):
                if number not in self._untold:
                    return int(number)
        return next(iter(self._unstored), self._next)

    def _recall(self, folder: Path) -> None:
        """What the newer of the whole marks says."""
        marks = [mark for name in MARKS if (mark := _mark(folder / name))]
        if marks:
            mark = max(marks, key=lambda one: int(one["turn"]))
            self._turn, self._next, self._last, self._noted = mark["turn"], mark["next"], mark["last"], {**mark["last"]}
            self._marked, self._since = mark["waiting"], mark["oldest"]
            self.dropped, self.lost = mark["dropped"], mark["lost"]
            self._lived_before_s = mark["lived_s"]


def outbox_folder(configured: str, host: str, base: Path) -> Path | None:
    """[outbox] folder as a path: of systemd or the user, and of this host's name, if it says auto; None if off."""
    if configured == "off":
        return None
    if configured != "auto":
        return base / configured
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state"
    return Path(state or Path(home) / "edge-tdn") / host


def _locked(folder: Path) -> TextIOWrapper | None:
    """The folder, made where it is missing, is this process's until it ends. None: the disk does not even take that."""
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        file = (folder / LOCK).open("a")
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError(f"{folder}: outbox.folder is no folder") from error
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"{folder}: another edge-tdn keeps its events there; give this one another `host`, or stop the other"
        ) from error
    return file


def _connect(path: str) -> sqlite3.Connection:
    """DatabaseError: damaged. OperationalError: the disk does not allow it."""
    database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    database.text_factory = _text
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"journal_size_limit = {WAL_BYTES}"):
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


def _text(raw: bytes) -> str:
    """Damaged text is left to the checksum: sqlite3's own error looks like one of the disk, which mends by itself."""
    return raw.decode(errors="replace")


def _entry(row: Sequence[Any]) -> Entry:
    """DatabaseError: not as it was stored."""
    *values, crc = row
    entry = Entry(*values)
    if not isinstance(entry.payload, bytes) or entry.crc != crc:
        raise sqlite3.DatabaseError(f"event {entry.number} does not fit its checksum")
    return entry


def _rescued(path: Path, backwards: bool) -> Iterator[Entry]:
    """Waiting events of a damaged file, from one end up to where it cannot be read."""
    order = "DESC" if backwards else "ASC"
    columns = COLUMNS.replace("number", "rowid")  # the same, also where the schema is damaged
    query = f"SELECT {columns} FROM event NOT INDEXED WHERE acknowledged = 0 ORDER BY rowid {order}"  # noqa: S608
    with suppress(sqlite3.Error, UnicodeError), closing(sqlite3.connect(path)) as database:
        database.text_factory = _text
        for row in database.execute(query):
            with suppress(sqlite3.DatabaseError):
                yield _entry(row)


def _mark(path: Path) -> dict[str, Any] | None:
    """None: not there, or not whole."""
    try:
        crc, content = path.read_bytes().split(b"\n")[0].split(b" ", 1)
        mark: dict[str, Any] = json.loads(content)
        return mark if int(crc, 16) == zlib.crc32(content) else None
    except (OSError, ValueError):
        return None
