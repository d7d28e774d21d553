"""Ctrl-C and SIGTERM, which end a command even where a library loses the exception."""

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RETRY_S = 0.01  # after an exception that was lost

_arrived = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt within the block when SIGINT or SIGTERM arrives. Only for the main thread.

    Python raises it between any two of its instructions. In a finaliser or a weak reference's callback it is lost; here
    it is raised again after `RETRY_S`. PyTorch reports it as an error of an operator; here every error that follows a
    signal is the interrupt, and what libraries log of it is left out. For an exception that a library drops without a
    trace, see `raise_if_interrupted`.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        _arrived.set()
        logging.disable()
        raise KeyboardInterrupt

    def unraisable(lost: Any) -> None:
        if _arrived.is_set() and issubclass(lost.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)
        else:
            report_lost(lost)

    report_lost, sys.unraisablehook = sys.unraisablehook, unraisable
    handlers = {number: signal.signal(number, interrupt) for number in (*SIGNALS, signal.SIGALRM)}
    try:
        yield
    except Exception as error:
        if not _arrived.is_set():
            raise
        interrupted = KeyboardInterrupt()
        for note in getattr(error, "__notes__", ()):
            interrupted.add_note(note)
        raise interrupted from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.unraisablehook = report_lost
        logging.disable(logging.NOTSET)
        _arrived.clear()


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a signal has arrived in the block of `interruptible`.

    Called between the steps of long work, and before what was written becomes visible.
    """
    if _arrived.is_set():
        raise KeyboardInterrupt
