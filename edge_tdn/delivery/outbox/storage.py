"""The outbox's database, and memory for what the disk refuses, until the disk accepts it.

off            no folder: the database itself is in memory
ok ──► full         the disk has no room                                   ──┐
   ──► read_only    the disk refuses for another reason                      ├── tried again ──► ok
   ──► damaged      the file is damaged, and no new one can take its place ──┘
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_tdn.delivery.outbox import checkpoint, disk_reserve
from edge_tdn.delivery.outbox.checkpoint import OutboxCheckpoint
from edge_tdn.delivery.outbox.counters import Counters, RunningTime
from edge_tdn.delivery.outbox.database import DATABASE, Damaged, DiskFull, Entry, EventDatabase, StorageError
from edge_tdn.delivery.outbox.folder import lock_folder
from edge_tdn.delivery.outbox.memory import MemoryBuffer
from edge_tdn.delivery.outbox.rescue import readable_entries, set_aside
from edge_tdn.errors import ConfigError
from edge_tdn.messages import OutboxState
from edge_tdn.process.log import RateLimitedLog

log = logging.getLogger(__name__)

LOG_BURST, LOG_EVERY_S = 3, 20.0  # lines about a disk that comes and goes


@dataclass(frozen=True)
class OutboxTiming:
    """Intervals, and the limits that are not in the configuration."""

    retry_s: float = 2.0  # from one try of a disk that refuses writes to the next
    age_check_s: float = 30.0  # from one search for events that are too old to the next
    max_in_memory: int = 10_000  # events, while the disk refuses writes; beyond that the oldest are dropped
    prune_batch: int = 500  # acknowledged events beyond `replayable` that are deleted together


class StorageState(Enum):
    """The condition of the disk, by its name in the daemon's status."""

    _value_: OutboxState

    OK = "ok"
    FULL = "full"
    READ_ONLY = "read_only"
    DAMAGED = "damaged"
    OFF = "off"

    @property
    def working(self) -> bool:
        return self in (StorageState.OK, StorageState.OFF)


