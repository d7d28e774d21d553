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

    @property
    def live(self) -> bool:
        """Return True for a camera, whose end is a fault."""

    @property
    def declared_s(self) -> float | None:
        """The length that a file declares; None: not known yet, 0: none."""

    @property
    def decoder(self) -> str:
        """The name of the decoder; empty for raw video."""

    @property
    def silence(self) -> str:
        """Why no frames arrive; empty if it is not known."""

    def read(self, timeout_s: float) -> CapturedFrame | None:
        """Return the next frame, or None if none arrived in time.

        Raises EndOfStream at the end, SourceError when the connection fails.
        """

    def close(self) -> None:
        """Close the connection and free its threads."""
