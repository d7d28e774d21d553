"""The change of lanes to other engines: each window is encoded by the next engine before that takes over."""

from collections.abc import Collection, Mapping

from edge_tdn.inference.engine import Engine
from edge_tdn.inference.lane import Lane
from edge_tdn.inference.runtime import Ring
from edge_tdn.messages import Segment


class Successor:
    """Encodes the windows of the lanes that move, so that no camera's next clip comes late.

    Belongs to one thread at a time: the one that prepares the exchange, then the runtime thread.
    """

    def __init__(self, engines: Mapping[Lane, Engine]) -> None:
        """`engines`: the lanes that move, and to which engine; it has the same input as the one before."""
        self.engines = dict(engines)
        self._rings: dict[Lane, Ring] = {}
        self._newest: dict[Lane, Segment] = {}  # the last segment in each ring

    def catch_up(self, busy: Collection[Engine] = ()) -> None:
        """Encode what has come since the last call. `busy`: engines that another thread uses, left out for now."""
        for lane, engine in self.engines.items():
            if engine in busy:
                continue
            segments = lane.segments()
            if lane not in self._rings:
                self._rings[lane] = engine.runtime.ring()
            ring = self._rings[lane]
            newest = self._newest.get(lane)
            first = next((n for n, segment in enumerate(segments, 1) if segment is newest), 0)
            if not first:
                ring.clear()
            for segment in segments[first:]:
                engine.runtime.encode([segment.frames], [ring])
                self._newest[lane] = segment

    def take_over(self) -> None:
        """Let all lanes continue with their new engines. On the runtime thread, right after `catch_up`."""
        for lane, engine in self.engines.items():
            lane.move_to(engine, self._rings[lane])
