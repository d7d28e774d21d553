"""The counters and the clock of an outbox. Both continue over restarts, from the checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Counters:
    """Written by the outbox's thread; any thread may read them."""

    next_number: int  # of the next event, in the order of sending
    last_seqs: dict[str, int]  # camera -> seq of its last event
    dropped: int  # events that were given up, over all starts
    lost: int  # events that disappeared with a damaged or removed file, over all starts
    delivered: int = 0  # events that the broker has acknowledged, since the daemon started
    generation: int = 0  # grows when events may have come back before a number that was passed


class RunningTime:
    """Seconds that daemons have run with an outbox, over all starts: the wall clock may be set, this one may not."""

    def __init__(self, before_s: float, clock: Callable[[], float]) -> None:
        """`before_s`: of earlier starts. `clock`: monotonic seconds."""
        self.clock = clock
        self._before_s, self._started_s = before_s, clock()

    @property
    def lived_s(self) -> float:
        """The running time until now."""
        return round(self._before_s + self.clock() - self._started_s, 1)
