"""Notifications to systemd by sd_notify(3). Without systemd, nothing happens.

start ──extend──► ready ──feed_watchdog, feed_watchdog, ...──► stopping
                    └─reloading ──extend, feed_watchdog, ...──► ready
"""

import os
import socket
import time
from contextlib import suppress

SEND_TIMEOUT_S = 1.0  # a systemd that accepts nothing must not block the daemon


def extend(within_s: float, status: str) -> None:
    """Announce that the start or reload continues, and that the next notification comes within `within_s`.

    systemd also moves the watchdog's deadline, if that is earlier.
    """
    _send(f"EXTEND_TIMEOUT_USEC={within_s * 1e6:.0f}", f"STATUS={status}")


def ready() -> None:
    """Announce the end of the start or of a reload."""
    _send("READY=1")


def reloading() -> None:
    """Announce the begin of a reload, which ends with `ready`."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Announce that the daemon is stopping."""
    _send("STOPPING=1")


def status(line: str) -> None:
    """Set the line that `systemctl status` shows."""
    _send(f"STATUS={line}")


def feed_watchdog() -> None:
    """Report that the daemon is healthy."""
    _send("WATCHDOG=1")


def trigger_watchdog() -> None:
    """Make the watchdog act at once, as if it had not been fed in time."""
    _send("WATCHDOG=trigger")


def watchdog_timeout_s() -> float | None:
    """Return how long the watchdog waits to be fed, or None if there is none."""
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
        to_systemd.settimeout(SEND_TIMEOUT_S)
        to_systemd.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1))
