"""What systemd is told of this process, where it asks: sd_notify(3). Elsewhere nothing happens.

start ──extend──► ready ──alive, alive, alive──► stopping
                    └─reloading ──extend, alive, extend, alive──► ready
"""

import os
import socket
import time
from contextlib import suppress

SEND_S = 1.0  # systemd that takes nothing for so long shall not hold us up


def extend(within_s: float, status: str) -> None:
    """The start or reload goes on: whatever comes next comes within so many seconds.

    systemd moves its watchdog's deadline, too, where it is earlier.
    """
    _send(f"EXTEND_TIMEOUT_USEC={within_s * 1e6:.0f}", f"STATUS={status}")


def ready() -> None:
    """Start or reload is over."""
    _send("READY=1")


def reloading() -> None:
    """A reload begins, which ends with `ready`."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    _send("STOPPING=1")


def status(line: str) -> None:
    """One line for `systemctl status`."""
    _send(f"STATUS={line}")


def alive() -> None:
    """Feeds the watchdog."""
    _send("WATCHDOG=1")


def hung() -> None:
    """Has the watchdog bite at once, as if it had not been fed in time."""
    _send("WATCHDOG=trigger")


def watchdog_s() -> float | None:
    """How long the watchdog waits for `alive`; None: there is none."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    with suppress(ValueError):
        return int(os.environ.get("WATCHDOG_USEC", "")) / 1e6 or None
    return None


def _send(*lines: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_systemd:
        to_systemd.settimeout(SEND_S)
        to_systemd.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
