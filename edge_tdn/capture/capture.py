"""The protocol of a capture: one open connection to a camera, file or URL."""

from dataclasses import dataclass
from typing import Protocol

from edge_tdn.messages import Decoded

POLL_S = 0.2  # duration of one read, and so the delay until a stop takes effect


class EndOfStream(Exception):
    """Raised by `Capture.read` when the stream has ended."""


@dataclass(frozen=True, eq=False)
class CapturedFrame:
    """One decoded frame as a capture delivers it."""

    decoded: Decoded
    pts_ns: int  # presentation timestamp; grows within one connection
    wall_ns: int | None = None  # when it was taken, by the camera's own wall clock; None: unknown, or wrong
    key: bool | None = None  # it comes from a key frame; None: unknown


class Capture(Protocol):
    """One open connection. Used by one thread."""

    live: bool  # a camera, whose end is a fault
    declared_s: float | None  # length that a file declares; None: not known yet, 0: none
    decoder: str  # name of the decoder; empty for raw video

    def read(self, timeout_s: float) -> CapturedFrame | None:
        """Return the next frame, or None if none arrived in time.

        Raises EndOfStream at the end, SourceError when the connection fails.
        """

    def close(self) -> None:
        """Close the connection and free its threads."""
