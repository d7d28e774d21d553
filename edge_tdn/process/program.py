"""The frame of a program: its standard streams, and the signals that come before it is ready for them.

This file imports nothing that takes long. A signal that comes earlier, while Python itself starts, ends the process.
"""

import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HELD_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
INTERRUPTED = 130  # exit status after Ctrl-C
STDOUT, STDERR = 1, 2
STDERR_WAIT_MS = 1000  # for a pipe or terminal whose reader is slow
CHUNK_BYTES = 4096  # a pipe that is ready takes so many without blocking (pipe(7))


class OutputError(Exception):
    """Standard output cannot be written. `closed`: by its reader, as in `edge-tdn watch | head`.

    Not an OSError, so that nothing takes it for a fault of the file or connection that it handles.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output: {error.strerror}")
        self.closed = isinstance(error, BrokenPipeError)


def run_program(name: str, body: Callable[[], int]) -> int:
    """Run the program and return its exit status.

    Signals wait until `body` calls `release_signals`. Closed standard streams are opened on /dev/null. What cannot be
    written to stderr is discarded. If stdout cannot be written, the program ends: with status 0 if its reader has
    closed the pipe, otherwise with an error and status 1.
    """
    _open_closed_streams()
    with _guarded_streams():
        try:
            try:
                with _held_signals():
                    status = body()
            finally:
                sys.stdout.flush()  # here, because a failure when Python ends is a traceback
        except KeyboardInterrupt:
            return INTERRUPTED
        except OutputError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # takes what is still buffered
            if not error.closed:
                sys.stderr.write(f"{name}: {error}\n")
            return 0 if error.closed else 1
    return status


def release_signals() -> None:
    """Receive the signals that have been held back, and all later ones. The program handles them from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)


@contextmanager
def _held_signals() -> Iterator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
    try:
        yield
    finally:
        release_signals()


def _open_closed_streams() -> None:
    """Open /dev/null on each of the numbers 0 to 2 that is free: the next socket or database would take it."""
    for number, (stream, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number: this one
        if getattr(sys, stream) is None:
            setattr(sys, stream, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


@contextmanager
def _guarded_streams() -> Iterator[None]:
    """Replace stdout and stderr within the block, unless something else has replaced them already."""
    stdout, stderr = sys.stdout, sys.stderr
    if stdout is sys.__stdout__:
        sys.stdout = _text(_Stdout(STDOUT, "w", closefd=False), stdout)
    if stderr is sys.__stderr__:
        sys.stderr = _text(_Stderr(STDERR, "w", closefd=False), stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


def _text(raw: io.FileIO, like: Any) -> io.TextIOWrapper:
    """Return a text stream with the encoding and the buffering of another."""
    by_line = like.line_buffering or like.write_through  # of `python -u`
    return io.TextIOWrapper(io.BufferedWriter(raw), like.encoding, like.errors, line_buffering=by_line)


class _Stdout(io.FileIO):
    """Standard output, whose errors are OutputErrors."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputError(error) from error


class _Stderr(io.FileIO):
    """Standard error, whose reader cannot stop the program: what it does not take in time is left out and counted."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._ready = select.poll()
        self._ready.register(self.fileno(), select.POLLOUT)
        self._left_out = 0  # bytes since the reader last took any

    def write(self, data: Any) -> int:
        try:
            if not self._ready.poll(0 if self._left_out else STDERR_WAIT_MS):
                self._left_out += len(data)
                return len(data)
            if self._left_out:
                note, self._left_out = b"[%d bytes are left out: nothing read them]\n" % self._left_out, 0
                super().write(note)
                return 0  # of the data: the buffer offers it again
            return super().write(data[:CHUNK_BYTES]) or len(data)
        except OSError:  # its reader has ended, the disk is full, the terminal is gone
            return len(data)
