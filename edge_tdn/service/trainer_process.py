"""A trainer as a child process: its lines, its signals, its end."""

import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

WAKE_MS = 250  # without a line
CHUNK_BYTES = 65_536
MAX_LINE_BYTES = 65_536  # a longer one is cut
OUR_OWN = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "CREDENTIALS_DIRECTORY")


class TrainerProcess:
    """A child process in a session of its own, so that a signal reaches its workers, too.

    One thread reads `lines` and then calls `reap`; `signal` may be called from any.
    """

    def __init__(self, words: Sequence[str], folder: Path, claim: int) -> None:
        """Start it in `folder`. `claim`: a file descriptor that it keeps until it ends. OSError: it cannot start."""
        environment = {name: value for name, value in os.environ.items() if name not in OUR_OWN}
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
            pass_fds=(claim,),
        )
        self._signalling = threading.Lock()  # the process is not reaped meanwhile, so its number is still its own
        self._reaped = False

    def signal(self, number: int) -> None:
        """Send a signal to the process and its workers, unless it has been reaped."""
        with self._signalling, suppress(ProcessLookupError):
            if not self._reaped:
                os.killpg(self._process.pid, number)

    def lines(self) -> Iterator[list[str]]:
        """Yield the lines that have come since, at least every WAKE_MS, until the process has ended."""
        assert self._process.stdout
        pipe = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        rest = b""
        while True:
            found: list[bytes] = []
            if over := self._has_ended():
                self.signal(signal.SIGKILL)  # workers that keep the pipe open
            if not poll.poll(WAKE_MS):
                if over:
                    break
            elif data := os.read(pipe, CHUNK_BYTES):
                *found, rest = (rest + data).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    found, rest = [*found, rest], b""
            elif over:
                break
            else:  # it has closed its output, and works on
                poll.unregister(pipe)
            yield [line.decode(errors="replace") for line in found]
        if rest:
            yield [rest.decode(errors="replace")]

    def reap(self) -> int:
        """End what is left of the workers, and return the exit status; negative: the signal that ended it."""
        self.signal(signal.SIGKILL)
        with self._signalling:
            status = self._process.wait()
            self._reaped = True
        if self._process.stdout:
            self._process.stdout.close()
        return status

    def _has_ended(self) -> bool:
        """Return whether the process has ended; it stays a zombie until `reap`."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
