"""Heartbeats: every thread beats on the monotonic clock, and one that stops is logged with the stacks of all threads.

A thread is monitored while it is `beating`, and calls `beat` at least every `beat_interval_s()`, whether or not it has
work: a thread that waits for its queue, or for a camera that is away, is healthy. The daemon's main loop checks all of
them (`Watchdog`), and is itself monitored by systemd, which restarts the daemon if a thread hangs.
"""

import faulthandler
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edge_tdn.process import systemd_notify
from edge_tdn.process.log import value

log = logging.getLogger(__name__)

MAX_BEAT_INTERVAL_S = 1.0
MIN_BEATS = 10  # within systemd's timeout, where that is short
DEFAULT_HANG_S = 20.0  # without a watchdog of systemd: a thread without a beat for this long hangs
STDERR = 2  # the journal's, even where sys.stderr has been replaced

# Monotonic seconds of the last beat of each monitored thread. A thread writes its own; the main loop reads a copy.
_beats: dict[threading.Thread, float] = {}


def beat_interval_s() -> float:
    """Return how often a waiting thread must beat."""
    return min(MAX_BEAT_INTERVAL_S, (systemd_notify.watchdog_timeout_s() or DEFAULT_HANG_S) / MIN_BEATS)


@contextmanager
def beating() -> Iterator[None]:
    """Monitor the current thread until the end of the block, or of the function that this decorates."""
    thread = threading.current_thread()
    _beats[thread] = time.monotonic()
    try:
        yield
    finally:
        _beats.pop(thread, None)


def forget(thread: threading.Thread) -> None:
    """Stop monitoring a thread that was asked to end and is no longer waited for: if it hangs, there is no restart."""
    _beats.pop(thread, None)


def beat(patience_s: float = 0.0) -> None:
    """Record a beat of the current thread. `patience_s`: how much later than usual the next beat may come."""
    thread = threading.current_thread()
    if thread in _beats:
        _beats[thread] = time.monotonic() + patience_s


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Allow the current thread this long for the block without a beat."""
    beat(seconds)
    try:
        yield
    finally:
        beat()


def wait(event: threading.Event, timeout_s: float = float("inf")) -> bool:
    """Wait as event.wait does, with beats of the current thread."""
    interval_s, deadline = beat_interval_s(), time.monotonic() + timeout_s
    while not event.wait(max(0.0, min(interval_s, deadline - time.monotonic()))):
        beat()
        if time.monotonic() >= deadline:
            return False
    return True


class Watchdog:
    """Checks all monitored threads. The daemon's main loop calls `look` every `period_s`, and `close` at the end.

    systemd's watchdog is fed while every thread has beaten in the last `period_s`. A thread that has not is logged,
    with the stacks of all. When it has hung for as long as systemd would wait, systemd is asked to restart the daemon;
    without systemd, logging is all. If the main loop hangs, the stacks are still written.

    Owned by the main loop's thread.
    """

    def __init__(self) -> None:
        self._hang_s = systemd_notify.watchdog_timeout_s() or DEFAULT_HANG_S
        self.period_s = self._hang_s / 2
        self._late: dict[threading.Thread, float] = {}  # those that were logged; monotonic seconds of the last beat
        self._looked_s = self._awake_s = time.monotonic()

    def look(self) -> bool:
        """Check all threads; return whether none is late."""
        faulthandler.dump_traceback_later(0.9 * self._hang_s, file=STDERR)  # unless the next look comes before
        now = time.monotonic()
        if now - self._looked_s > self.period_s:  # the whole host was suspended: every thread starts afresh
            self._awake_s = now
        self._looked_s = now
        silent_s = {thread: now - max(at, self._awake_s) for thread, at in _beats.copy().items()}
        late = {thread: s for thread, s in silent_s.items() if s > self.period_s}
        self._log(late, now)
        if not late:
            systemd_notify.feed_watchdog()
        elif max(late.values()) > self._hang_s:
            systemd_notify.trigger_watchdog()
        return not late

    def close(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def _log(self, late: dict[threading.Thread, float], now: float) -> None:
        """Log each late thread once, and once more when it beats again."""
        for thread in self._late.keys() - late.keys():
            since = self._late.pop(thread)
            if thread in _beats or not thread.is_alive():  # else it was forgotten
                log.warning("thread=%s beats again, after %.1f s", value(thread.name), now - since)
        new = late.keys() - self._late.keys()
        for thread in new:
            text = "thread=%s (%#018x) has not beaten for %.1f s; the stacks of all threads follow"
            log.error(text, value(thread.name), thread.ident, late[thread])
            self._late[thread] = now - late[thread]
        if new:
            faulthandler.dump_traceback(file=STDERR)
