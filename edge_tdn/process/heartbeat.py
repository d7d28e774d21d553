"""Does every thread go on? Each beats on the monotonic clock; who does not is told with all stacks, and restarted over.

A thread is watched while it is `beating`, and calls `beat` at least once a second, whether or not there is work: who
waits for it, or for a camera that is away, is well. The daemon's main loop looks at all of them (`Watchdog`), and is
itself watched by systemd.
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

EVERY_S = 1.0  # who waits for something beats this often
HUNG_S = 20.0  # a thread without a beat for so long hangs, where no systemd says otherwise
STDERR = 2  # the journal's, also where somebody has replaced sys.stderr

_beats: dict[threading.Thread, float] = {}  # those that are watched; monotonic seconds of the last beat


@contextmanager
def beating() -> Iterator[None]:
    """The current thread is watched until the end of the block, or of the function that this decorates."""
    thread = threading.current_thread()
    _beats[thread] = time.monotonic()
    try:
        yield
    finally:
        _beats.pop(thread, None)


def forget(thread: threading.Thread) -> None:
    """It was asked to end, and nobody waits for it any more: if it hangs, nothing is restarted over it."""
    _beats.pop(thread, None)


def beat(patience_s: float = 0.0) -> None:
    """The current thread goes on. `patience_s`: the next beat may come so much later than others."""
    thread = threading.current_thread()
    if thread in _beats:
        _beats[thread] = time.monotonic() + patience_s


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """What the current thread does in the block may take so long without a beat."""
    beat(seconds)
    try:
        yield
    finally:
        beat()


def wait(event: threading.Event, timeout_s: float = float("inf")) -> bool:
    """As event.wait, but the thread beats meanwhile."""
    deadline = time.monotonic() + timeout_s
    while not event.wait(max(0.0, min(EVERY_S, deadline - time.monotonic()))):
        beat()
        if time.monotonic() >= deadline:
            return False
    return True


class Watchdog:
    """What the daemon's main loop knows of all threads. It calls `look` every `period_s`, and at the end `close`.

    systemd's watchdog is fed while every thread has beaten in the last `period_s`. A thread that has not is named in
    the log, with the stacks of all. When it has hung for as long as systemd would wait, systemd is asked to restart us;
    without systemd that is all. If the main loop hangs, the stacks are written all the same.
    """

    def __init__(self) -> None:
        self._hung_s = systemd_notify.watchdog_s() or HUNG_S
        self.period_s = self._hung_s / 2
        self._late: dict[threading.Thread, float] = {}  # those that are named in the log; monotonic seconds
        self._looked = self._awake = time.monotonic()

    def look(self) -> bool:
        """Whether every thread goes on."""
        faulthandler.dump_traceback_later(0.9 * self._hung_s, file=STDERR)  # unless we look again before
        now = time.monotonic()
        if now - self._looked > self.period_s:  # the whole host was asleep: each has its time again
            self._awake = now
        self._looked = now
        silent_s = {thread: now - max(at, self._awake) for thread, at in _beats.copy().items()}
        late = {thread: s for thread, s in silent_s.items() if s > self.period_s}
        self._tell(late, now)
        if not late:
            systemd_notify.alive()
        elif max(late.values()) > self._hung_s:
            systemd_notify.hung()
        return not late

    def close(self) -> None:
        faulthandler.cancel_dump_traceback_later()

    def _tell(self, late: dict[threading.Thread, float], now: float) -> None:
        """Once of each, and once more when it goes on."""
        for thread in self._late.keys() - late.keys():
            since = self._late.pop(thread)
            if thread in _beats or not thread.is_alive():  # else it was forgotten
                log.warning("thread=%s goes on, after %.1f s", value(thread.name), now - since)
        new = late.keys() - self._late.keys()
        for thread in new:
            log.error(
                "thread=%s (%#018x) has not beaten for %.1f s; the stacks of all threads follow", value(thread.name),
                thread.ident, late[thread],
            )  # fmt: skip
            self._late[thread] = now - late[thread]
        if new:
            faulthandler.dump_traceback(file=STDERR)
