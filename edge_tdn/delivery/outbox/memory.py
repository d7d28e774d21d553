"""A buffer in memory for events that the disk refuses."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice

from edge_tdn.delivery.outbox.database import Entry


class MemoryBuffer:
    """Events and acknowledgements that are not in the database yet, both by number.

    Owned by the outbox's thread; any thread may read the lengths.
    """

    def __init__(self, max_events: int) -> None:
        self.events: dict[int, Entry] = {}
        self.acknowledged: dict[int, Entry] = {}  # still waiting events of the database
        self._max_events = max_events

    def __bool__(self) -> bool:
        return bool(self.events or self.acknowledged)

    def add(self, entries: Collection[Entry]) -> int:
        """Add events; return how many of the oldest had to be dropped for them."""
        self.events |= {entry.number: entry for entry in entries}
        excess = max(0, len(self.events) - self._max_events)
        for number in list(islice(self.events, excess)):
            del self.events[number]
        return excess

    def acknowledge(self, entry: Entry) -> None:
        """Delete the event if it is here, or else remember the acknowledgement for the database."""
        if self.events.get(entry.number) == entry:
            del self.events[entry.number]
        else:
            self.acknowledged[entry.number] = entry

    def after(self, number: int, without: Collection[str] = ()) -> Iterator[Entry]:
        """Iterate over the events after `number`, except those of the cameras in `without`."""
        return (entry for entry in self.events.values() if entry.number > number and entry.camera not in without)

    def of_camera(self, camera: str) -> Iterator[Entry]:
        """Iterate over the events of a camera."""
        return (entry for entry in self.events.values() if entry.camera == camera)

    def without_acknowledged(self, stored: Collection[Entry]) -> list[Entry]:
        """Return those of the database's waiting events that are not acknowledged."""
        return [entry for entry in stored if entry.number not in self.acknowledged]

    def drop_older(self, lived_s: float) -> int:
        """Delete the events that were added before a running time; return how many were deleted."""
        old = [number for number, entry in self.events.items() if entry.lived_s < lived_s]
        for number in old:
            del self.events[number]
        return len(old)

    def renumber_after(self, newest: int) -> None:
        """Give the events new numbers if the database has used theirs: they were numbered before it could be read."""
        if any(number <= newest for number in self.events):
            moved = [replace(entry, number=newest + 1 + i) for i, entry in enumerate(self.events.values())]
            self.events = {entry.number: entry for entry in moved}
