"""The protocol of what receives a camera's clips from the runtime thread."""

from typing import Protocol

from edge_tdn.messages import EndReason, Scores


class ClipSink(Protocol):
    """Receives one camera's clips and the breaks between them, in order, on the runtime thread.

    A lane holds its sink weakly: the caller that adds the lane keeps the sink, and once the sink is freed its clips
    are discarded.
    """

    def scored(self, scores: Scores) -> None:
        """Take the scores of a clip."""

    def broken(self, reason: EndReason) -> None:
        """Take a break: the stream ended between two segments."""
