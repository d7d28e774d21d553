"""The protocol of a capture: one opened connection to a camera, file or URL."""

from typing import Protocol

from edge_tdn.messages import Decoded

POLL_S = 0.2  # how long one read waits, and so how soon a stop is heard


class EndOfStream(Exception):
    """A capture has no more pictures."""


class Capture(Protocol):
    """One opened connection."""

    live: bool  # its end is a fault
    declared_s: float | None  # length that a file claims to have
    decoder: str  # what decodes; empty: nothing does, its pictures are raw
    wall_ns: int | None  # when the last picture was taken, by the camera's own wall clock; None: it tells none
    key: bool | None  # the last picture comes from a key frame; None: nobody says

    def read(self, timeout_s: float) -> tuple[Decoded, int] | None:
        """The next picture and its PTS in nanoseconds; None: not yet.

        EndOfStream at the end; SourceError when it fails.
        """

    def close(self) -> None: ...
