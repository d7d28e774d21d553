"""The notes that the runtime thread hands to a recorder's thread."""

import queue
import threading
from dataclasses import dataclass

from edge_tdn.media.outline import Outline
from edge_tdn.messages import ActionEvent, Frame

MAX_WAITING_SNAPSHOTS = 4  # each holds a frame


@dataclass(frozen=True, eq=False)
class RecorderNote:
    """One event, and what has to be recorded for it."""

    event: ActionEvent
    picture: Frame | None = None  # the frame that a snapshot shows; None: no snapshot
    from_ns: int | None = None  # PTS at which a clip starts; None: none starts
    until_ns: int | None = None  # PTS at which the action's clip ends; None: with the last frame
    outline: Outline | None = None  # of the event's zone, for the snapshot


class RecorderInbox:
    """Notes from the runtime thread to the recorder's. Neither waits for the other.

    One lock guards the number of snapshots that wait, and `dropped`.
    """

    def __init__(self) -> None:
        self.dropped = 0  # snapshots and clips that could not be made
        self._notes: queue.SimpleQueue[RecorderNote | None] = queue.SimpleQueue()
        self._snapshots = 0  # reserved and not yet released
        self._lock = threading.Lock()

    def reserve(self, picture: Frame | None) -> Frame | None:
        """Return the frame if there is room for one more snapshot; else count it as dropped, and return None."""
        with self._lock:
            if picture is None or self._snapshots >= MAX_WAITING_SNAPSHOTS:
                self.dropped += 1
                return None
            self._snapshots += 1
        return picture

    def release(self) -> None:
        """Give back the room of a snapshot that was made, or has failed."""
        with self._lock:
            self._snapshots -= 1

    def drop(self) -> None:
        """Count a snapshot or a clip that could not be made."""
        with self._lock:
            self.dropped += 1

    def put(self, note: RecorderNote) -> None:
        """Append a note."""
        self._notes.put(note)

    def close(self) -> None:
        """Let `get` return None behind the last note."""
        self._notes.put(None)

    def get(self, timeout_s: float) -> RecorderNote | None:
        """Return the next note; None: the inbox is closed. queue.Empty: none came in time."""
        return self._notes.get(timeout=timeout_s)
