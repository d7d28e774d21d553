"""Events on disk until the broker has acknowledged them.

    waiting ──PUBACK──► acknowledged (kept for `replay`) ──newer ones──► gone
       └── too old, or the oldest beyond the size cap ──► dropped (counted)

file.py is what stands on the disk, mark.py what is known of it beside it, ballast.py room for when the disk is full.
What the disk does not take waits in memory, and is stored when it does.

Ages are counted while the daemon runs, not by the wall clock: one that jumps makes no event old.
"""

import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox.checkpoint import Mark
from edge_tdn.delivery.outbox.database import (
    COLUMNS,
    DATABASE,
    INSERT,
    REMEMBER,
    ROW_BYTES,
    Entry,
    connect,
    entry_of,
    put_aside,
    rescue,
)
from edge_tdn.errors import ConfigError
from edge_tdn.messages import OutboxState, OutboxStatus
from edge_tdn.process.log import Limited

__all__ = ["Entry", "Outbox", "holder", "outbox_folder"]
log = logging.getLogger(__name__)

RETRY_S = 2.0  # a disk that took nothing is tried again this often
AGES_EVERY_S = 30.0  # and what is too old is looked for this often
IN_MEMORY_MOST = 10_000  # events, while the disk takes none; beyond that the oldest are dropped
KEPT_IN_EXCESS = 500  # acknowledged events, before the oldest are deleted together
LOCK = "outbox.lock"
SAID_AT_ONCE, SAID_EVERY_S = 3, 20.0  # lines about a disk that comes and goes, and about events that are dropped


