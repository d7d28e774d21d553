"""Acknowledgements on their way to the outbox: each write costs a flush of the disk, so they are collected."""

import time
from collections.abc import Callable, Iterator

from edge_tdn.delivery.in_flight import MAX_IN_FLIGHT
from edge_tdn.delivery.outbox.outbox import Entry, Outbox
from edge_tdn.delivery.timing import PublisherTiming
from edge_tdn.process import heartbeat


class AcknowledgedEvents:
    """Acknowledged events that are not yet stored as such. Owned by the publisher's thread."""

    def __init__(self, outbox: Outbox, timing: PublisherTiming, clock: Callable[[], float] = time.monotonic) -> None:
        self._outbox, self._timing, self._clock = outbox, timing, clock
        self._events: list[Entry] = []
        self._stored_at_s = 0.0  # monotonic

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._events)

    def add(self, entry: Entry) -> None:
        self._events.append(entry)

    @property
    def due_s(self) -> float:
        """Return the monotonic time at which they are to be stored; infinity if there are none."""
        return self._stored_at_s + self._timing.store_s if self._events else float("inf")

    def store(self, more_to_come: bool) -> None:
        """Store them in the outbox. `more_to_come`: others may follow soon, so wait for them a moment."""
        waited = self._clock() >= self.due_s
        if self._events and (waited or not more_to_come or len(self._events) >= MAX_IN_FLIGHT // 2):
            with heartbeat.patience(self._timing.disk_s):
                self._outbox.acknowledge(self._events)
            self._events.clear()
            self._stored_at_s = self._clock()
