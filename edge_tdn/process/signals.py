"""SIGTERM, SIGINT and SIGHUP, whatever the process is at.

Python hears a signal on its main thread, and there only between two of its own instructions: not while a library
compiles a network, or waits for a camera. So the main thread of a daemon does nothing but wait for signals.
"""

import ctypes
import faulthandler
import logging
import os
import signal
import struct
import sys
import threading
from collections.abc import Callable, Collection
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BEGUN_S = 1.0  # how long a stop waits for a start to be over
STOP_S = 4.8  # and for all of it: what hangs then is left behind
OVER = 0  # no signal's number
SS_DISABLE = 2  # sigaltstack's flag, from signal.h


class Process(Protocol):
    """What lives on the other thread."""

    def run(self) -> None: ...

    def stop(self) -> None:
        """Ends `run`; may be called from any thread."""

    def reload(self) -> None:
        """May be called from any thread."""

    @property
    def hanging(self) -> Collection[str]:
        """Threads that were left behind."""


def hear_on_own_stack() -> None:
    """Has this thread hear signals on its usual stack.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signals, and of several plugins the last to go
    leaves one there that was freed before: Ctrl-C would then end the process by a segmentation fault.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(struct.pack("@PiN", 0, SS_DISABLE, 0), None)


def run_until_signalled(begin: Callable[[], Process]) -> None:
    """Begins a process and runs it, on a thread of its own. SIGTERM and SIGINT end it, SIGHUP has it reload.

    Raises what `begin` or `run` raises. Threads that hang in a library are no reason not to end: then the process exits
    from here.
    """
    hear, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)  # a handler may break in anywhere, also into itself: it does nothing
    for heard in (signal.SIGHUP, *STOP_SIGNALS):
        signal.signal(heard, lambda number, frame: None)
    life = _Life(begin, lambda: os.write(tell, bytes([OVER])))
    life.thread.start()
    while (number := os.read(hear, 1)[0]) != OVER:
        if number == signal.SIGHUP:
            life.reload()
        elif number in STOP_SIGNALS:
            life.stop(signal.Signals(number))
    if life.failure:
        raise life.failure
    if life.process and life.process.hanging:
        log.warning("left behind: %s", ", ".join(life.process.hanging))
        _exit(0)  # the interpreter would pull memory from under them


class _Life:
    """`over` is called at its end."""

    def __init__(self, begin: Callable[[], Process], over: Callable[[], object]) -> None:
        self.thread = threading.Thread(target=self._run, name="life", daemon=True)
        self.process: Process | None = None
        self.failure: BaseException | None = None
        self._begin, self._over = begin, over
        self._stopping = self._reloading = False
        self._lock = threading.Lock()

    def reload(self) -> None:
        with self._lock:
            self._reloading = True
            if self.process:
                self.process.reload()

    def stop(self, number: signal.Signals) -> None:
        with self._lock:
            if self._stopping:  # once is enough
                return
            self._stopping = True
            log.info("stopping signal=%s", number.name)
            if self.process:
                self.process.stop()
        for after_s, end in ((BEGUN_S, self._give_up_start), (STOP_S, self._give_up)):
            timer = threading.Timer(after_s, end)
            timer.daemon = True
            timer.start()

    def _run(self) -> None:
        try:
            process = self._begin()
            with self._lock:
                self.process = process
                if self._reloading:
                    process.reload()
                if self._stopping:
                    process.stop()
            process.run()
        except BaseException as error:  # told on the main thread
            self.failure = error
        finally:
            self._over()

    def _give_up_start(self) -> None:
        """Nothing runs yet, nothing is known of us: a network is being compiled."""
        with self._lock:
            if self.process is None and self.failure is None:
                _exit(0)

    def _give_up(self) -> None:
        log.error("not stopped in %g s", STOP_S)
        faulthandler.dump_traceback(all_threads=True)
        _exit(1)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT end the process cleanly, where its main thread has other things to do."""

    def handle(number: int, frame: FrameType | None) -> None:
        log.info("stopping signal=%s", signal.Signals(number).name)
        for other in STOP_SIGNALS:  # once is enough; a second Ctrl-C must not break into the goodbye
            signal.signal(other, signal.SIG_IGN)
        # on a thread of its own: the one that was interrupted may hold the lock that `stop` wants
        threading.Thread(target=stop).start()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)


def _exit(status: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