class Outbox:
    """Used by one thread; `status`, `last_seq`, `waiting`, `dropped` and `lost` may be read by any.

    `folder`: None keeps all in memory. ConfigError: it is no folder, or another daemon uses it.
    """

    def __init__(self, folder: Path | None, config: OutboxConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._config, self._clock = folder, config, clock
        self._state: tuple[OutboxState, str] = ("off", "")
        self._says = Limited(log, SAID_EVERY_S, SAID_AT_ONCE)
        self._database: sqlite3.Connection | None = None
        self._unstored: dict[int, Entry] = {}  # by number, while the disk takes none
        self._untold: dict[int, Entry] = {}  # acknowledged, while the disk cannot be told
        self._stored = self._kept = self._bytes = 0  # in the file: waiting, acknowledged, bytes of both
        self._delivered = 0  # events, since the daemon started
        self._place: tuple[int, int] | None = None  # of the open file
        self.generation = 0  # grows when events may have come back that were behind a number before
        self._began_s = self._tried_s = self._aged_s = clock()
        self._lock = _locked(folder) if folder else None
        self._mark = checkpoint.read(folder) if folder else Mark()  # until it has been compared with the file
        self._turn, self._next, self._last = self._mark.turn, self._mark.next, dict(self._mark.last)
        self.dropped, self.lost, self._lived_before_s = self._mark.dropped, self._mark.lost, self._mark.lived_s
        self._open()

    @property
    def waiting(self) -> int:
        """Events that the broker has not acknowledged."""
        waiting = self._stored + len(self._unstored) - len(self._untold)
        return max(0, waiting)  # what was dropped from memory may be acknowledged all the same

    @property
    def cameras(self) -> list[str]:
        """That have ever had an event."""
        return [*self._last]

    def last_seq(self, camera: str) -> int:
        """The number of the camera's last event; 0 if it never had one."""
        return self._last.get(camera, 0)

    def status(self) -> OutboxStatus:
        """What subscribers are told of it."""
        state, reason = self._state
        return OutboxStatus(
            state=state, reason=reason, waiting=self.waiting, dropped=self.dropped, lost=self.lost,
            delivered=self._delivered, size=max(0, self._bytes),
        )  # fmt: skip

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
        told = sum(one > number for one in self._untold)
        rows = self._read(where, number, *without, limit + told)
        found = [entry for entry in rows if entry.number not in self._untold]
        unstored = (e for e in self._unstored.values() if e.number > number and e.camera not in without)
        return [*found, *islice(unstored, limit)][:limit]

    def first(self, camera: str) -> Entry | None:
        """The oldest of a camera's waiting events."""
        rows = self._read("acknowledged = 0 AND camera = ? ORDER BY number LIMIT ?", camera, 1 + len(self._untold))
        waiting = [*(entry for entry in rows if entry.number not in self._untold), *self._unstored.values()]
        return next((entry for entry in waiting if entry.camera == camera), None)

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        """The broker has these. They stay for `replay` until newer ones take their place."""
        for entry in entries:
            self._delivered += 1
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
        if now - self._tried_s >= RETRY_S:
            self._tried_s = now
            if self._unstored or self._untold or not self._well:
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

    @property
    def _well(self) -> bool:
        return self._database is not None and self._state[0] in ("ok", "off") and self._in_place()

    # ------------------------------------------------------------------------------------ opening, mending, trouble

    def _open(self) -> None:
        """Opens the file, or a new one in the place of a damaged one; where the disk allows neither, says so."""
        try:
            if self._folder is None:
                self._database = connect(":memory:")
                return
            path = str(self._folder / DATABASE)
            self._lock = self._lock or _locked(self._folder)
            try:
                self._database = connect(path)
            except sqlite3.OperationalError as error:
                if not self._makes_room(error):
                    raise
                self._database = connect(path)
            except sqlite3.DatabaseError as error:
                self._put_aside(self._folder, error)
                self._database = connect(path)
            self._place = _place(self._folder / DATABASE)
            self._begin()
        except (OSError, sqlite3.Error) as error:
            self._failed(error)

    def _in_place(self) -> bool:
        """Whether the open file is still the one that has the name: the disk may have gone, and come back."""
        return self._folder is None or _place(self._folder / DATABASE) == self._place

    def _part(self) -> None:
        """From the open file, of which nothing more can be expected; where its name is gone, with what waits in it."""
        assert self._database
        if not self._in_place():
            query = f"SELECT {COLUMNS} FROM event WHERE acknowledged = 0 ORDER BY number"  # noqa: S608
            with suppress(sqlite3.Error, UnicodeError):
                entries = [entry_of(row) for row in self._database.execute(query)]
                self._unstored = {e.number: e for e in entries if e.number not in self._untold} | self._unstored
        with suppress(sqlite3.Error):
            self._database.close()
        self._database = None
        self._stored = self._kept = self._bytes = 0

    def _begin(self) -> None:
        """Compares what is in the file with the mark, and stores what was rescued of a damaged one."""
        assert self._database
        self.generation += 1
        known = dict(self._database.execute("SELECT camera, seq FROM last"))
        self._last |= {camera: max(seq, self.last_seq(camera)) for camera, seq in known.items()}
        self._count()
        self._state = ("ok", "")
        if any(known.get(camera, 0) < seq for camera, seq in self._mark.last.items()):
            query = "SELECT count(*) FROM event WHERE acknowledged = 0 AND number >= ?"
            self._compare(*self._database.execute(query, (self._mark.oldest,)).fetchone())
        self._mark = Mark()
        (newest,) = self._database.execute("SELECT coalesce(max(number), 0) FROM event").fetchone()
        if any(number <= newest for number in self._unstored):  # numbered before the file could be read
            moved = [replace(entry, number=newest + 1 + i) for i, entry in enumerate(self._unstored.values())]
            self._unstored = {entry.number: entry for entry in moved}
        self._next = max(self._next, newest + 1 + len(self._unstored))
        if self._store(list(self._unstored.values())):
            self._unstored.clear()
        self._settle()

    def _count(self) -> None:
        assert self._database
        query = "SELECT count(*), coalesce(sum(length(payload)), 0) FROM event WHERE acknowledged = ?"
        (self._stored, waiting), (self._kept, kept) = (self._database.execute(query, (n,)).fetchone() for n in (0, 1))
        self._bytes = waiting + kept + ROW_BYTES * (self._stored + self._kept)

    def _compare(self, found: int) -> None:
        """`found`: how many are left of the events that waited when the mark was written."""
        missing = max(0, self._mark.waiting - found)
        if missing:
            self.lost += missing
            log.error("outbox: %s: of %d events that waited %d are lost", self._folder, self._mark.waiting, missing)
        self._mark = Mark()

    def _put_aside(self, folder: Path, error: Exception) -> None:
        """What of the damaged file can be read, was whole and waited goes on in memory, until it is stored."""
        path = folder / DATABASE
        entries = rescue(path)
        put_aside(path)
        log.error("outbox: %s: %s; put aside as %s.damaged, %d events rescued", path, error, DATABASE, len(entries))
        rescued = {number: entry for number, entry in entries.items() if number not in self._untold}
        self._untold.clear()
        self._compare(sum(number >= self._mark.oldest for number in rescued))
        self._unstored = rescued | self._unstored

    def _damaged(self, error: Exception) -> None:
        """It turned out to be damaged while it is used."""
        if self._folder is None or self._database is None:
            raise error
        self._makes_room(error)  # what is rescued is read through a log, too
        with suppress(sqlite3.Error):
            self._database.close()
        self._database = None
        self._mark = Mark(waiting=self._stored - len(self._untold))
        self._stored = self._kept = self._bytes = 0
        try:
            self._put_aside(self._folder, error)
            self._database = connect(str(self._folder / DATABASE))
            self._place = _place(self._folder / DATABASE)
            self._begin()
        except (OSError, sqlite3.Error) as again:
            self._failed(again)

    def _recover(self) -> None:
        """Tries the disk again."""
        if self._database and not self._well:
            self._part()
        if self._database is None:
            self._open()
        entries = list(self._unstored.values())
        if self._database is None or not self._store(entries):
            return
        self._unstored.clear()
        if self._state[0] not in ("ok", "off"):
            self._state = ("ok", "")
            self.generation += 1  # what could not be read meanwhile was passed over
            text = "outbox: %s takes events again; %d had waited in memory"
            self._says.log(logging.INFO, text, self._folder, len(entries))
        if self._untold:
            self._tell()
        self._shrink()
        self._settle()

    def _failed(self, error: Exception) -> None:
        """The disk takes nothing at the moment."""
        state: OutboxState = "full" if self._folder and disk_reserve.is_full(self._folder, error) else "read_only"
        if self._state[0] != state:
            text = "outbox: %s: %s; new events wait in memory, at most %d"
            self._says.log(logging.ERROR, text, self._folder, error, IN_MEMORY_MOST)
        self._state = (state, str(error))
        self._tried_s = self._clock()

    def _makes_room(self, error: Exception) -> bool:
        """Whether the disk was full, and is not any more."""
        if not self._folder or not disk_reserve.is_full(self._folder, error) or not disk_reserve.deflate(self._folder):
            return False
        log.warning("outbox: %s: the disk is full, the ballast goes", self._folder)
        return True

    def _settle(self) -> None:
        """The disk takes what it is given."""
        if self._folder:
            disk_reserve.inflate(self._folder)
        self._note()

    def _note(self) -> None:
        """Writes the mark: after the file, so that of what is there it knows no more."""
        if self._folder is None or self._database is None:
            return
        content = Mark(
            turn=self._turn + 1, waiting=self.waiting, oldest=self._oldest(), next=self._next, last=self._last,
            dropped=self.dropped, lost=self.lost, lived_s=self._lived_s,
        )  # fmt: skip
        self._turn += checkpoint.write(self._folder, content)

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
                if not self._makes_room(error):
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
                return [entry_of(row) for row in rows]
            except sqlite3.OperationalError as error:
                self._failed(error)
                break
            except (sqlite3.DatabaseError, UnicodeError) as error:
                self._damaged(error)  # and once more, of what could be rescued
        return []

    def _oldest(self) -> int:
        """Number of the oldest event that waits."""
        assert self._database
        query = "SELECT number FROM event WHERE acknowledged = 0 ORDER BY number LIMIT ?"
        with suppress(sqlite3.Error):
            for (number,) in self._database.execute(query, (len(self._untold) + 1,)):
                if number not in self._untold:
                    return int(number)
        return next(iter(self._unstored), self._next)

    def _store(self, entries: Sequence[Entry]) -> bool:
        def change(database: sqlite3.Connection) -> None:
            database.executemany(INSERT, [entry.row for entry in entries])
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
            text = "outbox: dropped the oldest %d events: %s; %d in all"
            self._says.log(logging.WARNING, text, count, why, self.dropped, about="dropped")


def outbox_folder(configured: str, host: str, base: Path) -> Path | None:
    """[outbox] folder as a path: of systemd or the user, and of this host's name, if it says auto; None if off."""
    if configured == "off":
        return None
    if configured != "auto":
        return base / configured
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_STATE_HOME", "") or Path.home() / ".local" / "state"
    return Path(state or Path(home) / "edge-tdn") / host


def holder(folder: Path) -> int | None:
    """Process id of the daemon that keeps its events there, 0 for one of another container; None: nobody does.

    Looks without touching the lock: a daemon that starts at this moment must find it free.
    """
    try:
        inode = (folder / LOCK).stat().st_ino
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if "FLOCK" in line and "->" not in line)
    return next((int(words[4]) for words in found if words[5].endswith(f":{inode}")), None)


def _place(path: Path) -> tuple[int, int] | None:
    """What a name stands for on the disk; None: nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
