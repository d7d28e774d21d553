"""The wait between two connections: doubled after each failure, reset by a connection that lasted."""

import random
from collections.abc import Callable

from edge_tdn.delivery.timing import ConnectionTiming

MAX_SHORT_CONNECTIONS = 3  # in a row; not all brokers name the reason when a second client takes over the id


class Backoff:
    """The waits of one `Connection`, on its thread. `uniform(low, high)` draws a random number."""

    def __init__(self, timing: ConnectionTiming, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._timing, self._uniform = timing, uniform
        self._wait_s = timing.min_retry_s
        self._short_connections = 0  # in a row: accepted by the broker, and ended soon

    @property
    def keeps_ending(self) -> bool:
        """Return whether the broker accepts the connections but each of the last ones ended soon."""
        return self._short_connections >= MAX_SHORT_CONNECTIONS

    def ended(self, connected_s: float | None, taken_over: bool = False) -> None:
        """Record the end of a connection.

        `connected_s`: how long it lasted since the broker accepted it, None if it never did. `taken_over`: by another
        client with the same id; this never resets the wait, or two clients would disconnect each other all the time.
        """
        if connected_s is not None and connected_s >= self._timing.backoff_reset_s and not taken_over:
            self._wait_s = self._timing.min_retry_s
            self._short_connections = 0
        elif connected_s is not None:
            self._short_connections += 1

    def next_wait_s(self) -> float:
        """Return the seconds to wait before the next connection."""
        wait_s = self._wait_s
        self._wait_s = min(2 * wait_s, self._timing.max_retry_s)
        return wait_s * self._uniform(1, 1 + self._timing.jitter)
