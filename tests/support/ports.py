"""Free TCP ports that no other test of this machine is given, whatever process it runs in."""

import fcntl
import os
import random
import socket
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

# Below the ports that outgoing connections are given.
FIRST, LAST = 10_000, 32_000
_held: list[ExitStack] = []  # locks of the ports given to this process, released when it ends
_lock = threading.Lock()


def free_port(count: int = 1) -> int:
    """Return the first of `count` consecutive free ports.

    A port stays reserved until this process ends: its owner may not listen on it yet.
    """
    folder = Path(tempfile.gettempdir(), f"edge-tdn-test-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    while True:
        first = random.randrange(FIRST, LAST - count)
        with _lock, ExitStack() as reserved, suppress(OSError):
            for port in range(first, first + count):
                lock = reserved.enter_context((folder / str(port)).open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            _held.append(reserved.pop_all())
            return first
