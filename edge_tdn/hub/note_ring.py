"""The last notes for the page's readers, each made once, whatever the number of readers."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from edge_tdn.messages import NS_PER_S

NoteKind = Literal["scores", "action", "event", "camera", "host", "record", "finetune", "trial"]

MAX_NOTES, MAX_NOTE_BYTES = 1000, 512_000  # that are kept; the oldest leave
OPEN_AFTER_NS = 30 * NS_PER_S  # that the ring stays open after its last reader, who may come back


@dataclass(frozen=True)
class HubNote:
    """One note. `number`: grows by one with each. `data`: one line of UTF-8 JSON."""

    number: int
    kind: NoteKind
    data: bytes


class NoteRing:
    """A bounded queue of notes with a position for each reader. It keeps nothing without a reader.

    Any thread may use it: a lock guards everything. `open` is read without it.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """`clock`: monotonic, nanoseconds."""
        self.open = False  # notes are kept; else `put` should not be called
        self._clock = clock
        self._lock = threading.Lock()
        self._notes: deque[HubNote] = deque()
        self._bytes = 0  # of all notes
        self._number = 0  # of the last note; also grows when the ring closes, so that no reader continues over that
        self._readers = 0
        self._close_at_ns = 0  # while there is no reader
        self._wake: Callable[[], None] = lambda: None
        self._woken = False  # `_wake` was called, and no reader has taken notes since

    def attach(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after a note was put that a reader may take; at most once until a reader takes some.

        It is called on the thread that puts, with the lock held: it must return at once, and not use the ring.
        """
        with self._lock:
            self._wake, self._woken = wake, False

    def reader(self, last: int | None = None) -> "NoteReader":
        """Open the ring, and return a reader of the notes after the one numbered `last`; None: of those to come."""
        with self._lock:
            self.open, self._woken = True, False
            self._readers += 1
            return NoteReader(self, self._number if last is None else last)

    def put(self, kind: NoteKind, data: bytes) -> None:
        """Append a note for all readers. A while after the last reader has left, it closes the ring instead."""
        with self._lock:
            if not self.open:
                return
            if not self._readers and self._clock() >= self._close_at_ns:
                self._clear()
                return
            self._number += 1
            self._notes.append(HubNote(self._number, kind, data))
            self._bytes += len(data)
            while len(self._notes) > MAX_NOTES or self._bytes > MAX_NOTE_BYTES:
                self._bytes -= len(self._notes.popleft().data)
            if self._readers and not self._woken:
                self._woken = True
                self._wake()

    def after(self, last: int) -> tuple[list[HubNote], bool, int]:
        """Return the notes after the one numbered `last`, whether any is missing before them, and the last number.

        For NoteReader.
        """
        with self._lock:
            self._woken = False
            first = self._number - len(self._notes) + 1
            missed = not first - 1 <= last <= self._number
            notes = list(self._notes if missed else islice(self._notes, last - first + 1, None))
            return notes, missed, self._number

    def leave(self) -> None:
        """Count one reader less. For NoteReader."""
        with self._lock:
            self._readers -= 1
            self._close_at_ns = self._clock() + OPEN_AFTER_NS

    def _clear(self) -> None:
        self.open = False
        self._notes.clear()
        self._bytes = 0
        self._number += 1


class NoteReader:
    """The position of one reader in the ring. Belongs to one thread."""

    def __init__(self, ring: NoteRing, last: int) -> None:
        self._ring, self._last = ring, last
        self._closed = False

    def take(self) -> tuple[list[HubNote], bool]:
        """Return the notes since the last call, oldest first, and whether some before them have left the ring."""
        notes, missed, self._last = self._ring.after(self._last)
        return notes, missed

    def close(self) -> None:
        """Leave the ring."""
        if not self._closed:
            self._closed = True
            self._ring.leave()
