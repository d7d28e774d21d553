"""SIGTERM, SIGINT and SIGHUP, handled whatever the process is doing; and SIGUSR1 and SIGUSR2, which end nothing.

Python handles a signal on its main thread, and there only between two of its own instructions: not while a library
compiles a network, or waits for a camera. So the main thread of a daemon only waits for signals.
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
from contextlib import suppress
from types import FrameType
from typing import Protocol

from edge_tdn.errors import EdgeTdnError
from edge_tdn.process.log import report_error
from edge_tdn.process.program import HELD_SIGNALS, release_signals

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
START_GRACE_S = 1.0  # for a start that is under way when the stop comes
STOP_TIMEOUT_S = 4.8  # for the whole stop; after that the process exits
ENDED = 0  # written to the pipe when the process's thread has ended; not a signal's number
SS_DISABLE = 2  # sigaltstack's flag, from signal.h


class Process(Protocol):
    """An object that runs on a thread of its own until it is stopped."""

    def run(self) -> None: ...

    def stop(self) -> None:
        """End `run`. Called from any thread."""

    def reload(self) -> None:
        """Read the configuration again. Called from any thread."""

    @property
    def hanging(self) -> Collection[str]:
        """The threads that did not end."""


def disable_signal_stack() -> None:
    """Make this thread handle signals on its usual stack.

    OpenVINO's CPU plugin gives the thread that loads it a stack for signals, and the last of several plugins to be
    unloaded leaves a freed one there: Ctrl-C would then end the process by a segmentation fault.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(struct.pack("@PiN", 0, SS_DISABLE, 0), None)


def run_until_signalled(begin: Callable[[], Process]) -> None:
    """Start a process and run it, on a thread of its own. SIGTERM and SIGINT stop it, SIGHUP makes it reload.

    Signals that `run_program` has held back until now count, too. SIGUSR1 and SIGUSR2, which other programs may send
    when they rotate logs, only leave a line in the log. Raise what `begin` or `run` raises. Threads that hang in a
    library do not delay the end: the process exits here.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)  # a handler may interrupt anything, itself too: it does nothing
    for handled in HELD_SIGNALS:
        signal.signal(handled, lambda number, frame: None)
    release_signals()
    runner = _ProcessThread(begin, lambda: os.write(writer, bytes([ENDED])))
    runner.thread.start()
    while (number := os.read(reader, 1)[0]) != ENDED:
        if number == signal.SIGHUP:
            runner.reload()
        elif number in STOP_SIGNALS:
            runner.stop(signal.Signals(number))
        else:
            log.warning("signal=%s ignored: SIGHUP reloads, SIGTERM stops", signal.Signals(number).name)
    failure, hanging = runner.failure, runner.process.hanging if runner.process else ()
    if failure and not (hanging and isinstance(failure, EdgeTdnError)):
        raise failure
    if hanging:
        log.warning("left behind: %s", ", ".join(hanging))
        if isinstance(failure, EdgeTdnError):
            report_error(failure)
        _exit(getattr(failure, "exit_status", 0))  # the interpreter would free memory that these threads use


class _ProcessThread:
    """The thread that starts and runs a process. `ended` is called at its end.

    `_lock` guards `process` and the two flags; `failure` is written by the thread before it ends.
    """

    def __init__(self, begin: Callable[[], Process], ended: Callable[[], object]) -> None:
        self.thread = threading.Thread(target=self._run, name="main loop", daemon=True)
        self.process: Process | None = None
        self.failure: BaseException | None = None
        self._begin, self._ended = begin, ended
        self._stopping = self._reloading = False
        self._lock = threading.Lock()

    def reload(self) -> None:
        with self._lock:
            self._reloading = True
            if self.process:
                self.process.reload()

    def stop(self, number: signal.Signals) -> None:
        with self._lock:
            if self._stopping:  # further signals change nothing
                return
            self._stopping = True
            log.info("stopping signal=%s", number.name)
            if self.process:
                self.process.stop()
        for after_s, end in ((START_GRACE_S, self._give_up_start), (STOP_TIMEOUT_S, self._give_up)):
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
        except BaseException as error:  # raised on the main thread
            self.failure = error
        finally:
            self._ended()

    def _give_up_start(self) -> None:
        """Exit if a network is still being compiled: nothing runs yet, and nothing has been published."""
        with self._lock:
            if self.process is None and self.failure is None:
                _exit(0)

    def _give_up(self) -> None:
        log.error("did not stop within %g s", STOP_TIMEOUT_S)
        faulthandler.dump_traceback(all_threads=True)
        _exit(1)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT, in a program whose main thread has other work."""

    def handle(number: int, frame: FrameType | None) -> None:
        log.info("stopping signal=%s", signal.Signals(number).name)
        for other in STOP_SIGNALS:  # a second Ctrl-C must not interrupt the stop
            signal.signal(other, signal.SIG_IGN)
        # on a thread of its own: the interrupted one may hold the lock that `stop` needs
        threading.Thread(target=stop).start()

    for number in STOP_SIGNALS:
        signal.signal(number, handle)


def _exit(status: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # of a reader that has gone: nothing may keep the process alive
            stream.flush()
    os._exit(status)
