"""Events on disk until the broker has acknowledged them.

    waiting ──PUBACK──► acknowledged (kept for replays) ──newer ones──► deleted
       └── too old, or the oldest beyond the size cap ──► dropped (counted)

The events are in an SQLite file (database.py), with a checkpoint beside it (checkpoint.py) and a reserve for a full
disk (disk_reserve.py); what the disk refuses waits in memory (storage.py, memory.py).

Ages are counted while the daemon runs, not by the wall clock: setting the clock makes no event old.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path

from edge_tdn.config.tables import OutboxConfig
from edge_tdn.delivery.outbox.database import Entry
from edge_tdn.delivery.outbox.storage import EventStorage, OutboxTiming
from edge_tdn.process.log import RateLimitedLog
from edge_tdn.status_messages import OutboxStatus

__all__ = ["Entry", "Outbox", "OutboxTiming"]
log = logging.getLogger(__name__)

LOG_BURST, LOG_EVERY_S = 3, 20.0  # lines about dropped events


class Outbox:
    """The events of all cameras, in the order of sending.

    Owned by one thread; any thread may call `status` and `last_seq` and read the counts.
    """

    def __init__(
        self,
        folder: Path | None,
        config: OutboxConfig,
        clock: Callable[[], float] = time.monotonic,
        timing: OutboxTiming | None = None,
    ) -> None:
        """Open the outbox. `folder`: None keeps everything in memory.

        Raise ConfigError if it is not a folder, or if another daemon uses it.
        """
        # set once
        self._config, self._timing = config, timing or OutboxTiming()
        self._log = RateLimitedLog(log, LOG_EVERY_S, LOG_BURST)
        self._storage = EventStorage(folder, clock, self._timing)
        self._counters, self._time, self._memory = self._storage.counters, self._storage.time, self._storage.memory
        # the owner's thread
        self._age_check_at_s = clock() + self._timing.age_check_s

    # -------------------------------------------------------------------------------------------- read by any thread

    @property
    def waiting(self) -> int:
        """Events that the broker has not acknowledged."""
        return self._storage.waiting

    @property
    def dropped(self) -> int:
        """Events that were given up, over all starts."""
        return self._counters.dropped

    @property
    def lost(self) -> int:
        """Events that disappeared with a damaged or removed file, over all starts."""
        return self._counters.lost

    @property
    def generation(self) -> int:
        """A number that grows when events may have come back before a number that `after` has passed."""
        return self._counters.generation

    @property
    def cameras(self) -> list[str]:
        """All cameras that have ever had an event."""
        return [*self._counters.last_seqs]

    def last_seq(self, camera: str) -> int:
        """Return the `seq` of the camera's last event; 0 if it never had one."""
        return self._counters.last_seqs.get(camera, 0)

    def status(self) -> OutboxStatus:
        """Return the outbox's part of the daemon's status."""
        state, reason = self._storage.condition
        return OutboxStatus(
            state=state.value,
            reason=reason,
            waiting=self.waiting,
            dropped=self.dropped,
            lost=self.lost,
            delivered=self._counters.delivered,
            size=self._storage.size_bytes,
        )

    # -------------------------------------------------------------------------------------------- the owner's thread

    def put(self, events: Sequence[tuple[str, int, bytes]]) -> None:
        """Store camera, seq and payload of each event, in this order and in one transaction.

        If the disk refuses, the events wait in memory.
        """
        counters = self._counters
        entries = [Entry(counters.next_number + i, *event, self._time.lived_s) for i, event in enumerate(events)]
        counters.next_number += len(entries)
        counters.last_seqs |= {entry.camera: entry.seq for entry in entries}
        if not self._memory.events and self._storage.append(entries):
            self._enforce_size_cap()
        else:
            self._count_dropped(self._memory.add(entries), f"more than {self._timing.max_in_memory} waited in memory")
        self._storage.write_checkpoint()

    def after(self, number: int, limit: int, without: Collection[str] = ()) -> list[Entry]:
        """Return at most `limit` waiting events after `number`, oldest first, except of the cameras in `without`."""
        unread = limit + sum(acknowledged > number for acknowledged in self._memory.acknowledged)
        stored = self._storage.read_waiting(lambda database: database.after(number, unread, without))
        return [*stored, *islice(self._memory.after(number, without), limit)][:limit]

    def first(self, camera: str) -> Entry | None:
        """Return the oldest waiting event of a camera."""
        unread = 1 + len(self._memory.acknowledged)
        stored = self._storage.read_waiting(lambda database: database.first(camera, unread))
        return next(iter(stored), None) or next(self._memory.of_camera(camera), None)

    def acknowledge(self, entries: Iterable[Entry]) -> None:
        """Mark events as received by the broker. They are kept for replays until newer ones take their place."""
        for entry in entries:
            self._counters.delivered += 1
            self._memory.acknowledge(entry)
        if self._memory.acknowledged and self._storage.store_acknowledgements():
            self._enforce_size_cap()
        self._storage.write_checkpoint()

    def expiry_s(self, entry: Entry) -> int:
        """Return the seconds until an event is too old, at least 1."""
        return max(1, round(entry.lived_s + self._config.max_age_h * 3600 - self._time.lived_s))

    def replay(self, camera: str, from_seq: int, to_seq: int, limit: int) -> list[Entry]:
        """Return the events of a camera that are still here, acknowledged or not, by `seq`."""
        stored = self._storage.read(lambda database: database.between(camera, from_seq, to_seq, limit))
        unstored = [entry for entry in self._memory.of_camera(camera) if from_seq <= entry.seq <= to_seq]
        return [*stored, *unstored][:limit]

    def newest(self, before: int | None, limit: int) -> list[Entry]:
        """Return the events that are still here and have a smaller number than `before`, newest first.

        `before`: None for all. While the disk cannot be read, only those that wait in memory.
        """
        stored = self._storage.read(lambda database: database.newest(before, limit))
        unstored = (entry for entry in self._memory.after(0) if before is None or entry.number < before)
        return sorted([*stored, *unstored], key=lambda entry: entry.number, reverse=True)[:limit]

    def newest_of(self, camera: str, before_seq: int | None, limit: int) -> list[Entry]:
        """Return a camera's events that are still here and have a smaller `seq` than `before_seq`, newest first.

        `before_seq`: None for all. While the disk cannot be read, only those that wait in memory.
        """
        stored = self._storage.read(lambda database: database.newest_of(camera, before_seq, limit))
        of_camera = self._memory.of_camera(camera)
        unstored = (entry for entry in of_camera if before_seq is None or entry.seq < before_seq)
        return sorted([*stored, *unstored], key=lambda entry: entry.seq, reverse=True)[:limit]

    def tick(self) -> None:
        """Store what waits in memory and drop what is too old, if it is time for that. Call it about once a second."""
        if self._storage.retry_if_due():
            self._enforce_size_cap()
            self._storage.write_checkpoint()
        now_s = self._time.clock()
        if now_s >= self._age_check_at_s:
            self._age_check_at_s = now_s + self._timing.age_check_s
            self._drop_old()
            self._storage.write_checkpoint()

    def close(self) -> None:
        """Try once more to store what waits in memory, and unlock the folder."""
        if self._storage.memory and self._storage.retry():
            self._enforce_size_cap()
        self._storage.close()

    def _enforce_size_cap(self) -> None:
        """Delete the oldest events beyond the configured size, and acknowledged ones beyond `replayable`."""
        storage, replayable, max_bytes = self._storage, self._config.replayable, round(self._config.max_mb * 1e6)
        if storage.acknowledged > replayable + self._timing.prune_batch:
            storage.write(lambda database: database.prune_acknowledged(database.acknowledged - replayable))
        while storage.size_bytes > max_bytes and storage.acknowledged:
            if not storage.write(lambda database: database.prune_acknowledged(database.acknowledged // 4 + 1)):
                break
        if storage.size_bytes > max_bytes:
            count, excess = 0, storage.size_bytes - max_bytes  # not one event more than necessary
            for entry in storage.read(lambda database: database.after(0, 1000)):
                if excess <= 0:
                    break
                count, excess = count + 1, excess - entry.row_bytes
            dropped = storage.write(lambda database: database.prune_waiting(count))
            self._count_dropped(dropped or 0, f"more than max_mb = {self._config.max_mb:g} waited")

    def _drop_old(self) -> None:
        oldest_s = self._time.lived_s - self._config.max_age_h * 3600
        dropped = self._memory.drop_older(oldest_s)
        dropped += self._storage.write(lambda database: database.prune_older(oldest_s)) or 0
        self._count_dropped(dropped, f"older than max_age_h = {self._config.max_age_h:g}")

    def _count_dropped(self, count: int, why: str) -> None:
        if count:
            self._counters.dropped += count
            text = "outbox: dropped the oldest %d events: %s; %d in all"
            self._log.log(logging.WARNING, text, count, why, self.dropped, about="dropped")
