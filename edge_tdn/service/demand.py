"""The demand on a camera's thread: play, pause, or end."""

import threading
from enum import Enum, auto


class Demand(Enum):
    """The states that a camera's thread is asked for."""

    RUN = auto()
    PAUSE = auto()  # by command, until it is enabled again
    STOP = auto()  # for good


class DemandSwitch:
    """The current demand: set by any thread, followed by the camera's. One lock guards all changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._demand = Demand.RUN
        self._changed = threading.Event()  # another demand than the one that is followed now
        self._enabled = True
        self._reason = ""

    @property
    def enabled(self) -> bool:
        """As last commanded; a stop does not change it."""
        return self._enabled

    @property
    def stopped(self) -> bool:
        """The thread has to end, or has ended."""
        return self._demand is Demand.STOP

    @property
    def reason(self) -> str:
        """Why it was stopped."""
        return self._reason

    def set_enabled(self, enabled: bool) -> None:
        """Ask for frames, or for none."""
        with self._lock:
            self._enabled = enabled
            demand = Demand.RUN if enabled else Demand.PAUSE
            if not self.stopped and demand is not self._demand:
                self._demand = demand
                self._changed.set()

    def stop(self, reason: str) -> None:
        """Ask for the end of the thread."""
        with self._lock:
            self._reason, self._demand = reason, Demand.STOP  # in this order: both are read without the lock
            self._changed.set()

    def follow(self) -> tuple[Demand, threading.Event]:
        """Return the current demand, and an event that is set as soon as there is another. For the camera's thread."""
        with self._lock:
            self._changed = threading.Event()
            return self._demand, self._changed