class EventStorage:
    """Events on disk, or in memory while the disk refuses them.

    Owned by the outbox's thread; any thread may read `condition` and the counts. Nothing here raises a StorageError:
    a refused write returns False or None, a refused read nothing.
    """

    def __init__(self, folder: Path | None, clock: Callable[[], float], timing: OutboxTiming) -> None:
        """Open the database. `folder`: None keeps everything in memory.

        Raise ConfigError if it is not a folder, or if another daemon uses it.
        """
        # set once
        self._folder, self._timing = folder, timing
        self._log = RateLimitedLog(log, LOG_EVERY_S, LOG_BURST)
        # the outbox's thread
        self._lock = lock_folder(folder) if folder else None
        self._expected = checkpoint.read(folder) if folder else OutboxCheckpoint()  # until compared with the database
        self._checkpoints = self._expected.turn  # written so far
        self._retry_at_s = clock() + timing.retry_s
        self._database: EventDatabase | None = None
        self.memory = MemoryBuffer(timing.max_in_memory)
        self.condition: tuple[StorageState, str] = (StorageState.OFF, "")  # with the reason
        self.time = RunningTime(self._expected.lived_s, clock)
        self.counters = Counters(
            self._expected.next, dict(self._expected.last), self._expected.dropped, self._expected.lost
        )
        self._open()

    # -------------------------------------------------------------------------------------------- read by any thread

    @property
    def waiting(self) -> int:
        """Events that the broker has not acknowledged."""
        database = self._database
        stored = database.waiting if database else 0
        waiting = stored + len(self.memory.events) - len(self.memory.acknowledged)
        return max(0, waiting)  # an event that was dropped from memory may still be acknowledged

    @property
    def acknowledged(self) -> int:
        """Events of the database that are kept for replays."""
        database = self._database
        return database.acknowledged if database else 0

    @property
    def size_bytes(self) -> int:
        """The room that the events take in the database."""
        database = self._database
        return max(0, database.size_bytes) if database else 0

    # ------------------------------------------------------------------------------------------- reading and writing

    def append(self, entries: Sequence[Entry]) -> bool:
        """Store events in the database, and the cameras' last seqs with them."""
        return self.write(lambda database: database.append(entries, self.counters.last_seqs)) is not None

    def store_acknowledgements(self) -> bool:
        """Store the acknowledgements that are in memory."""
        acknowledged = list(self.memory.acknowledged.values())
        if self.write(lambda database: database.acknowledge(acknowledged)) is None:
            return False
        self.memory.acknowledged.clear()
        return True

    def write(self, change: Callable[[EventDatabase], int]) -> int | None:
        """Return what `change` returns, or None if the disk refuses it."""
        for _ in range(2):
            if self._database is None:
                break
            try:
                return change(self._database)
            except Damaged as error:
                self._replace(error)
                break
            except StorageError as error:
                if not isinstance(error, DiskFull) or not self._release_reserve():
                    self._pause(error)
                    break
        return None

    def read_waiting(self, query: Callable[[EventDatabase], list[Entry]]) -> list[Entry]:
        """Return those of the waiting events that `query` returns that are not acknowledged in memory."""
        return self.memory.without_acknowledged(self.read(query))

    def read(self, query: Callable[[EventDatabase], list[Entry]]) -> list[Entry]:
        """Return what `query` returns, or nothing if the disk refuses it."""
        for _ in range(2):
            if self._database is None:
                break
            try:
                return query(self._database)
            except Damaged as error:
                self._replace(error)  # then query the new database, which has what could be rescued
            except StorageError as error:
                self._pause(error)
                break
        return []

    def write_checkpoint(self) -> None:
        """Write the checkpoint: after the database, so that it never lists an event that is not there."""
        if self._folder is None or self._database is None:
            return
        content = OutboxCheckpoint(
            turn=self._checkpoints + 1,
            waiting=self.waiting,
            oldest=self._oldest_number(self._database),
            next=self.counters.next_number,
            last=self.counters.last_seqs,
            dropped=self.counters.dropped,
            lost=self.counters.lost,
            lived_s=self.time.lived_s,
        )
        self._checkpoints += checkpoint.write(self._folder, content)

    def retry_if_due(self) -> bool:
        """Try the disk again if there is a reason and it is time; return whether it was tried and works."""
        now_s = self.time.clock()
        if now_s < self._retry_at_s:
            return False
        self._retry_at_s = now_s + self._timing.retry_s
        return (bool(self.memory) or not self._healthy) and self.retry()

    def retry(self) -> bool:
        """Store what waits in memory, if need be in a database that is opened again; return whether that worked."""
        was_working, waited = self.condition[0].working, len(self.memory.events)
        if self._database and not self._healthy:
            self._detach(self._database)
        if self._database is None:
            self._open()
        if self._database is None or not self.append(list(self.memory.events.values())):
            return False
        self.memory.events.clear()
        if not self.condition[0].working:
            self.condition = (StorageState.OK, "")
            self.counters.generation += 1  # events that could not be read were passed over
        if not was_working:
            text = "outbox: %s accepts events again; %d had waited in memory"
            self._log.log(logging.INFO, text, self._folder, waited)
        if self.memory.acknowledged:
            self.store_acknowledgements()
        self._settle()
        return True

    def close(self) -> None:
        """Try once more to store what waits in memory, and unlock the folder."""
        if self.memory:
            self.retry()
        self.write_checkpoint()
        if self.memory.events and self._folder:
            log.error("outbox: %d events are lost: %s", len(self.memory.events), self.condition[1])
        if self._database:
            self._database.close()
            self._database = None
        self._unlock()

    # --------------------------------------------------------------------------------------------- opening, recovery

    @property
    def _healthy(self) -> bool:
        return self.condition[0].working and self._database is not None and self._database.in_place

    def _open(self, damage: Damaged | None = None) -> None:
        """Open the database, or a new one in place of a damaged one. If the disk refuses, no database is open.

        `damage`: what is wrong with the existing file, if that is known.
        """
        if self._folder is None:
            self._database = EventDatabase(None)
            return
        try:
            self._lock = self._lock or lock_folder(self._folder)
            if damage is None:
                try:
                    self._use(self._connect(self._folder))
                    return
                except Damaged as error:
                    damage = Damaged(str(error))  # without a traceback, which keeps the closed connection
            self._set_aside(self._folder, damage)
            self._use(self._connect(self._folder))
        except (OSError, StorageError, ConfigError) as error:  # another daemon may have locked the folder meanwhile
            self._pause(error)

    def _connect(self, folder: Path) -> EventDatabase:
        try:
            return EventDatabase(folder / DATABASE)
        except DiskFull:
            if not self._release_reserve():
                raise
            return EventDatabase(folder / DATABASE)

    def _use(self, database: EventDatabase) -> None:
        """Compare a database with the checkpoint, count what is missing, and store what waits in memory."""
        try:
            known, newest = database.last_seqs(), database.newest_number()
            is_older = any(known.get(camera, 0) < seq for camera, seq in self._expected.last.items())
            found = database.count_waiting(self._expected.oldest) if is_older else self._expected.waiting
        except StorageError:
            database.close()
            raise
        self._database = database
        self.condition = (StorageState.OK, "")
        counters = self.counters
        counters.generation += 1
        counters.last_seqs |= {camera: max(seq, counters.last_seqs.get(camera, 0)) for camera, seq in known.items()}
        self._count_lost(found)
        self.memory.renumber_after(newest)
        counters.next_number = max(counters.next_number, newest + 1 + len(self.memory.events))
        if self.append(list(self.memory.events.values())):
            self.memory.events.clear()
        self._settle()

    def _set_aside(self, folder: Path, damage: Damaged) -> None:
        """Rename the damaged database; its readable events wait in memory. Raise Damaged if it cannot be renamed."""
        path = folder / DATABASE
        if disk_reserve.is_full(folder, damage):
            self._release_reserve()  # SQLite reads through its log, which needs room
        rescued = readable_entries(path)
        try:
            set_aside(path)
        except OSError as error:
            raise Damaged(f"{damage}; the damaged file cannot be renamed: {error}") from error
        log.error("outbox: %s: %s; put aside as %s.damaged, %d events rescued", path, damage, DATABASE, len(rescued))
        waiting = {entry.number: entry for entry in self.memory.without_acknowledged(rescued.values())}
        self.memory.acknowledged.clear()
        self._count_lost(sum(number >= self._expected.oldest for number in waiting))
        self.memory.events = waiting | self.memory.events

    def _replace(self, damage: Damaged) -> None:
        """Replace the open database, which turned out to be damaged."""
        if self._folder is None or self._database is None:
            raise damage
        self._expected = OutboxCheckpoint(waiting=self._database.waiting - len(self.memory.acknowledged))
        self._database.close()
        self._database = None
        self._open(damage)

    def _detach(self, database: EventDatabase) -> None:
        """Close the database. If its file has lost its name, the events that wait in it move to memory."""
        if not database.in_place:
            with suppress(StorageError):
                waiting = self.memory.without_acknowledged(database.after(0))
                self.memory.events = {entry.number: entry for entry in waiting} | self.memory.events
            self._unlock()  # the lock has lost its name too
        database.close()
        self._database = None

    def _unlock(self) -> None:
        if self._lock:
            self._lock.close()
        self._lock = None

    def _pause(self, error: Exception) -> None:
        """Keep events in memory until the next try."""
        if isinstance(error, Damaged):
            state = StorageState.DAMAGED
        elif self._folder and disk_reserve.is_full(self._folder, error):
            state = StorageState.FULL
        else:
            state = StorageState.READ_ONLY
        if self.condition[0] is not state:
            text = "outbox: %s: %s; new events wait in memory, at most %d"
            self._log.log(logging.ERROR, text, self._folder, error, self._timing.max_in_memory)
        self.condition = (state, str(error))
        self._retry_at_s = self.time.clock() + self._timing.retry_s

    def _release_reserve(self) -> bool:
        """Delete the reserve; return whether there is more room now."""
        if not self._folder or not disk_reserve.release(self._folder):
            return False
        log.warning("outbox: %s: the disk is full; deleted the reserve file", self._folder)
        return True

    def _settle(self) -> None:
        """Prepare for the next failure, while the disk accepts writes."""
        if self._folder:
            disk_reserve.create(self._folder)
        self.write_checkpoint()

    def _oldest_number(self, database: EventDatabase) -> int:
        """Return the number of the oldest waiting event, or of the next one if none waits."""
        oldest: int | None = None
        with suppress(StorageError):
            oldest = database.oldest_waiting(without=self.memory.acknowledged)
        return oldest or next(iter(self.memory.events), self.counters.next_number)

    def _count_lost(self, found: int) -> None:
        """Count what is missing of the events that waited when the checkpoint was written, and forget the checkpoint.

        `found`: how many of them are left.
        """
        missing = max(0, self._expected.waiting - found)
        if missing:
            self.counters.lost += missing
            text = "outbox: %s: of %d events that waited %d are lost"
            log.error(text, self._folder, self._expected.waiting, missing)
        self._expected = OutboxCheckpoint()
