"""The unbroken runs of a tapped camera, over its restarts."""

from collections.abc import Iterator
from dataclasses import replace

from edge_tdn.messages import Frame


class TappedRuns:
    """Numbers the runs of a camera's frames: one ends where a frame is missing, or the camera restarts.

    A camera that restarts counts its streams and frames from the start, and its times may go back.
    """

    def __init__(self) -> None:
        self.lost = 0  # times that frames were lost since it was last set to 0

    def of(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield the frames; those of one run have one number of `stream`."""
        run, before = 0, None
        for frame in frames:
            if before and (frame.stream, frame.seq) != (before.stream, before.seq + 1):
                run += 1
                self.lost += frame.stream == before.stream and frame.seq > before.seq
            before = frame
            yield replace(frame, stream=run)
