"""A runtime that is about to replace another one, and the cameras' windows in its features."""

from collections.abc import Sequence

from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import Ring, Runtime
from edge_tdn.messages import Segment


class Successor:
    """Encodes the windows of all lanes with `runtime`, so that no camera's next clip comes late.

    Belongs to one thread at a time: the one that prepares the exchange, then the runtime thread.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.rings: dict[Lane, Ring] = {}
        self._newest: dict[Lane, Segment] = {}  # the last segment in each ring

    def catch_up(self, lanes: Sequence[Lane]) -> None:
        """Encode what has come since the last call, and remove what no window holds any more."""
        for lane in lanes:
            segments = lane.segments()
            if lane not in self.rings:
                self.rings[lane] = self.runtime.ring()
            ring = self.rings[lane]
            newest = self._newest.get(lane)
            first = next((n for n, segment in enumerate(segments, 1) if segment is newest), 0)
            if not first:
                ring.clear()
            for segment in segments[first:]:
                self.runtime.encode([segment.frames], [ring])
                self._newest[lane] = segment
